//! Turns prices into bars with forecasts, and a series of bars into simulations.
//!
//! The forecast is a plain rule, there to be tuned: the mean moves of the bars before.
//! It must not know the future. Bar `t` is forecast from bars before `t` only, and a test changes every later price to prove it.

use std::ops::Range;

use thiserror::Error;

use crate::data::Prices;

/// Bars with forecasts, oldest first. All vectors have the same length, at least 1.
///
/// Every price is a fractional move against the close of the bar before (0.01 = +1 %).
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// Date of each bar, as in the file.
    pub dates: Vec<String>,
    /// Move to the close.
    pub close: Vec<f64>,
    /// Move to the highest price.
    pub high: Vec<f64>,
    /// Move to the lowest price.
    pub low: Vec<f64>,
    /// Forecast of `high`: the mean `high` of the bars before.
    pub high_pred: Vec<f64>,
    /// Forecast of `low`: the mean `low` of the bars before.
    pub low_pred: Vec<f64>,
    /// +1 (long) when the mean `close` of the bars before is at least 0, else -1 (short).
    pub position: Vec<f64>,
}

/// Why prices cannot become bars, or bars simulations, and what to do about it.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ForecastError {
    /// A count that must be at least 1.
    #[error("{what} is 0; it must be at least 1")]
    Zero { what: &'static str },

    /// The file is too short for the lookback.
    #[error(
        "{symbol} has {have} prices, but a lookback of {lookback} needs at least {need}; add data or look back less"
    )]
    TooFewPrices {
        symbol: String,
        have: usize,
        need: usize,
        lookback: usize,
    },

    /// There are not enough bars for the wanted simulations.
    #[error(
        "there are {have} bars, but {count} simulations of {length} bars need at least {need}; add data or ask for fewer or shorter simulations"
    )]
    TooFewBars {
        have: usize,
        need: usize,
        length: usize,
        count: usize,
    },

    /// A move that is not finite as an f32, the library's number.
    #[error(
        "{symbol}, {date}: from {from} to {to} is a move beyond any number; correct the prices"
    )]
    NotFinite {
        symbol: String,
        date: String,
        from: f64,
        to: f64,
    },
}

/// Computes moves and forecasts.
///
/// The first bar is the one that has a close before it and `lookback` bars with moves before it, so there are `lookback + 1` fewer bars than prices.
/// Usual: a lookback of 20 bars, one month.
///
/// # Errors
///
/// `lookback` is 0; there are fewer than `lookback + 2` prices; a move overflows an f32.
pub fn bars(prices: &Prices, lookback: usize) -> Result<Bars, ForecastError> {
    if lookback == 0 {
        return Err(ForecastError::Zero { what: "lookback" });
    }
    let have = prices.close.len();
    let need = lookback.saturating_add(2);
    if have < need {
        return Err(ForecastError::TooFewPrices {
            symbol: prices.symbol.clone(),
            have,
            need,
            lookback,
        });
    }

    let close = moves(prices, &prices.close)?;
    let high = moves(prices, &prices.high)?;
    let low = moves(prices, &prices.low)?;

    // Bar t of the result is move t + lookback, which is the price t + lookback + 1.
    let past = |t: usize| t..t + lookback;
    let count = close.len() - lookback;
    Ok(Bars {
        dates: prices.dates[lookback + 1..].to_vec(),
        high_pred: (0..count).map(|t| mean(&high[past(t)])).collect(),
        low_pred: (0..count).map(|t| mean(&low[past(t)])).collect(),
        position: (0..count)
            .map(|t| {
                if mean(&close[past(t)]) >= 0.0 {
                    1.0
                } else {
                    -1.0
                }
            })
            .collect(),
        close: close[lookback..].to_vec(),
        high: high[lookback..].to_vec(),
        low: low[lookback..].to_vec(),
    })
}

/// The bars of each of `count` simulations of `length` bars: simulation `k` ends `k` bars before the last bar.
///
/// Simulation 0 is the newest; neighbours overlap in `length - 1` bars.
///
/// # Errors
///
/// `length` or `count` is 0; there are fewer than `length + count - 1` bars.
pub fn windows(
    bars: &Bars,
    length: usize,
    count: usize,
) -> Result<Vec<Range<usize>>, ForecastError> {
    if length == 0 {
        return Err(ForecastError::Zero {
            what: "the length of a simulation",
        });
    }
    if count == 0 {
        return Err(ForecastError::Zero {
            what: "the number of simulations",
        });
    }
    let have = bars.close.len();
    let need = length.saturating_add(count - 1);
    if have < need {
        return Err(ForecastError::TooFewBars {
            have,
            need,
            length,
            count,
        });
    }
    Ok((0..count).map(|k| have - k - length..have - k).collect())
}

/// The moves of `column` (one price per bar) against the close before: one fewer than prices.
fn moves(prices: &Prices, column: &[f64]) -> Result<Vec<f64>, ForecastError> {
    let before = &prices.close;
    let after = column.iter().enumerate().skip(1);
    before
        .iter()
        .zip(after)
        .map(|(&from, (t, &to))| {
            let change = to / from - 1.0;
            if !(change as f32).is_finite() {
                return Err(ForecastError::NotFinite {
                    symbol: prices.symbol.clone(),
                    date: prices.dates[t].clone(),
                    from,
                    to,
                });
            }
            Ok(change)
        })
        .collect()
}

/// The mean of at least one value, summed in order.
///
/// Computed afresh for every bar: a rolling sum would carry the rounding of all earlier bars along, and then the same past would not give the same forecast.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read;

    /// The forecasts of one bar, as bits.
    fn forecast(bars: &Bars, t: usize) -> [u64; 3] {
        [bars.high_pred[t], bars.low_pred[t], bars.position[t]].map(f64::to_bits)
    }

    /// `count` prices that differ everywhere and move up and down.
    fn wavy(count: usize) -> Prices {
        let wave = |t: usize, factor: f64| 100.0 + 10.0 * (t as f64 * factor).sin();
        let close: Vec<f64> = (0..count).map(|t| wave(t, 0.7)).collect();
        let open: Vec<f64> = (0..count).map(|t| wave(t, 0.3)).collect();
        let pairs = || open.iter().zip(&close).enumerate();
        Prices {
            symbol: "WAVY".to_owned(),
            dates: (0..count).map(|t| t.to_string()).collect(),
            high: pairs()
                .map(|(t, (&o, &c))| o.max(c) + 0.1 + (t % 7) as f64)
                .collect(),
            low: pairs()
                .map(|(t, (&o, &c))| o.min(c) - 0.1 - (t % 5) as f64)
                .collect(),
            open,
            close,
        }
    }

    /// The prices with all four prices of bar `t`, and of every later bar, made different.
    ///
    /// The close is turned over (a rise becomes a fall), so that a position that depends on it changes too.
    fn change_from(prices: &Prices, t: usize) -> Prices {
        let mut changed = prices.clone();
        for i in t..prices.close.len() {
            let factor = 3.0 + (i % 3) as f64;
            changed.open[i] *= factor;
            changed.high[i] *= factor * 1.5;
            changed.low[i] *= factor * 0.5;
            let rose = i > 0 && prices.close[i] >= prices.close[i - 1];
            changed.close[i] *= if rose { 0.01 } else { factor };
        }
        changed
    }

    #[test]
    fn no_forecast_depends_on_its_own_bar_or_a_later_one() {
        for lookback in [1, 2, 5, 20] {
            let prices = wavy(60);
            let bars_before = bars(&prices, lookback).unwrap();
            let count = bars_before.close.len();
            let mut positions_changed = 0;
            for t in 0..count {
                let changed = change_from(&prices, t + lookback + 1);
                let bars_after = bars(&changed, lookback).unwrap();
                for earlier in 0..=t {
                    assert_eq!(
                        forecast(&bars_before, earlier),
                        forecast(&bars_after, earlier),
                        "lookback {lookback}: bar {earlier} knew of bar {t}"
                    );
                }
                // The change reaches what may depend on it, so a rule that peeked would have been caught.
                for (before, after) in [
                    (&bars_before.close, &bars_after.close),
                    (&bars_before.high, &bars_after.high),
                    (&bars_before.low, &bars_after.low),
                ] {
                    assert_ne!(before[t], after[t], "bar {t} itself did not change");
                }
                if t + 1 < count {
                    let (before, after) =
                        (forecast(&bars_before, t + 1), forecast(&bars_after, t + 1));
                    assert_ne!(before[0], after[0], "high_pred after bar {t}");
                    assert_ne!(before[1], after[1], "low_pred after bar {t}");
                    positions_changed += usize::from(before[2] != after[2]);
                }
            }
            assert!(positions_changed > 0, "lookback {lookback}");
        }
    }

    #[test]
    fn bars_are_moves_and_means_of_the_bars_before() {
        let text = "date,open,high,low,close\n\
                    2020-01-01,9,9,9,100\n\
                    2020-01-02,9,120,90,110\n\
                    2020-01-03,9,110,88,99\n\
                    2020-01-06,9,108.9,79.2,89.1\n\
                    2020-01-07,9,99.9,88.2,98.01\n";
        let prices = &read(text.as_bytes(), "x.csv").unwrap()[0];
        let bars = bars(prices, 2).unwrap();
        assert_eq!(bars.dates, ["2020-01-06", "2020-01-07"]);
        let check = |name: &str, got: &[f64], expected: [f64; 2]| {
            for t in 0..2 {
                let error = (got[t] - expected[t]).abs();
                assert!(
                    error <= 1e-15,
                    "{name}[{t}]: {} not {}",
                    got[t],
                    expected[t]
                );
            }
        };
        check("close", &bars.close, [-0.1, 0.1]);
        check("high", &bars.high, [0.1, 99.9 / 89.1 - 1.0]);
        check("low", &bars.low, [-0.2, 88.2 / 89.1 - 1.0]);
        check("high_pred", &bars.high_pred, [0.1, 0.05]);
        check("low_pred", &bars.low_pred, [-0.15, -0.2]);
        // Means of the closes: (0.1 - 0.1) / 2 up to rounding, then -0.1.
        assert_eq!(bars.position[1], -1.0);
    }

    #[test]
    fn the_position_is_long_on_a_flat_past_and_follows_its_sign() {
        let mut prices = wavy(5);
        let mut position = |closes: [f64; 4]| {
            prices.close[..4].copy_from_slice(&closes);
            bars(&prices, 3).unwrap().position
        };
        assert_eq!(position([100.0; 4]), [1.0]);
        assert_eq!(position([100.0, 100.0, 100.0, 101.0]), [1.0]);
        assert_eq!(position([100.0, 100.0, 100.0, 99.0]), [-1.0]);
    }

    #[test]
    fn the_same_past_gives_the_same_forecast_wherever_it_stands() {
        let prices = wavy(80);
        let all = bars(&prices, 20).unwrap();
        let mut tail = prices.clone();
        for column in [
            &mut tail.open,
            &mut tail.high,
            &mut tail.low,
            &mut tail.close,
        ] {
            column.drain(..30);
        }
        tail.dates.drain(..30);
        let tail = bars(&tail, 20).unwrap();
        for t in 0..tail.close.len() {
            assert_eq!(forecast(&tail, t), forecast(&all, t + 30), "bar {t}");
        }
    }

    #[test]
    fn simulation_k_ends_k_bars_before_the_last() {
        let bars = bars(&wavy(13), 2).unwrap();
        assert_eq!(bars.close.len(), 10);
        assert_eq!(windows(&bars, 4, 3).unwrap(), [6..10, 5..9, 4..8]);
        assert_eq!(windows(&bars, 10, 1).unwrap()[0], 0..10);
        assert_eq!(windows(&bars, 1, 10).unwrap()[9], 0..1);
        assert_eq!(windows(&bars, 4, 7).unwrap()[6], 0..4);
    }

    #[test]
    fn errors_say_what_there_is_and_what_is_needed() {
        let prices = wavy(21);
        assert_eq!(
            bars(&prices, 20).unwrap_err().to_string(),
            "WAVY has 21 prices, but a lookback of 20 needs at least 22; add data or look back less"
        );
        assert_eq!(bars(&wavy(22), 20).unwrap().close.len(), 1);
        assert_eq!(
            bars(&prices, 0).unwrap_err().to_string(),
            "lookback is 0; it must be at least 1"
        );
        assert!(bars(&prices, usize::MAX).is_err());

        let ten = bars(&wavy(13), 2).unwrap();
        assert_eq!(
            windows(&ten, 4, 8).unwrap_err().to_string(),
            "there are 10 bars, but 8 simulations of 4 bars need at least 11; \
             add data or ask for fewer or shorter simulations"
        );
        assert!(windows(&ten, usize::MAX, usize::MAX).is_err());
        assert!(windows(&ten, 0, 1).is_err());
        assert!(windows(&ten, 1, 0).is_err());
    }

    #[test]
    fn a_move_beyond_f32_is_an_error_that_names_the_bar() {
        let mut prices = wavy(30);
        prices.close[24] = 1e-300;
        match bars(&prices, 20).unwrap_err() {
            ForecastError::NotFinite { date, from, .. } => {
                assert_eq!((date.as_str(), from), ("25", 1e-300));
            }
            other => panic!("{other}"),
        }
    }
}
