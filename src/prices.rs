//! The bars of one symbol as prices, before they are moves.

use crate::batch::Weights;
use crate::data::DataError;

/// The bars of one symbol as prices, oldest first.
///
/// All columns have one value per bar. [`Prices::check`] says what prices must be, or repairs them;
/// what the library reads from files has passed it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prices {
    /// Its name.
    pub symbol: String,
    /// Start of each bar in seconds since 1970-01-01T00:00:00Z, strictly ascending.
    pub times: Vec<i64>,
    /// First price of each bar, in any currency; finite and above 0, as are the next three.
    pub open: Vec<f64>,
    /// Highest price of each bar.
    pub high: Vec<f64>,
    /// Lowest price of each bar, at most the highest.
    pub low: Vec<f64>,
    /// Last price of each bar.
    pub close: Vec<f64>,
    /// What was traded in each bar, in any unit; NaN where it is not known. It is not checked.
    pub volume: Option<Vec<f64>>,
    /// Forecasts that came with the prices.
    pub forecasts: Option<GivenForecasts>,
}

/// Forecasts and weights that came with prices, one value per bar.
///
/// NaN where there is none. A bar is usable when all its values are numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenForecasts {
    /// What `high_pred` and `low_pred` count in.
    pub unit: ForecastUnit,
    /// Forecast of the highest price.
    pub high_pred: Vec<f64>,
    /// Forecast of the lowest price.
    pub low_pred: Vec<f64>,
    /// What is traded.
    pub weights: Weights<Vec<f64>>,
}

/// What a forecast counts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ForecastUnit {
    /// Fractional moves against the close of the bar before: 0.01 = +1 %.
    #[default]
    Moves,
    /// Prices in the currency of the bars.
    Prices,
}

impl Prices {
    /// Number of bars.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no bar.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Refuses columns of different lengths.
    pub(crate) fn check_lengths(&self) -> Result<(), DataError> {
        let mut columns = vec![
            ("open", self.open.len()),
            ("high", self.high.len()),
            ("low", self.low.len()),
            ("close", self.close.len()),
        ];
        if let Some(volume) = &self.volume {
            columns.push(("volume", volume.len()));
        }
        if let Some(given) = &self.forecasts {
            columns.push(("high_pred", given.high_pred.len()));
            columns.push(("low_pred", given.low_pred.len()));
            match &given.weights {
                Weights::EntryExit(positions) => columns.push(("position", positions.len())),
                Weights::AlwaysOn { buy, sell } => {
                    columns.push(("buy", buy.len()));
                    if let Some(sell) = sell {
                        columns.push(("sell", sell.len()));
                    }
                }
            }
        }
        let expected = self.times.len();
        match columns.into_iter().find(|&(_, got)| got != expected) {
            None => Ok(()),
            Some((column, got)) => Err(DataError::Lengths {
                symbol: self.symbol.clone(),
                column,
                expected,
                got,
            }),
        }
    }
}
