//! Price data: what is wrong with it, where, and what to do about it; how files are read.

#[cfg(feature = "arrow")]
mod arrow;
mod collect;
#[cfg(feature = "csv")]
mod csv;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(any(feature = "arrow", feature = "csv"))]
mod read;
#[cfg(any(feature = "arrow", feature = "csv"))]
mod time;

use std::fmt;

#[cfg(feature = "arrow")]
pub use arrow::{arrow_fields, read_arrow};
#[cfg(feature = "csv")]
pub use csv::{CsvSymbols, csv_symbols, read_csv};
#[cfg(feature = "parquet")]
pub use parquet::read_parquet;
#[cfg(any(feature = "arrow", feature = "csv"))]
pub use read::{Columns, Epoch, PriceFile, ReadOptions, read_prices};

use crate::error::Error;

/// What is wrong with price data, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be read at all.
    #[error("{file}: cannot be read: {reason}; check the path and the permissions")]
    Unreadable {
        /// The file's name.
        file: String,
        /// What the system said.
        reason: String,
    },

    /// A file is not of its format.
    #[error("{file}: not readable as {format}: {reason}; {remedy}")]
    Malformed {
        /// The file's name.
        file: String,
        /// The format that was expected.
        format: &'static str,
        /// What its reader said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },

    /// A row is not UTF-8.
    #[error("{at}: not UTF-8 text; save the file as UTF-8")]
    NotText {
        /// Where.
        at: Place,
    },

    /// A required column is absent.
    #[error(
        "{file}: no column `{column}`: none is called {names}, only: {found}; rename it, add it, or map its name"
    )]
    MissingColumn {
        /// The file's name.
        file: String,
        /// What the column is for.
        column: &'static str,
        /// What it could be called.
        names: String,
        /// The names of all columns.
        found: String,
    },

    /// Two columns could be meant.
    #[error(
        "{file}: {first:?} and {second:?} both could be the column `{column}`; keep one, or map its name"
    )]
    AmbiguousColumn {
        /// The file's name.
        file: String,
        /// What the column is for.
        column: &'static str,
        /// The first of the two names.
        first: String,
        /// The second.
        second: String,
    },

    /// A column of an Arrow record batch or a Parquet file has a type that is not read.
    #[error("{file}, column {column}: has the type {found}; {remedy}")]
    ColumnType {
        /// The file's name.
        file: String,
        /// The column's name.
        column: String,
        /// The type found.
        found: String,
        /// What to do.
        remedy: &'static str,
    },

    /// A row has more or fewer fields than the header.
    #[error("{at}: {got} fields, but the header has {expected}; complete the row or remove it")]
    FieldCount {
        /// Where.
        at: Place,
        /// Fields of the header.
        expected: usize,
        /// Fields of the row.
        got: usize,
    },

    /// A field without a symbol.
    #[error("{at} names no symbol; write it or remove the column")]
    EmptySymbol {
        /// Where.
        at: Box<Cell>,
    },

    /// A time in no known form.
    #[error(
        "{at} is no date; write YYYY-MM-DD, optionally with a time, or an integer such as a Unix time"
    )]
    BadTime {
        /// Where.
        at: Box<Cell>,
    },

    /// A price or forecast that is no finite number.
    #[error("{at} is no finite number; write a number such as 101.25 or remove the row")]
    BadNumber {
        /// Where.
        at: Box<Cell>,
    },

    /// A price of zero or below.
    #[error("{at} is not above 0, and moves need prices above 0; correct the row or remove it")]
    NotPositive {
        /// Where.
        at: Box<Cell>,
    },

    /// A bar whose high is below its low.
    #[error("{at} is below the low of the bar, {low}; correct the bar or remove it")]
    HighBelowLow {
        /// Where.
        at: Box<Cell>,
        /// The low.
        low: f64,
    },

    /// A bar that opens or closes outside low and high.
    #[error(
        "{at} is not between the low and the high of the bar, {low} and {high}; correct the bar, or let the policy widen it"
    )]
    OutsideRange {
        /// Where.
        at: Box<Cell>,
        /// The low.
        low: f64,
        /// The high.
        high: f64,
    },

    /// A bar before the bar before it.
    #[error(
        "{at} follows {previous}; sort the bars by time, oldest first, or let the policy do it"
    )]
    Unsorted {
        /// The bar.
        at: Box<BarAt>,
        /// The time of the bar before.
        previous: String,
    },

    /// A time twice.
    #[error(
        "{at} is there already, on {first}; keep one of the two, or let the policy drop the later one"
    )]
    Duplicate {
        /// The second of the two bars.
        at: Box<BarAt>,
        /// Where the first is.
        first: Row,
    },

    /// No bar for too long.
    #[error(
        "{at} is the first bar since {previous}, {}; add the bars, allow longer gaps, or let the policy keep only the bars after it",
        longer(.gap_seconds, .limit_seconds)
    )]
    Gap {
        /// The bar after the gap.
        at: Box<BarAt>,
        /// The time of the bar before.
        previous: String,
        /// Seconds from bar to bar.
        gap_seconds: u64,
        /// Seconds allowed.
        limit_seconds: u64,
    },

    /// A close far from the close before: most likely a split.
    #[error(
        "{at}: the close goes from {from} to {to}, by more than the ratio {limit}; adjust the prices before it for the split, allow a higher ratio, or let the policy keep only the bars after it"
    )]
    Split {
        /// The later bar.
        at: Box<BarAt>,
        /// The close before.
        from: f64,
        /// The close.
        to: f64,
        /// The ratio allowed.
        limit: f64,
    },

    /// Rows of a symbol after rows of others, where symbols are read one by one.
    #[error(
        "{at}: rows of {symbol} again, after rows of others; sort the file by symbol, or read it whole"
    )]
    NotGrouped {
        /// Where.
        at: Place,
        /// The symbol.
        symbol: String,
    },

    /// Nothing to read.
    #[error("{file}: no bar; add at least one")]
    NoRows {
        /// The file's name.
        file: String,
    },

    /// Columns of different lengths in prices made by hand.
    #[error(
        "{symbol}: column {column} has {got} values for {expected} times; give every column one value per bar"
    )]
    Lengths {
        /// The symbol.
        symbol: String,
        /// The column.
        column: &'static str,
        /// Number of times.
        expected: usize,
        /// Values of the column.
        got: usize,
    },

    /// Too few bars for one with a forecast.
    #[error(
        "{symbol}: none of its {have} bars has a forecast and a close before it; add bars, or let the forecaster look back less"
    )]
    TooShort {
        /// The symbol.
        symbol: String,
        /// Number of bars.
        have: usize,
    },

    /// A move that is no f32.
    #[error(
        "{symbol}, {time}: from {from} to {to} is a move beyond any number; correct the prices"
    )]
    NoMove {
        /// The symbol.
        symbol: String,
        /// The later bar's time.
        time: String,
        /// The close before.
        from: f64,
        /// The price.
        to: f64,
    },

    /// A forecast or a position that is no finite f32.
    #[error(
        "{symbol}, {time}: the forecast or position {value} is no finite number; correct it, or cut the bars up to it off"
    )]
    BadForecast {
        /// The symbol.
        symbol: String,
        /// The bar's time.
        time: String,
        /// The value.
        value: f64,
    },

    /// Prices without the forecasts that were asked for.
    #[error(
        "{symbol}: came without forecasts; add the columns high_pred, low_pred and position, or use a forecaster"
    )]
    NoForecasts {
        /// The symbol.
        symbol: String,
    },

    /// An option that makes no sense.
    #[error(transparent)]
    Option(#[from] Error),
}

fn longer(gap_seconds: &u64, limit_seconds: &u64) -> String {
    let days = |&seconds: &u64| seconds as f64 / 86_400.0;
    format!(
        "{:.2} days, more than {:.2}",
        days(gap_seconds),
        days(limit_seconds)
    )
}

/// Where a bar is. It displays as `prices.csv, line 3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name, or the symbol of prices made by hand.
    pub source: String,
    /// Where in it.
    pub row: Row,
}

/// The number of a bar where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// The first line of a row of text, from 1, header and blank lines included.
    Line(u64),
    /// A row of a Parquet file or of all record batches, from 0.
    Row(u64),
    /// A bar of prices made by hand, from 0.
    Bar(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.source, self.row)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
            Self::Bar(bar) => write!(f, "bar {bar}"),
        }
    }
}

/// One value of a row. It displays as `prices.csv, line 3, column high: "n/a"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Where the row is.
    pub place: Place,
    /// The column's name as the file has it.
    pub column: String,
    /// The value as text, its end cut off when long.
    pub value: String,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, column {}: {:?}",
            self.place, self.column, self.value
        )
    }
}

/// One bar. It displays as `prices.csv, line 3: 2020-01-31T00:00:00Z of IBM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarAt {
    /// Where its row is.
    pub place: Place,
    /// Its symbol, the end cut off when long.
    pub symbol: String,
    /// Its time.
    pub time: String,
}

impl fmt::Display for BarAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} of {}", self.place, self.time, self.symbol)
    }
}

/// What is done about faults in price data. The default refuses what cannot be traded and reports
/// what is doubtful.
///
/// What is done instead of refusing is counted in [`Repairs`].
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// A time, a price, a volume or a forecast that cannot be understood, prices that are NaN or
    /// infinite, a missing symbol. Repair: the row is dropped.
    pub bad_value: OnFault,
    /// A price of zero or below. Repair: the bar is dropped.
    pub not_positive: OnFault,
    /// A high below its low. Repair: the bar is dropped.
    pub high_below_low: OnFault,
    /// A bar before the bar before it. Repair: the bars are sorted.
    pub unsorted: OnFault,
    /// A time twice. Repair: the row that comes later in the file is dropped.
    pub duplicate: OnFault,
    /// A bar that opens or closes outside low and high, as adjusted prices do by rounding. Repair:
    /// low and high are widened.
    pub outside_range: OnDoubt,
    /// More than `max_gap` from one bar to the next. Repair: only the bars after the last gap are
    /// kept.
    pub gap: OnDoubt,
    /// The longest time from one bar to the next that is no gap; `None`: none is looked for.
    pub max_gap: Option<MaxGap>,
    /// A close that is more than `max_ratio` times the close before, or less than one
    /// `max_ratio`-th. Repair: only the bars after the last such jump are kept.
    pub split: OnDoubt,
    /// The highest ratio of two closes in sequence that is no split, at least 1; `None`: none is
    /// looked for.
    pub max_ratio: Option<f64>,
}

impl Default for Policy {
    /// Gaps beyond 10 days and ratios beyond 1.5 are reported: exchanges close for at most about a
    /// week, and a stock seldom moves by half in a day.
    fn default() -> Self {
        Self {
            bad_value: OnFault::Refuse,
            not_positive: OnFault::Refuse,
            high_below_low: OnFault::Refuse,
            unsorted: OnFault::Refuse,
            duplicate: OnFault::Refuse,
            outside_range: OnDoubt::Report,
            gap: OnDoubt::Report,
            max_gap: Some(MaxGap::Days(10.0)),
            split: OnDoubt::Report,
            max_ratio: Some(1.5),
        }
    }
}

impl Policy {
    /// Repairs every fault and reports what is doubtful.
    pub fn repair() -> Self {
        Self {
            bad_value: OnFault::Repair,
            not_positive: OnFault::Repair,
            high_below_low: OnFault::Repair,
            unsorted: OnFault::Repair,
            duplicate: OnFault::Repair,
            ..Self::default()
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let count = match self.max_gap {
            Some(MaxGap::Days(count) | MaxGap::Intervals(count)) => count,
            None => 1.0,
        };
        if !(count > 0.0 && count.is_finite()) {
            return Err(Error::option("max_gap", count, "finite and above 0"));
        }
        match self.max_ratio {
            Some(ratio) if !(ratio >= 1.0 && ratio.is_finite()) => {
                Err(Error::option("max_ratio", ratio, "finite and at least 1"))
            }
            _ => Ok(()),
        }
    }
}

/// What is done about a bar that cannot be traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnFault {
    /// Nothing is read; the error names the first one.
    Refuse,
    /// Repaired as the field of [`Policy`] says, and reported.
    Repair,
}

/// What is done about a bar that may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDoubt {
    /// Nothing is read; the error names the first one.
    Refuse,
    /// Repaired as the field of [`Policy`] says, and reported.
    Repair,
    /// Kept as it is, and reported.
    Report,
}

/// The longest time from one bar to the next that is no gap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxGap {
    /// So many days of 86,400 seconds.
    Days(f64),
    /// So many times the median time between two bars of the symbol.
    Intervals(f64),
}

/// A kind of fault: a field of [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// [`Policy::bad_value`].
    BadValue,
    /// [`Policy::not_positive`].
    NotPositive,
    /// [`Policy::high_below_low`].
    HighBelowLow,
    /// [`Policy::unsorted`].
    Unsorted,
    /// [`Policy::duplicate`].
    Duplicate,
    /// [`Policy::outside_range`].
    OutsideRange,
    /// [`Policy::gap`].
    Gap,
    /// [`Policy::split`].
    Split,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadValue => "values that cannot be understood",
            Self::NotPositive => "prices not above 0",
            Self::HighBelowLow => "highs below the low",
            Self::Unsorted => "bars out of order",
            Self::Duplicate => "times that are there twice",
            Self::OutsideRange => "bars that open or close outside their range",
            Self::Gap => "gaps",
            Self::Split => "jumps like splits",
        })
    }
}

/// What was wrong and not refused. It displays as one line per kind, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repairs {
    /// One entry per kind of fault that was found.
    pub found: Vec<Repair>,
}

/// One kind of fault, what was done about it, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// What was wrong.
    pub fault: Fault,
    /// Whether it was repaired, or kept as it is.
    pub repaired: bool,
    /// How often.
    pub count: u64,
    /// The first places, at most [`Repair::PLACES`].
    pub places: Vec<Place>,
}

impl Repair {
    /// The most places that are listed.
    pub const PLACES: usize = 5;
}

impl Repairs {
    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How often a kind of fault was found.
    pub fn count(&self, fault: Fault) -> u64 {
        let found = self.found.iter().find(|repair| repair.fault == fault);
        found.map_or(0, |repair| repair.count)
    }

    fn note(&mut self, fault: Fault, repaired: bool, place: impl FnOnce() -> Place) {
        let known = self.found.iter().position(|repair| repair.fault == fault);
        let index = known.unwrap_or_else(|| {
            self.found.push(Repair {
                fault,
                repaired,
                count: 0,
                places: Vec::new(),
            });
            self.found.len() - 1
        });
        let repair = &mut self.found[index];
        repair.count += 1;
        if repair.places.len() < Repair::PLACES {
            repair.places.push(place());
        }
    }
}

impl fmt::Display for Repairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, repair) in self.found.iter().enumerate() {
            let done = match (repair.repaired, repair.fault) {
                (false, _) => "kept",
                (true, Fault::Unsorted) => "sorted",
                (true, Fault::OutsideRange) => "range widened",
                (true, Fault::Gap | Fault::Split) => "bars before the last one dropped",
                (true, _) => "dropped",
            };
            if line > 0 {
                writeln!(f)?;
            }
            let source = repair.places.first().map_or("", |place| &place.source);
            write!(f, "{source}: {} {}, {done}:", repair.count, repair.fault)?;
            for (index, place) in repair.places.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                write!(f, "{comma} {}", place.row)?;
            }
            if repair.count > repair.places.len() as u64 {
                f.write_str(", ...")?;
            }
        }
        Ok(())
    }
}

/// A text for an error: as it is, or its first 60 characters.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A time for an error, as a date where a reader of files has brought a calendar.
pub(crate) fn show_time(seconds: i64) -> String {
    #[cfg(any(feature = "arrow", feature = "csv"))]
    if let Ok(time) = jiff::Timestamp::from_second(seconds) {
        return time.to_string();
    }
    format!("Unix time {seconds}")
}
