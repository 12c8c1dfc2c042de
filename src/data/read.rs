//! What the readers of all formats have in common: options, the result, columns by name.

use std::fs::File;
use std::path::Path;

use super::collect::{Extras, ForecastColumns, PRICES, WeightColumns};
use super::{DataError, Policy, Repairs, shorten};
use crate::prices::{ForecastUnit, Prices};

/// The names of the columns of a file, per column any of several, in any case.
///
/// An empty list means that the column is not read.
///
/// ```
/// use trisect::Columns;
///
/// let columns = Columns {
///     close: vec!["Adj Close".to_owned()],
///     volume: vec![],
///     ..Columns::default()
/// };
/// assert_eq!(columns.symbol, ["symbol", "ticker"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Optional; without it the whole file is one symbol. Default: `symbol`, `ticker`.
    pub symbol: Vec<String>,
    /// Start of the bar. Default: `date`, `time`, `datetime`, `timestamp`.
    pub time: Vec<String>,
    /// First price. Default: `open`.
    pub open: Vec<String>,
    /// Highest price. Default: `high`.
    pub high: Vec<String>,
    /// Lowest price. Default: `low`.
    pub low: Vec<String>,
    /// Last price. Default: `close`.
    pub close: Vec<String>,
    /// Optional. Default: `volume`.
    pub volume: Vec<String>,
    /// Forecast of the highest price, optional; with it `low_pred` and either `position` or `buy`
    /// must be there. Default: `high_pred`.
    pub high_pred: Vec<String>,
    /// Forecast of the lowest price, with `high_pred`. Default: `low_pred`.
    pub low_pred: Vec<String>,
    /// One position per bar, with `high_pred`. Default: `position`.
    pub position: Vec<String>,
    /// Buy weight of an always-on bar, with `high_pred`, instead of `position`. Default: `buy`.
    pub buy: Vec<String>,
    /// Sell weight, optional with `buy`. Default: `sell`.
    pub sell: Vec<String>,
}

impl Default for Columns {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            symbol: names(&["symbol", "ticker"]),
            time: names(&["date", "time", "datetime", "timestamp"]),
            open: names(&["open"]),
            high: names(&["high"]),
            low: names(&["low"]),
            close: names(&["close"]),
            volume: names(&["volume"]),
            high_pred: names(&["high_pred"]),
            low_pred: names(&["low_pred"]),
            position: names(&["position"]),
            buy: names(&["buy"]),
            sell: names(&["sell"]),
        }
    }
}

/// What an integer in a column of times counts since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Epoch {
    /// By size. Eight digits that are a date from 1800 to 2199, such as 20200131, are that date;
    /// below 10^11 seconds, below 10^14 milliseconds, below 10^17 microseconds, else nanoseconds.
    /// Right for times from March 1973 to the year 5138; state the unit for others.
    #[default]
    Guess,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// How price files are read.
///
/// A time is a date (`2020-01-31`), a date with a time (`T` or a blank between them), with an
/// offset (`Z`, `-05:00`) or without, or an integer. A date is the first moment of its day. What
/// states no offset is in `zone`: where its clocks are put forward, a time that they skip counts as
/// much later as they skip; where they are put back, a time that is there twice is the first one.
/// Fractions of a second are cut off.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// Names of the columns.
    pub columns: Columns,
    /// Zone of times that state none: a name of the IANA time zone database, such as
    /// `America/New_York`, or an offset, such as `+05:30`. Default: `UTC`.
    pub zone: String,
    /// What integers in the column of times count. Default: by size.
    pub epoch: Epoch,
    /// What `high_pred` and `low_pred` count in. Default: fractional moves.
    pub forecasts: ForecastUnit,
    /// The symbol of a file without a column of symbols. Default: the file's name without folders
    /// and extension.
    pub symbol: Option<String>,
    /// What is refused, repaired and reported.
    pub policy: Policy,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            columns: Columns::default(),
            zone: "UTC".to_owned(),
            epoch: Epoch::Guess,
            forecasts: ForecastUnit::Moves,
            symbol: None,
            policy: Policy::default(),
        }
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceFile {
    /// All symbols, in the order of their first rows; at least one, each with at least one bar.
    pub prices: Vec<Prices>,
    /// What was wrong and not refused. Print it.
    pub repairs: Repairs,
}

/// Reads a price file: Parquet when its name ends in `.parquet`, else CSV.
///
/// # Errors
/// What [`read_csv`](crate::read_csv()) and [`read_parquet`](crate::read_parquet()) refuse;
/// [`Error::Unavailable`](crate::Error::Unavailable) when the feature for the file's format is off.
pub fn read_prices(path: impl AsRef<Path>, options: &ReadOptions) -> Result<PriceFile, DataError> {
    let path = path.as_ref();
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| DataError::Unreadable {
        file: name.clone(),
        reason: error.to_string(),
    })?;
    let extension = path.extension();
    if extension.is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) {
        parquet_file(file, &name, options)
    } else {
        csv_file(file, &name, options)
    }
}

#[cfg(feature = "parquet")]
use super::read_parquet as parquet_file;

#[cfg(not(feature = "parquet"))]
fn parquet_file(_: File, name: &str, _: &ReadOptions) -> Result<PriceFile, DataError> {
    Err(unavailable(
        "Parquet",
        name,
        "build with the feature parquet",
    ))
}

#[cfg(feature = "csv")]
use super::read_csv as csv_file;

#[cfg(not(feature = "csv"))]
fn csv_file(_: File, name: &str, _: &ReadOptions) -> Result<PriceFile, DataError> {
    Err(unavailable("CSV", name, "build with the feature csv"))
}

#[cfg(not(all(feature = "csv", feature = "parquet")))]
fn unavailable(what: &'static str, name: &str, remedy: &'static str) -> DataError {
    let why = format!("{name} needs it, and it is not part of this build");
    crate::Error::Unavailable { what, why, remedy }.into()
}

/// The columns of a file, as indices into its rows.
pub(super) struct Found {
    pub symbol: Option<usize>,
    pub time: usize,
    /// As in [`PRICES`].
    pub prices: [usize; 4],
    pub volume: Option<usize>,
    /// `high_pred`, `low_pred`, position or buy, sell.
    pub forecasts: Option<[Option<usize>; 4]>,
    pub extras: Extras,
    /// Names of the columns of prices as the file has them.
    pub names: [String; 4],
}

impl Found {
    /// Finds the columns of `header` that are asked for.
    pub fn new(header: &[&str], file: &str, options: &ReadOptions) -> Result<Self, DataError> {
        let columns = &options.columns;
        let names = Names { header, file };
        let prices = [&columns.open, &columns.high, &columns.low, &columns.close];
        let mut found = [0; 4];
        for ((index, names_of), column) in found.iter_mut().zip(prices).zip(PRICES) {
            *index = names.require(column, names_of)?;
        }
        let volume = names.find("volume", &columns.volume)?;
        let high_pred = names.find("high_pred", &columns.high_pred)?;
        let low_pred = names.find("low_pred", &columns.low_pred)?;
        let (mut forecasts, mut forecast_columns) = (None, None);
        if high_pred.is_some() || low_pred.is_some() {
            names.require("high_pred", &columns.high_pred)?;
            names.require("low_pred", &columns.low_pred)?;
            let buy = names.find("buy", &columns.buy)?;
            let sell = names.find("sell", &columns.sell)?;
            let (first, second, weights) = match (buy, sell) {
                (Some(_), Some(_)) => (buy, sell, WeightColumns::BuySell),
                (Some(_), None) => (buy, None, WeightColumns::Buy),
                (None, _) => {
                    let position = names.require("position", &columns.position)?;
                    (Some(position), None, WeightColumns::Position)
                }
            };
            if let (Some(buy), Some(position)) = (buy, names.find("position", &columns.position)?) {
                return Err(names.ambiguous("position", position, buy));
            }
            forecasts = Some([high_pred, low_pred, first, second]);
            forecast_columns = Some(ForecastColumns {
                unit: options.forecasts,
                weights,
            });
        }
        Ok(Self {
            symbol: names.find("symbol", &columns.symbol)?,
            time: names.require("time", &columns.time)?,
            prices: found,
            volume,
            forecasts,
            extras: Extras {
                volume: volume.is_some(),
                forecasts: forecast_columns,
            },
            names: found.map(|index| shorten(header[index])),
        })
    }
}

/// The names of a file's columns.
pub(super) struct Names<'a> {
    pub header: &'a [&'a str],
    pub file: &'a str,
}

impl Names<'_> {
    pub fn find(&self, column: &'static str, names: &[String]) -> Result<Option<usize>, DataError> {
        let is_meant = |field: &&str| {
            let field = field.trim();
            names.iter().any(|name| field.eq_ignore_ascii_case(name))
        };
        let mut matching = (0..self.header.len()).filter(|&index| is_meant(&self.header[index]));
        match (matching.next(), matching.next()) {
            (Some(first), Some(second)) => Err(self.ambiguous(column, first, second)),
            (first, _) => Ok(first),
        }
    }

    pub fn require(&self, column: &'static str, names: &[String]) -> Result<usize, DataError> {
        self.find(column, names)?
            .ok_or_else(|| DataError::MissingColumn {
                file: self.file.to_owned(),
                column,
                names: shorten(&names.join(" or ")),
                found: shorten(&self.header.join(", ")),
            })
    }

    pub fn ambiguous(&self, column: &'static str, first: usize, second: usize) -> DataError {
        DataError::AmbiguousColumn {
            file: self.file.to_owned(),
            column,
            first: shorten(self.header[first]),
            second: shorten(self.header[second]),
        }
    }
}

/// The symbol of a file without a column of symbols.
pub(super) fn symbol_of(file: &str, options: &ReadOptions) -> String {
    options.symbol.clone().unwrap_or_else(|| {
        let stem = Path::new(file).file_stem();
        stem.map_or_else(
            || file.to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        )
    })
}
