//! Dates and times of files as Unix seconds.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};

use super::Epoch;
use crate::error::Error;

/// Reads the times of one file.
///
/// What states no zone is in the zone of the options. Where its clocks are put forward, a time that
/// they skip is as much later as they skip; where they are put back, a time that is there twice is
/// the first one.
pub(super) struct Clock {
    zone: TimeZone,
    epoch: Epoch,
}

impl Clock {
    pub fn new(zone: &str, epoch: Epoch) -> Result<Self, Error> {
        let refused = || {
            let expected = "a name of the IANA time zone database such as America/New_York, UTC, \
                            or an offset such as +05:30";
            Error::option("zone", zone, expected)
        };
        let zone = match zone.as_bytes().first() {
            Some(b'+' | b'-') => zone_of_offset(zone).ok_or_else(refused)?,
            _ => TimeZone::get(zone).map_err(|_| refused())?,
        };
        Ok(Self { zone, epoch })
    }

    /// A date, a date with a time, either with an offset or not, or an integer.
    pub fn text(&self, text: &str) -> Option<i64> {
        if let Ok(count) = text.parse::<i64>() {
            return self.integer(count);
        }
        let pieces = Pieces::parse(text).ok()?;
        let date_time = pieces
            .date()
            .to_datetime(pieces.time().unwrap_or(Time::midnight()));
        match pieces.to_numeric_offset() {
            Some(offset) => {
                let instant = offset.to_timestamp(date_time).ok()?;
                Some(floor(instant))
            }
            None => match pieces.to_time_zone() {
                Ok(Some(zone)) => Some(floor(zone.to_timestamp(date_time).ok()?)),
                Ok(None) => self.civil(date_time),
                Err(_) => None,
            },
        }
    }

    /// A count since 1970-01-01T00:00:00Z, or eight digits of a date.
    pub fn integer(&self, count: i64) -> Option<i64> {
        let per_second = match self.epoch {
            Epoch::Seconds => 1,
            Epoch::Milliseconds => 1_000,
            Epoch::Microseconds => 1_000_000,
            Epoch::Nanoseconds => 1_000_000_000,
            Epoch::Guess => {
                if let Some(date) = self.eight_digits(count) {
                    return Some(date);
                }
                match count.unsigned_abs() {
                    0..100_000_000_000 => 1,
                    100_000_000_000..100_000_000_000_000 => 1_000,
                    100_000_000_000_000..100_000_000_000_000_000 => 1_000_000,
                    _ => 1_000_000_000,
                }
            }
        };
        self.instant(count.div_euclid(per_second))
    }

    /// Seconds since 1970-01-01T00:00:00Z; what no calendar knows is a mistake.
    pub fn instant(&self, seconds: i64) -> Option<i64> {
        Timestamp::from_second(seconds).ok().map(|_| seconds)
    }

    /// `20200131` as a date; years from 1800 to 2199.
    fn eight_digits(&self, count: i64) -> Option<i64> {
        if !(18_000_101..=21_991_231).contains(&count) {
            return None;
        }
        let (year, month, day) = (count / 10_000, count / 100 % 100, count % 100);
        let date = jiff::civil::Date::new(year as i16, month as i8, day as i8);
        self.civil(date.ok()?.to_datetime(Time::midnight()))
    }

    /// Seconds of a clock on the wall since 1970-01-01T00:00:00 there.
    #[cfg(feature = "arrow")]
    pub fn wall(&self, seconds: i64) -> Option<i64> {
        let as_if_utc = Timestamp::from_second(seconds).ok()?;
        self.civil(Offset::UTC.to_datetime(as_if_utc))
    }

    fn civil(&self, date_time: DateTime) -> Option<i64> {
        if self.zone == TimeZone::UTC {
            return Some(floor(Offset::UTC.to_timestamp(date_time).ok()?));
        }
        Some(floor(self.zone.to_timestamp(date_time).ok()?))
    }
}

/// `+05:30`, `-0500`, `+01`.
fn zone_of_offset(text: &str) -> Option<TimeZone> {
    let text = format!("2000-01-01T00:00{text}");
    let pieces = Pieces::parse(&text).ok()?;
    pieces.to_numeric_offset().map(TimeZone::fixed)
}

/// Whole seconds, fractions cut off towards the past.
fn floor(instant: Timestamp) -> i64 {
    let seconds = instant.as_second();
    // jiff rounds towards 1970.
    let before = instant.subsec_nanosecond() < 0;
    seconds - i64::from(before)
}
