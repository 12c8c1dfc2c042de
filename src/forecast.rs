//! Forecasts from past bars, and prices as a series of moves with forecasts.

use std::collections::VecDeque;

use crate::batch::Weights;
use crate::data::{DataError, show_time};
use crate::error::Error;
use crate::prices::{ForecastUnit, GivenForecasts, Prices};
use crate::series::Series;

/// Makes forecasts from past bars only.
///
/// A forecaster cannot look ahead: it is handed one bar after the other, each when it has ended,
/// and says what it expects of the next one before it sees it.
///
/// ```
/// use trisect::{Error, Forecast, ForecastStep, Forecaster, PastBar, Prices, Series};
///
/// /// The next bar is like the last one.
/// struct Again;
///
/// impl Forecaster for Again {
///     fn start(&self) -> Result<ForecastStep<'_>, Error> {
///         Ok(Box::new(|bar: &PastBar| {
///             let (high, low) = (bar.high_move(), bar.low_move());
///             Some(Forecast { high, low, position: 1.0 })
///         }))
///     }
/// }
///
/// let prices = Prices {
///     symbol: "X".to_owned(),
///     times: vec![0, 86_400, 172_800],
///     open: vec![100.0, 100.0, 104.0],
///     high: vec![101.0, 105.0, 106.0],
///     low: vec![99.0, 98.0, 103.0],
///     close: vec![100.0, 104.0, 104.0],
///     ..Prices::default()
/// };
/// let series = Series::from_prices(&prices, &Again)?;
/// assert_eq!(series.times, [172_800]);
/// assert_eq!(series.high_pred, [0.05]);
/// # Ok::<(), trisect::DataError>(())
/// ```
pub trait Forecaster {
    /// Begins with a symbol of which nothing is known yet.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for an option that makes no sense.
    fn start(&self) -> Result<ForecastStep<'_>, Error>;
}

/// Takes a bar that has ended and forecasts the next one; `None` while it has seen too few.
///
/// A bar without a forecast is no part of a [`Series`].
pub type ForecastStep<'a> = Box<dyn FnMut(&PastBar) -> Option<Forecast> + 'a>;

/// A bar that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PastBar {
    /// Its start in seconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// What was traded; NaN where it is not known.
    pub volume: f64,
    /// Last price of the bar before.
    pub previous_close: f64,
}

impl PastBar {
    /// Fractional move from the close before to the close.
    pub fn close_move(&self) -> f64 {
        self.close / self.previous_close - 1.0
    }

    /// Fractional move from the close before to the highest price.
    pub fn high_move(&self) -> f64 {
        self.high / self.previous_close - 1.0
    }

    /// Fractional move from the close before to the lowest price.
    pub fn low_move(&self) -> f64 {
        self.low / self.previous_close - 1.0
    }

    /// The range of prices with the close before, in the currency of the bars: the true range of
    /// J. Welles Wilder, "New Concepts in Technical Trading Systems", 1978.
    pub fn true_range(&self) -> f64 {
        self.high.max(self.previous_close) - self.low.min(self.previous_close)
    }
}

/// What is expected of the next bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Fractional move from the last close to the next highest price.
    pub high: f64,
    /// Fractional move from the last close to the next lowest price.
    pub low: f64,
    /// Position to take: above 0 long, below 0 short.
    pub position: f64,
}

/// The mean moves of the last bars, each with the same weight.
///
/// The position is +1 where the mean move to the close is at least 0, else -1. The same last bars
/// give the same forecast, to the bit, whatever was before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollingMean {
    /// Number of bars, at least 1.
    pub lookback: usize,
}

impl Default for RollingMean {
    /// 20 bars, about one month of trading days.
    fn default() -> Self {
        Self { lookback: 20 }
    }
}

impl Forecaster for RollingMean {
    fn start(&self) -> Result<ForecastStep<'_>, Error> {
        at_least_one("lookback", self.lookback)?;
        let mut past: [VecDeque<f64>; 3] = Default::default();
        Ok(Box::new(move |bar| {
            let moves = [bar.high_move(), bar.low_move(), bar.close_move()];
            for (values, value) in past.iter_mut().zip(moves) {
                if values.len() == self.lookback {
                    values.pop_front();
                }
                values.push_back(value);
            }
            if past[0].len() < self.lookback {
                return None;
            }
            // Afresh for every bar: a running sum would carry the rounding of all earlier bars along.
            let [high, low, close] = past.each_ref().map(|values| {
                let sum: f64 = values.iter().sum();
                sum / self.lookback as f64
            });
            Some(Forecast {
                high,
                low,
                position: sign(close),
            })
        }))
    }
}

/// The mean moves of all past bars, with weights that fall by a fixed factor from bar to bar.
///
/// The factor is `1 - 2 / (span + 1)` and the weights are divided by their sum, as in pandas'
/// `ewm(span=span, adjust=True).mean()`. The first forecast comes after `span` bars. The position
/// is +1 where the mean move to the close is at least 0, else -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ewma {
    /// Number of bars that the weights are about spread over, at least 1.
    pub span: usize,
}

impl Default for Ewma {
    /// A span of 20 bars.
    fn default() -> Self {
        Self { span: 20 }
    }
}

impl Forecaster for Ewma {
    fn start(&self) -> Result<ForecastStep<'_>, Error> {
        at_least_one("span", self.span)?;
        let factor = 1.0 - 2.0 / (self.span as f64 + 1.0);
        let (mut sums, mut weight, mut seen) = ([0.0; 3], 0.0, 0);
        Ok(Box::new(move |bar| {
            let moves = [bar.high_move(), bar.low_move(), bar.close_move()];
            for (sum, value) in sums.iter_mut().zip(moves) {
                *sum = *sum * factor + value;
            }
            weight = weight * factor + 1.0;
            seen += 1;
            let [high, low, close] = sums.map(|sum| sum / weight);
            (seen >= self.span).then_some(Forecast {
                high,
                low,
                position: sign(close),
            })
        }))
    }
}

/// Bands of a multiple of the average true range around the last close.
///
/// The average is Wilder's (1978): the mean of the first `lookback` true ranges, and from then on
/// `(average * (lookback - 1) + true range) / lookback`. The position is +1 where the moves to the
/// close, averaged in the same way, are at least 0, else -1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtrBands {
    /// Number of bars, at least 1.
    pub lookback: usize,
    /// Distance of a band from the last close in average true ranges, finite and above 0.
    pub width: f64,
}

impl Default for AtrBands {
    /// Wilder's 14 bars; half a range to each side.
    fn default() -> Self {
        Self {
            lookback: 14,
            width: 0.5,
        }
    }
}

impl Forecaster for AtrBands {
    fn start(&self) -> Result<ForecastStep<'_>, Error> {
        at_least_one("lookback", self.lookback)?;
        if !(self.width > 0.0 && self.width < f64::INFINITY) {
            return Err(Error::option("width", self.width, "finite and above 0"));
        }
        let (mut range, mut trend, mut seen) = (0.0, 0.0, 0);
        Ok(Box::new(move |bar| {
            // Up to the lookback the mean of what there is, which is its mean at the lookback.
            seen = self.lookback.min(seen + 1);
            let bars = seen as f64;
            range += (bar.true_range() - range) / bars;
            trend += (bar.close_move() - trend) / bars;
            let band = self.width * range / bar.close;
            (seen == self.lookback).then_some(Forecast {
                high: band,
                low: -band,
                position: sign(trend),
            })
        }))
    }
}

fn at_least_one(name: &'static str, value: usize) -> Result<(), Error> {
    match value {
        0 => Err(Error::option(name, value, "at least 1")),
        _ => Ok(()),
    }
}

fn sign(trend: f64) -> f64 {
    if trend >= 0.0 { 1.0 } else { -1.0 }
}

impl Series {
    /// The bars as moves against the close of the bar before, with forecasts made from the bars
    /// before each.
    ///
    /// The first bar is the first one with a forecast. Forecasts that came with the prices are not
    /// used: see [`from_given_forecasts`](Self::from_given_forecasts).
    ///
    /// # Errors
    /// What [`Prices::check`] refuses of lengths; [`DataError::TooShort`]; [`DataError::NoMove`] for
    /// prices that no f32 can express as a move; [`DataError::BadForecast`]; what the forecaster
    /// refuses.
    pub fn from_prices(prices: &Prices, forecaster: &dyn Forecaster) -> Result<Self, DataError> {
        let mut step = forecaster.start()?;
        let mut pending = None;
        Self::collect(prices, |bar| {
            let forecast = pending.take();
            pending = step(bar);
            Ok(forecast)
        })
    }

    /// The bars as moves against the close of the bar before, with the forecasts that came with
    /// them, of which nobody knows what they were made from.
    ///
    /// The first bar is the first one with forecasts and a close before it.
    ///
    /// # Errors
    /// As [`from_prices`](Self::from_prices); [`DataError::NoForecasts`] for prices without; and
    /// [`DataError::BadForecast`] for a bar without forecasts after one with.
    pub fn from_given_forecasts(prices: &Prices) -> Result<Self, DataError> {
        prices.check_lengths()?;
        let Some(given) = &prices.forecasts else {
            return Err(DataError::NoForecasts {
                symbol: prices.symbol.clone(),
            });
        };
        let no_sell = [];
        let (first, second) = match &given.weights {
            Weights::EntryExit(positions) => (positions, &no_sell[..]),
            Weights::AlwaysOn { buy, sell } => (buy, sell.as_deref().unwrap_or(&no_sell)),
        };
        let mut bar = 0;
        let mut begun = false;
        let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
        let mut series = Self::collect(prices, |past| {
            bar += 1;
            let forecast = given.forecast(bar, past.previous_close, first[bar]);
            let known = [forecast.high, forecast.low, forecast.position];
            let second = second.get(bar);
            begun |= known.iter().chain(second).all(|value| value.is_finite());
            if !begun {
                return Ok(None);
            }
            firsts.push(first[bar] as f32);
            seconds.extend(second.map(|&value| value as f32));
            match second {
                Some(&value) if !value.is_finite() => Err(value),
                _ => Ok(Some(forecast)),
            }
        })?;
        if let Weights::AlwaysOn { sell, .. } = &given.weights {
            series.weights = Weights::AlwaysOn {
                buy: firsts,
                sell: sell.as_ref().map(|_| seconds),
            };
        }
        Ok(series)
    }

    /// Moves of all bars that `forecast` gives a forecast for; it is called with every bar but the
    /// first, in order. Its error is a value that is no forecast.
    fn collect(
        prices: &Prices,
        mut forecast: impl FnMut(&PastBar) -> Result<Option<Forecast>, f64>,
    ) -> Result<Self, DataError> {
        prices.check_lengths()?;
        let mut series = Self {
            symbol: prices.symbol.clone(),
            times: Vec::new(),
            close: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            high_pred: Vec::new(),
            low_pred: Vec::new(),
            weights: Weights::EntryExit(Vec::new()),
        };
        let mut positions = Vec::new();
        for bar in 1..prices.len() {
            let past = PastBar {
                time: prices.times[bar],
                open: prices.open[bar],
                high: prices.high[bar],
                low: prices.low[bar],
                close: prices.close[bar],
                volume: prices
                    .volume
                    .as_ref()
                    .map_or(f64::NAN, |volume| volume[bar]),
                previous_close: prices.close[bar - 1],
            };
            let no_forecast = |value| DataError::BadForecast {
                symbol: prices.symbol.clone(),
                time: show_time(past.time),
                value,
            };
            let Some(forecast) = forecast(&past).map_err(no_forecast)? else {
                continue;
            };
            let values = [forecast.high, forecast.low, forecast.position];
            if let Some(&value) = values.iter().find(|value| !(**value as f32).is_finite()) {
                return Err(no_forecast(value));
            }
            let to_move = |change: f64, to: f64| {
                let narrow = change as f32;
                if narrow.is_finite() {
                    return Ok(narrow);
                }
                Err(DataError::NoMove {
                    symbol: prices.symbol.clone(),
                    time: show_time(past.time),
                    from: past.previous_close,
                    to,
                })
            };
            series.close.push(to_move(past.close_move(), past.close)?);
            series.high.push(to_move(past.high_move(), past.high)?);
            series.low.push(to_move(past.low_move(), past.low)?);
            series.times.push(past.time);
            series.high_pred.push(forecast.high as f32);
            series.low_pred.push(forecast.low as f32);
            positions.push(forecast.position as f32);
        }
        if series.is_empty() {
            return Err(DataError::TooShort {
                symbol: prices.symbol.clone(),
                have: prices.len(),
            });
        }
        series.weights = Weights::EntryExit(positions);
        Ok(series)
    }
}

impl GivenForecasts {
    fn forecast(&self, bar: usize, previous_close: f64, position: f64) -> Forecast {
        let as_move = |value: f64| match self.unit {
            ForecastUnit::Moves => value,
            ForecastUnit::Prices => value / previous_close - 1.0,
        };
        Forecast {
            high: as_move(self.high_pred[bar]),
            low: as_move(self.low_pred[bar]),
            position,
        }
    }
}
