//! The simulations: synthetic, or windows of real prices.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use trisect::{Batch, Fields, Weights};

use crate::arguments::{Arguments, Source};
use crate::{data, forecast, synthetic};

/// Bars a forecast looks back on: about one month of trading days.
const LOOKBACK: usize = 20;

/// Most bars that are drawn: their columns take 24 GiB.
const MOST_BARS: usize = 1 << 30;

/// The batch that the arguments ask for, and what it is.
pub fn batch(arguments: &Arguments) -> Result<(Batch, String), Box<dyn Error>> {
    let (simulations, bars) = (arguments.simulations, arguments.bars);
    match &arguments.source {
        Source::Synthetic(forecasts) => {
            if simulations.saturating_mul(bars) > MOST_BARS {
                return Err(format!(
                    "--simulations {simulations} --bars {bars}: at most {MOST_BARS} bars in all"
                )
                .into());
            }
            let batch = synthetic::drawn(simulations, bars, *forecasts, arguments.seed);
            let kind = match forecasts {
                synthetic::Forecasts::Skilled => "skilled forecasts",
                synthetic::Forecasts::Noise => "forecasts that know nothing",
            };
            Ok((batch, format!("synthetic, {kind}")))
        }
        Source::Csv(path) => from_prices(path, bars, simulations),
    }
}

/// Windows of every symbol that has enough bars, as many as it has but no more than `most`.
fn from_prices(path: &Path, bars: usize, most: usize) -> Result<(Batch, String), Box<dyn Error>> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    let mut builder = Batch::builder();
    let mut symbols = Vec::new();
    for prices in data::read(file, &name)? {
        let series = forecast::bars(&prices, LOOKBACK)?;
        let windows = (series.close.len() + 1).saturating_sub(bars).min(most);
        if windows == 0 {
            eprintln!(
                "{}: left out, {} bars are too few",
                prices.symbol,
                series.close.len()
            );
            continue;
        }
        for window in forecast::windows(&series, bars, windows)? {
            builder.push(Fields {
                close: &series.close[window.clone()],
                high: &series.high[window.clone()],
                low: &series.low[window.clone()],
                high_pred: &series.high_pred[window.clone()],
                low_pred: &series.low_pred[window.clone()],
                weights: Weights::EntryExit(&series.position[window]),
            })?;
        }
        symbols.push(prices.symbol);
    }
    if symbols.is_empty() {
        return Err(format!("{name}: no symbol has {bars} bars; give --bars less").into());
    }
    Ok((
        builder.build()?,
        format!("windows of {}", symbols.join(", ")),
    ))
}
