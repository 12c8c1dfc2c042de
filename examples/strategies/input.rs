//! The simulations: synthetic, or windows of real prices.

use std::error::Error;
use std::path::Path;

use trisect::Batch;
#[cfg(feature = "csv")]
use trisect::{Fields, ReadOptions, RollingMean, Series, Weights, read_prices};

use crate::arguments::{Arguments, Source};
use crate::synthetic;
#[cfg(feature = "csv")]
use crate::windows;

/// Bars a forecast looks back on: about one month of trading days.
#[cfg(feature = "csv")]
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

/// Without the feature `csv` there is nothing to read a file with.
#[cfg(not(feature = "csv"))]
fn from_prices(path: &Path, _: usize, _: usize) -> Result<(Batch, String), Box<dyn Error>> {
    let path = path.display();
    Err(
        format!("--csv {path}: this build reads no files; add --features csv to the command")
            .into(),
    )
}

/// Windows of every symbol that has enough bars, as many as it has but no more than `most`.
#[cfg(feature = "csv")]
fn from_prices(path: &Path, bars: usize, most: usize) -> Result<(Batch, String), Box<dyn Error>> {
    let name = path.display().to_string();
    let file = read_prices(path, &ReadOptions::default())?;
    if !file.repairs.is_empty() {
        eprintln!("{}", file.repairs);
    }
    let mut builder = Batch::builder();
    let mut symbols = Vec::new();
    for prices in &file.prices {
        let series = Series::from_prices(prices, &RollingMean { lookback: LOOKBACK })?;
        let Weights::EntryExit(position) = &series.weights else {
            return Err("a forecaster gives one position per bar".into());
        };
        let windows = (series.len() + 1).saturating_sub(bars).min(most);
        if windows == 0 {
            let have = series.len();
            eprintln!("{}: left out, {have} bars are too few", prices.symbol);
            continue;
        }
        for window in windows::windows(series.len(), bars, windows)? {
            builder.push(Fields {
                close: &series.close[window.clone()],
                high: &series.high[window.clone()],
                low: &series.low[window.clone()],
                high_pred: &series.high_pred[window.clone()],
                low_pred: &series.low_pred[window.clone()],
                weights: Weights::EntryExit(&position[window]),
            })?;
        }
        symbols.push(prices.symbol.as_str());
    }
    if symbols.is_empty() {
        return Err(format!("{name}: no symbol has {bars} bars; give --bars less").into());
    }
    let source = format!("windows of {}", symbols.join(", "));
    Ok((builder.build()?, source))
}
