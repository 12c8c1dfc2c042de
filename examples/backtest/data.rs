//! Reads price bars from CSV text, strictly: every row is a bar or an error that says where and what to do.
//!
//! The first row names the columns, in any case and any order:
//!
//! | column | names | content |
//! |---|---|---|
//! | date | `date`, `datetime`, `timestamp`, `time` | see below |
//! | prices | `open`, `high`, `low`, `close` | finite and > 0, in one currency |
//! | symbol | `symbol`, `ticker` | optional; without it the whole file is one symbol, named like the file |
//!
//! Every other column (volume, adjusted close, ...) is ignored.
//! Rows of several symbols may be mixed; within a symbol the dates must ascend strictly.
//!
//! A date is `YYYY-MM-DD`, optionally with a time (`T` or a blank, `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`) and an offset (`Z`, `+HH:MM`, `+HHMM`), or an integer such as a Unix time.
//! One symbol keeps to one of the two, because they cannot be ordered against each other.
//!
//! What is *not* checked: that open and close lie within low and high.
//! Vendors' adjusted files miss it by rounding, and the profit is defined without it.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use thiserror::Error;

/// The bars of one symbol, oldest first. All vectors have the same length, at least 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    /// As in the file's symbol column, else the file's name without its extension.
    pub symbol: String,
    /// As in the file, one per bar, strictly ascending in time.
    pub dates: Vec<String>,
    /// First price of each bar, in the file's currency; finite and > 0, as are the next three.
    #[allow(
        dead_code,
        reason = "entries happen at forecast levels, never at the open; here so that a bar is whole"
    )]
    pub open: Vec<f64>,
    /// Highest price of each bar.
    pub high: Vec<f64>,
    /// Lowest price of each bar, at most the highest.
    pub low: Vec<f64>,
    /// Last price of each bar.
    pub close: Vec<f64>,
}

/// One field of a file, for errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// The file's name as given to [`read`].
    pub file: String,
    /// The row's first line, from 1, the header included.
    pub line: u64,
    /// The column's name as the header writes it.
    pub column: String,
    /// The field's text, its end cut off when long.
    pub value: String,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            value,
        } = self;
        write!(f, "{file}, line {line}, column {column}: {value:?}")
    }
}

/// What is wrong with a price file, where, and what to do about it.
#[derive(Debug, Error)]
pub enum DataError {
    /// The text could not be read at all.
    #[error("{file}: cannot be read: {source}; check the path and the permissions")]
    Unreadable { file: String, source: io::Error },

    /// A row is not UTF-8.
    #[error("{file}, line {line}: not UTF-8 text; save the file as UTF-8")]
    NotText { file: String, line: u64 },

    /// A required column is absent.
    #[error("{file}, line {line}: no column `{column}`, only: {found}; rename or add it")]
    MissingColumn {
        file: String,
        line: u64,
        column: &'static str,
        found: String,
    },

    /// Two columns could be meant.
    #[error(
        "{file}, line {line}: {first:?} and {second:?} both could be the column `{column}`; keep one"
    )]
    AmbiguousColumn {
        file: String,
        line: u64,
        column: &'static str,
        first: String,
        second: String,
    },

    /// A row has more or fewer fields than the header.
    #[error(
        "{file}, line {line}: {got} fields, but the header has {expected}; complete the row or remove it"
    )]
    FieldCount {
        file: String,
        line: u64,
        expected: u64,
        got: u64,
    },

    /// A symbol column with an empty field.
    #[error("{at} names no symbol; write it or remove the column")]
    EmptySymbol { at: Box<Cell> },

    /// A date in no known form.
    #[error("{at} is no date; write YYYY-MM-DD, optionally with a time, or an integer")]
    BadDate { at: Box<Cell> },

    /// A calendar date after an integer or the other way round.
    #[error(
        "{at} cannot be compared with {previous:?} before it; write all dates of {symbol} in one form"
    )]
    MixedDates {
        at: Box<Cell>,
        previous: String,
        symbol: String,
    },

    /// A date that is before the date of the symbol's previous row.
    #[error("{at} follows {previous:?}; sort the rows of {symbol} by date, oldest first")]
    Unsorted {
        at: Box<Cell>,
        previous: String,
        symbol: String,
    },

    /// The moment of the symbol's previous row again.
    #[error("{at} is there twice for {symbol}; keep one of the two rows")]
    DuplicateDate { at: Box<Cell>, symbol: String },

    /// A price that is no finite number.
    #[error("{at} is no finite number; write a price such as 101.25 or remove the row")]
    BadNumber { at: Box<Cell> },

    /// A price of zero or below.
    #[error("{at} is not above 0, and moves need prices above 0; correct the row or remove it")]
    NotPositive { at: Box<Cell> },

    /// A bar whose high is below its low.
    #[error("{at} is below the low of the row, {low:?}; correct the row or remove it")]
    HighBelowLow { at: Box<Cell>, low: String },

    /// A header without a row below it, or an empty file.
    #[error("{file}: no rows below the header; add at least one bar")]
    NoRows { file: String },

    /// Anything else that the CSV reader rejects.
    #[error(
        "{file}: not readable as CSV: {source}; write one bar per line, fields separated by commas"
    )]
    Csv { file: String, source: csv::Error },
}

/// Reads all bars of a CSV text. `name` is the file's name: errors begin with it, and its stem names the symbol of a file without a symbol column.
///
/// Symbols come in the order of their first rows. The result has at least one symbol, each with at least one bar.
///
/// # Errors
///
/// The first fault in the text, as a [`DataError`].
pub fn read(mut text: impl Read, name: &str) -> Result<Vec<Prices>, DataError> {
    // The whole text is kept because errors count lines in it: the CSV reader's own count is off after blank lines.
    let mut bytes = Vec::new();
    text.read_to_end(&mut bytes)
        .map_err(|source| DataError::Unreadable {
            file: name.to_owned(),
            source,
        })?;
    let source = Source {
        name,
        bytes: &bytes,
    };

    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes.as_slice());
    let header = reader
        .headers()
        .map_err(|error| source.csv_error(error))?
        .clone();
    let columns = Columns::find(&header, source)?;

    let mut all: Vec<Series> = Vec::new();
    let mut index_of: HashMap<String, usize> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| source.csv_error(error))?;
        let row = Row {
            source,
            header: &header,
            record: &record,
        };
        let symbol = match columns.symbol {
            Some(column) => row.symbol(column)?,
            None => source.stem(),
        };
        let index = *index_of.entry(symbol.clone()).or_insert_with(|| {
            all.push(Series::new(symbol));
            all.len() - 1
        });
        all[index].push(&row, &columns)?;
    }

    if all.is_empty() {
        return Err(DataError::NoRows {
            file: name.to_owned(),
        });
    }
    Ok(all.into_iter().map(|series| series.prices).collect())
}

/// A close that is far from the close before it: likely a split, or an error in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Jump {
    /// Date of the later bar.
    pub date: String,
    /// Close of the bar before, in the file's currency.
    pub from: f64,
    /// Close on `date`, in the file's currency.
    pub to: f64,
}

/// The jumps of more than `ratio` from one close to the next, up or down, oldest first.
///
/// `ratio` is above 1. Splits of two for one show at 1.5, and a stock seldom moves by half in a day.
pub fn jumps(prices: &Prices, ratio: f64) -> Vec<Jump> {
    let mut found = Vec::new();
    for (t, pair) in prices.close.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let move_up = to / from;
        let move_down = from / to;
        // Negated, so that a NaN ratio reports everything and not nothing.
        if !(move_up <= ratio && move_down <= ratio) {
            found.push(Jump {
                date: prices.dates[t + 1].clone(),
                from,
                to,
            });
        }
    }
    found
}

/// The text and its name, for errors.
#[derive(Clone, Copy)]
struct Source<'a> {
    name: &'a str,
    bytes: &'a [u8],
}

impl Source<'_> {
    /// The line, from 1, of the first field at or after `byte`.
    fn line_at(&self, byte: u64) -> u64 {
        let start = usize::try_from(byte).map_or(self.bytes.len(), |b| b.min(self.bytes.len()));
        // A record is said to start where the last one ended: before the rest of its line break and any blank lines.
        let blank = self.bytes[start..]
            .iter()
            .take_while(|b| matches!(b, b'\r' | b'\n'))
            .count();
        let before = &self.bytes[..start + blank];
        1 + before.iter().filter(|&&b| b == b'\n').count() as u64
    }

    fn line_of(&self, record: &csv::StringRecord) -> u64 {
        self.line_at(record.position().map_or(0, csv::Position::byte))
    }

    /// The file's name without folders and extension.
    fn stem(&self) -> String {
        match Path::new(self.name).file_stem() {
            Some(stem) => stem.to_string_lossy().into_owned(),
            None => self.name.to_owned(),
        }
    }

    fn csv_error(&self, error: csv::Error) -> DataError {
        let file = self.name.to_owned();
        let line = error
            .position()
            .map_or(1, |position| self.line_at(position.byte()));
        match error.kind() {
            csv::ErrorKind::Utf8 { .. } => DataError::NotText { file, line },
            &csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => DataError::FieldCount {
                file,
                line,
                expected: expected_len,
                got: len,
            },
            _ => DataError::Csv {
                file,
                source: error,
            },
        }
    }
}

/// Where each column is, as an index into a row.
struct Columns {
    symbol: Option<usize>,
    date: usize,
    open: usize,
    high: usize,
    low: usize,
    close: usize,
}

impl Columns {
    fn find(header: &csv::StringRecord, source: Source<'_>) -> Result<Self, DataError> {
        let file = || source.name.to_owned();
        let line = source.line_of(header);
        let find = |column: &'static str, names: &[&str]| -> Result<Option<usize>, DataError> {
            let mut matching = header
                .iter()
                .enumerate()
                .filter(|(_, field)| names.iter().any(|name| field.eq_ignore_ascii_case(name)));
            let first = matching.next();
            if let (Some((_, first)), Some((_, second))) = (first, matching.next()) {
                return Err(DataError::AmbiguousColumn {
                    file: file(),
                    line,
                    column,
                    first: shorten(first),
                    second: shorten(second),
                });
            }
            Ok(first.map(|(index, _)| index))
        };
        let require = |column: &'static str, names: &[&str]| -> Result<usize, DataError> {
            find(column, names)?.ok_or_else(|| DataError::MissingColumn {
                file: file(),
                line,
                column,
                found: shorten(&header.iter().collect::<Vec<_>>().join(", ")),
            })
        };
        Ok(Self {
            symbol: find("symbol", &["symbol", "ticker"])?,
            date: require("date", &["date", "datetime", "timestamp", "time"])?,
            open: require("open", &["open"])?,
            high: require("high", &["high"])?,
            low: require("low", &["low"])?,
            close: require("close", &["close"])?,
        })
    }
}

/// One row of the file with what its errors need.
struct Row<'a> {
    source: Source<'a>,
    header: &'a csv::StringRecord,
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    /// The text of a field. The reader has checked that every row is as long as the header.
    fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or("")
    }

    fn cell(&self, column: usize) -> Box<Cell> {
        // Boxed, so that the error type stays small in the result of every call.
        Box::new(Cell {
            file: self.source.name.to_owned(),
            line: self.source.line_of(self.record),
            column: shorten(self.header.get(column).unwrap_or("")),
            value: shorten(self.text(column)),
        })
    }

    fn symbol(&self, column: usize) -> Result<String, DataError> {
        let symbol = self.text(column);
        if symbol.is_empty() {
            return Err(DataError::EmptySymbol {
                at: self.cell(column),
            });
        }
        Ok(symbol.to_owned())
    }

    fn moment(&self, column: usize) -> Result<Moment, DataError> {
        Moment::parse(self.text(column)).ok_or_else(|| DataError::BadDate {
            at: self.cell(column),
        })
    }

    fn price(&self, column: usize) -> Result<f64, DataError> {
        // `parse` also takes "NaN" and "inf", and turns 1e999 into infinity.
        let price = match self.text(column).parse::<f64>() {
            Ok(price) if price.is_finite() => price,
            _ => {
                return Err(DataError::BadNumber {
                    at: self.cell(column),
                });
            }
        };
        if price <= 0.0 {
            return Err(DataError::NotPositive {
                at: self.cell(column),
            });
        }
        Ok(price)
    }
}

/// The bars of one symbol while they are read.
struct Series {
    prices: Prices,
    /// The moment of the last bar; none before the first.
    last: Option<Moment>,
}

impl Series {
    fn new(symbol: String) -> Self {
        Self {
            prices: Prices {
                symbol,
                dates: Vec::new(),
                open: Vec::new(),
                high: Vec::new(),
                low: Vec::new(),
                close: Vec::new(),
            },
            last: None,
        }
    }

    fn push(&mut self, row: &Row<'_>, columns: &Columns) -> Result<(), DataError> {
        let moment = row.moment(columns.date)?;
        if let Some(last) = self.last {
            let order = last.compare(moment);
            if order != Some(Ordering::Less) {
                return Err(self.order_error(order, row.cell(columns.date)));
            }
        }
        let open = row.price(columns.open)?;
        let high = row.price(columns.high)?;
        let low = row.price(columns.low)?;
        let close = row.price(columns.close)?;
        if high < low {
            return Err(DataError::HighBelowLow {
                at: row.cell(columns.high),
                low: row.cell(columns.low).value,
            });
        }

        self.last = Some(moment);
        self.prices.dates.push(row.text(columns.date).to_owned());
        self.prices.open.push(open);
        self.prices.high.push(high);
        self.prices.low.push(low);
        self.prices.close.push(close);
        Ok(())
    }

    /// The error for a date at `at` to which the last date stands in `order`, which is not `Less`.
    fn order_error(&self, order: Option<Ordering>, at: Box<Cell>) -> DataError {
        let symbol = shorten(&self.prices.symbol);
        let previous = shorten(self.prices.dates.last().map_or("", String::as_str));
        match order {
            Some(Ordering::Equal) => DataError::DuplicateDate { at, symbol },
            Some(_) => DataError::Unsorted {
                at,
                previous,
                symbol,
            },
            None => DataError::MixedDates {
                at,
                previous,
                symbol,
            },
        }
    }
}

/// A date as something to order by.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// An integer of unknown unit: Unix seconds, milliseconds, `YYYYMMDD`, ...
    Count(i64),
    /// Seconds since 1970-01-01 in UTC (in the file's own zone when it names none), and nanoseconds below 10^9.
    Time { seconds: i64, nanos: u32 },
}

impl Moment {
    /// None when one is a count and the other a time.
    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Count(a), Self::Count(b)) => Some(a.cmp(&b)),
            (
                Self::Time { seconds, nanos },
                Self::Time {
                    seconds: other_seconds,
                    nanos: other_nanos,
                },
            ) => Some((seconds, nanos).cmp(&(other_seconds, other_nanos))),
            _ => None,
        }
    }

    /// Understands an integer, `YYYY-MM-DD`, and the latter with a time and an offset; see the top of this file.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(count) = text.parse::<i64>() {
            return Some(Self::Count(count));
        }

        let mut rest = Scanner(text.as_bytes());
        let year = rest.number(4)?;
        rest.expect(b"-")?;
        let month = rest.number(2).filter(|month| (1..=12).contains(month))?;
        rest.expect(b"-")?;
        let day = rest
            .number(2)
            .filter(|day| (1..=days_in_month(year, month)).contains(day))?;
        let days = days_since_1970(year, month, day);
        if rest.is_empty() {
            return Some(Self::Time {
                seconds: days * 86_400,
                nanos: 0,
            });
        }

        rest.expect(b"T ")?;
        let hour = rest.number(2).filter(|&hour| hour < 24)?;
        rest.expect(b":")?;
        let minute = rest.number(2).filter(|&minute| minute < 60)?;
        let mut second = 0;
        let mut nanos = 0;
        if rest.expect(b":").is_some() {
            // 60 is a leap second.
            second = rest.number(2).filter(|&second| second <= 60)?;
            if rest.expect(b".").is_some() {
                nanos = rest.fraction()?;
            }
        }
        let offset = rest.offset()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self::Time {
            seconds: days * 86_400 + hour * 3_600 + minute * 60 + second - offset,
            nanos,
        })
    }
}

/// What is left of a text that is read from its front. Every method takes what it returns, or nothing.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte out of `wanted`.
    fn expect(&mut self, wanted: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if !wanted.contains(&first) {
            return None;
        }
        self.0 = rest;
        Some(first)
    }

    /// A number of exactly `digits` digits, at most 4.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        if !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.0 = rest;
        Some(
            number
                .iter()
                .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')),
        )
    }

    /// The digits after a decimal point as nanoseconds; at least one, and none after the ninth.
    fn fraction(&mut self) -> Option<u32> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let mut nanos = 0;
        for place in 0..9 {
            let digit = digits.get(place).map_or(0, |digit| digit - b'0');
            nanos = nanos * 10 + u32::from(digit);
        }
        Some(nanos)
    }

    /// `Z`, `+HH:MM`, `+HHMM` or `-...` as seconds east of UTC; nothing at all is 0.
    fn offset(&mut self) -> Option<i64> {
        if self.is_empty() || self.expect(b"Z").is_some() {
            return Some(0);
        }
        let sign = self.expect(b"+-")?;
        let hours = self.number(2).filter(|&hours| hours < 24)?;
        // The colon is optional.
        let _ = self.expect(b":");
        let minutes = self.number(2).filter(|&minutes| minutes < 60)?;
        let seconds = hours * 3_600 + minutes * 60;
        Some(if sign == b'-' { -seconds } else { seconds })
    }
}

/// `month` in 1..=12, Gregorian calendar.
fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a valid date with year in 0..=9999, Gregorian calendar.
///
/// Counts years from March on, so that the leap day is the last of its year (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// A text for an error: as it is, or its first 60 characters.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INCLUDED: &[u8] = include_bytes!("../data/prices.csv");

    fn read_text(text: &str) -> Result<Vec<Prices>, DataError> {
        read(text.as_bytes(), "folder/SPY.csv")
    }

    /// The message of the error that `text` must give.
    fn message(text: &str) -> String {
        match read_text(text) {
            Ok(prices) => panic!("read without an error: {prices:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn included_prices_are_as_their_readme_says() {
        let all = read(INCLUDED, "prices.csv").unwrap();
        let seen: Vec<_> = all
            .iter()
            .map(|prices| {
                let (first, last) = (&prices.dates[0], &prices.dates[prices.dates.len() - 1]);
                (
                    prices.symbol.as_str(),
                    prices.close.len(),
                    first.as_str(),
                    last.as_str(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("AAPL", 420, "2011-06-29", "2013-03-01"),
                ("FB", 196, "2012-05-18", "2013-03-01"),
                ("GOOG", 420, "2011-06-29", "2013-03-01"),
                ("IBM", 420, "2011-06-29", "2013-03-01"),
                ("MSFT", 420, "2011-06-29", "2013-03-01"),
            ]
        );
    }

    #[test]
    fn included_prices_have_no_split() {
        for prices in read(INCLUDED, "prices.csv").unwrap() {
            assert_eq!(jumps(&prices, 1.5), [], "{}", prices.symbol);
            // The same check finds a split where there is one.
            let mut split = prices.clone();
            for close in &mut split.close[100..] {
                *close /= 2.0;
            }
            let found = jumps(&split, 1.5);
            assert_eq!(found.len(), 1, "{}", prices.symbol);
            assert_eq!(found[0].date, prices.dates[100]);
            assert_eq!(found[0].from, prices.close[99]);
            assert_eq!(found[0].to, prices.close[100] / 2.0);
        }
    }

    #[test]
    fn jumps_are_found_in_both_directions_and_a_nan_ratio_hides_none() {
        let prices = &read_text(
            "date,open,high,low,close\n\
             2020-01-01,1,1,1,1\n2020-01-02,1,1,1,1.5\n2020-01-03,1,1,1,4\n2020-01-06,1,1,1,2\n",
        )
        .unwrap()[0];
        let dates = |ratio| -> Vec<String> {
            jumps(prices, ratio)
                .into_iter()
                .map(|jump| jump.date)
                .collect()
        };
        assert_eq!(dates(1.5), ["2020-01-03", "2020-01-06"]);
        assert_eq!(dates(2.0), ["2020-01-03"]);
        assert_eq!(dates(f64::NAN).len(), 3);
    }

    #[test]
    fn columns_are_found_in_any_case_and_order() {
        let text = "CLOSE, Volume ,low,High,oPEN,Adj Close,Timestamp\n\
                    4,900,1,8,2,77,2020-01-02\n\
                    5,901,3,9,6,78,2020-01-03\n";
        let expected = Prices {
            symbol: "SPY".to_owned(),
            dates: vec!["2020-01-02".to_owned(), "2020-01-03".to_owned()],
            open: vec![2.0, 6.0],
            high: vec![8.0, 9.0],
            low: vec![1.0, 3.0],
            close: vec![4.0, 5.0],
        };
        assert_eq!(read_text(text).unwrap(), std::slice::from_ref(&expected));

        // As spreadsheets save it: byte order mark, CRLF, blank lines, quotes.
        let saved = format!("\u{feff}{}", text.replace('\n', "\r\n\r\n")).replace("77", "\"7\"");
        assert_eq!(read_text(&saved).unwrap(), [expected]);
    }

    #[test]
    fn rows_of_several_symbols_may_be_mixed() {
        let all = read_text(
            "Ticker,date,open,high,low,close\n\
             B,2020-01-02,1,1,1,1\nA,2020-01-01,2,2,2,2\nB,2020-01-03,3,3,3,3\n",
        )
        .unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].symbol.as_str(), &all[0].close),
            ("B", &vec![1.0, 3.0])
        );
        assert_eq!((all[1].symbol.as_str(), &all[1].close), ("A", &vec![2.0]));
    }

    #[test]
    fn errors_in_a_row_name_file_line_column_value_and_remedy() {
        const NUMBER: &str = "is no finite number; write a price such as 101.25 or remove the row";
        const POSITIVE: &str =
            "is not above 0, and moves need prices above 0; correct the row or remove it";
        // The second row, the column, the value and what is said about it.
        let cases = [
            ("2020-01-03,2,4,1,n/a", "Close", "n/a", NUMBER),
            ("2020-01-03,2,inf,1,3", "high", "inf", NUMBER),
            ("2020-01-03,2,4,NaN,3", "low", "NaN", NUMBER),
            ("2020-01-03,,4,1,3", "open", "", NUMBER),
            ("2020-01-03,2,1e999,1,3", "high", "1e999", NUMBER),
            ("2020-01-03,0,4,1,3", "open", "0", POSITIVE),
            ("2020-01-03,2,4,-1,3", "low", "-1", POSITIVE),
            ("2020-01-03,2,4,1,-0.0", "Close", "-0.0", POSITIVE),
            (
                "2020-01-03,2,4,5,3",
                "high",
                "4",
                "is below the low of the row, \"5\"; correct the row or remove it",
            ),
            (
                "2020-01-02,2,4,1,3",
                "date",
                "2020-01-02",
                "is there twice for SPY; keep one of the two rows",
            ),
            (
                "2020-01-01,2,4,1,3",
                "date",
                "2020-01-01",
                "follows \"2020-01-02\"; sort the rows of SPY by date, oldest first",
            ),
            (
                "1577923200,2,4,1,3",
                "date",
                "1577923200",
                "cannot be compared with \"2020-01-02\" before it; write all dates of SPY in one form",
            ),
            (
                "01/03/2020,2,4,1,3",
                "date",
                "01/03/2020",
                "is no date; write YYYY-MM-DD, optionally with a time, or an integer",
            ),
        ];
        for (row, column, value, said) in cases {
            let text = format!("date,open,high,low,Close\n2020-01-02,2,4,1,3\n{row}\n");
            assert_eq!(
                message(&text),
                format!("folder/SPY.csv, line 3, column {column}: {value:?} {said}")
            );
        }

        assert_eq!(
            message("symbol,date,open,high,low,close\n,2020-01-02,2,4,1,3\n"),
            "folder/SPY.csv, line 2, column symbol: \"\" names no symbol; write it or remove the column"
        );
    }

    #[test]
    fn errors_in_the_layout_name_file_line_and_remedy() {
        let cases = [
            (
                "date,open,high,low,close\n2020-01-03,2,4\n",
                "folder/SPY.csv, line 2: 3 fields, but the header has 5; complete the row or remove it",
            ),
            (
                "date,open,high,low\n",
                "folder/SPY.csv, line 1: no column `close`, only: date, open, high, low; rename or add it",
            ),
            (
                "date,TIME,open,high,low,close\n",
                "folder/SPY.csv, line 1: \"date\" and \"TIME\" both could be the column `date`; keep one",
            ),
            (
                "date,open,high,low,close\n",
                "folder/SPY.csv: no rows below the header; add at least one bar",
            ),
            (
                "",
                "folder/SPY.csv, line 1: no column `date`, only: ; rename or add it",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(message(text), expected);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_with_their_line() {
        let text = b"date,open,high,low,close\n2020-01-02,2,4,1,3\n\xff,2,4,1,3\n";
        let error = read(text.as_slice(), "x.csv").unwrap_err().to_string();
        assert_eq!(
            error,
            "x.csv, line 3: not UTF-8 text; save the file as UTF-8"
        );
    }

    #[test]
    fn a_failing_reader_is_an_error() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("disk on fire"))
            }
        }
        let error = read(Failing, "x.csv").unwrap_err().to_string();
        assert_eq!(
            error,
            "x.csv: cannot be read: disk on fire; check the path and the permissions"
        );
    }

    #[test]
    fn lines_are_counted_over_blank_lines_line_breaks_of_two_bytes_and_quoted_breaks() {
        for line_break in ["\n", "\r\n"] {
            let text = [
                "date,open,high,low,close,note", // line 1
                "",
                "2020-01-02,2,4,1,3,\"two",
                "lines\"",
                "",
                "2020-01-03,2,4,1,3,",
                "2020-01-06,2,4,x,3,", // line 7
            ];
            let got = message(&text.join(line_break));
            assert!(
                got.starts_with("folder/SPY.csv, line 7, column low: "),
                "{got}"
            );
            let got = message(
                &text[..6]
                    .join(line_break)
                    .replace("2020-01-03,2", "2020-01-03,x"),
            );
            assert!(
                got.starts_with("folder/SPY.csv, line 6, column open: "),
                "{got}"
            );
        }
    }

    #[test]
    fn dates_are_ordered_by_time_not_by_text() {
        let seconds = |text| match Moment::parse(text) {
            Some(Moment::Time { seconds, nanos: 0 }) => seconds,
            other => panic!("{text} gives {other:?}"),
        };
        // `date -u -d TEXT +%s` of GNU coreutils.
        assert_eq!(seconds("1970-01-01"), 0);
        assert_eq!(seconds("2000-02-29"), 951_782_400);
        assert_eq!(seconds("2013-03-01 00:00"), 1_362_096_000);
        assert_eq!(seconds("2013-03-01T09:30:15Z"), 1_362_130_215);
        assert_eq!(seconds("2013-03-01 09:30:15-05:00"), 1_362_148_215);
        assert_eq!(seconds("2013-03-01 09:30:15.000+0530"), 1_362_110_415);
        assert_eq!(seconds("0000-01-01"), -62_167_219_200);

        let half = Moment::parse("1970-01-01T00:00:00.5").unwrap();
        assert_eq!(
            half,
            Moment::Time {
                seconds: 0,
                nanos: 500_000_000
            }
        );
        let later = Moment::parse("1970-01-01T00:00:00.500000001").unwrap();
        assert_eq!(half.compare(later), Some(Ordering::Less));

        // Clocks go back: the later row has the smaller text.
        let rows = "date,open,high,low,close\n\
                    2020-11-01 01:30:00-04:00,1,1,1,1\n2020-11-01 01:00:00-05:00,1,1,1,1\n";
        assert_eq!(read_text(rows).unwrap()[0].dates.len(), 2);
    }

    #[test]
    fn what_is_no_date_is_rejected() {
        for text in [
            "",
            "-",
            "x",
            "2020-1-1",
            "2020-13-01",
            "2020-00-01",
            "2020-01-00",
            "2020-04-31",
            "2021-02-29",
            "1900-02-29",
            "2020-01-01x",
            "2020-01-01T",
            "2020-01-01T24:00",
            "2020-01-01T10:60",
            "2020-01-01T10:00:61",
            "2020-01-01T10:00:00.",
            "2020-01-01T10:00:00.0123456789",
            "2020-01-01T10:00+5",
            "2020-01-01T10:00+05:0",
            "2020-01-01T10:00Zx",
            "2020-01-0\u{663}",
            "99999999999999999999",
        ] {
            assert_eq!(Moment::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn long_values_are_cut_in_errors() {
        let value = "\u{e9}".repeat(1000);
        let got = message(&format!("date,open,high,low,close\n{value},1,1,1,1\n"));
        assert!(
            got.contains(&format!("\"{}...\"", "\u{e9}".repeat(60))),
            "{got}"
        );
        assert!(got.len() < 300, "{} bytes", got.len());
    }
}
