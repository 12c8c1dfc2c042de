//! The bars of one symbol with forecasts: what a walk-forward run trades.

use crate::batch::Weights;
use crate::error::Error;

/// The bars of one symbol, oldest first, with forecasts.
///
/// All columns have one value per bar. Prices are fractional moves against the bar's reference
/// price (0.01 = +1 %), as in a [`Batch`](crate::Batch).
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name.
    pub symbol: String,
    /// Start of each bar in seconds since 1970-01-01T00:00:00Z, strictly ascending.
    pub times: Vec<i64>,
    /// Move to the close.
    pub close: Vec<f32>,
    /// Move to the highest price.
    pub high: Vec<f32>,
    /// Move to the lowest price.
    pub low: Vec<f32>,
    /// Forecast of `high`, made from earlier bars only.
    pub high_pred: Vec<f32>,
    /// Forecast of `low`, made from earlier bars only.
    pub low_pred: Vec<f32>,
    /// What is traded.
    pub weights: Weights<Vec<f32>>,
}

impl Series {
    /// Number of bars.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no bar.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Refuses columns of different lengths and times that do not ascend. What a batch refuses, it
    /// refuses itself.
    ///
    /// # Errors
    /// [`Error::Length`], or [`Error::InvalidOption`] that names the first such time.
    pub fn check(&self) -> Result<(), Error> {
        let expected = self.times.len();
        let mut columns = vec![
            ("the closes of a series", self.close.len()),
            ("the highs of a series", self.high.len()),
            ("the lows of a series", self.low.len()),
            ("the high forecasts of a series", self.high_pred.len()),
            ("the low forecasts of a series", self.low_pred.len()),
        ];
        match &self.weights {
            Weights::EntryExit(positions) => {
                columns.push(("the positions of a series", positions.len()));
            }
            Weights::AlwaysOn { buy, sell } => {
                columns.push(("the buy weights of a series", buy.len()));
                if let Some(sell) = sell {
                    columns.push(("the sell weights of a series", sell.len()));
                }
            }
        }
        for (what, got) in columns {
            if got != expected {
                return Err(Error::Length {
                    what,
                    expected,
                    got,
                    remedy: "give every column one value per bar",
                });
            }
        }
        let unsorted = self.times.windows(2).position(|pair| pair[0] >= pair[1]);
        if let Some(bar) = unsorted {
            let value = format!("{} at bar {}", self.times[bar + 1], bar + 1);
            return Err(Error::option(
                "times of a series",
                value,
                "later than the bar before: sort the bars and drop duplicates",
            ));
        }
        Ok(())
    }
}
