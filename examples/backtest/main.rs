//! Reads price bars, forecasts them, and cuts them into simulations.
//!
//!     cargo run --release --example backtest [FILE.csv]
//!
//! Without a file it uses the included prices, see `examples/data/README.md`.

mod data;
mod forecast;

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Bars per forecast: about one month of trading days.
const LOOKBACK: usize = 20;

/// Bars per simulation.
const LENGTH: usize = 60;

/// Simulations per symbol.
const COUNT: usize = 10;

/// Moves from close to close beyond this ratio are reported as likely splits.
const JUMP_RATIO: f64 = 1.5;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/prices.csv"),
        PathBuf::from,
    );
    let name = path.display().to_string();
    let file = File::open(&path).map_err(|source| data::DataError::Unreadable {
        file: name.clone(),
        source,
    })?;

    for prices in data::read(file, &name)? {
        for jump in data::jumps(&prices, JUMP_RATIO) {
            eprintln!(
                "{}, {}: the close goes from {} to {}; a split?",
                prices.symbol, jump.date, jump.from, jump.to
            );
        }
        let bars = forecast::bars(&prices, LOOKBACK)?;
        let windows = forecast::windows(&bars, LENGTH, COUNT)?;
        println!(
            "{}: {} bars, {} simulations of {LENGTH} bars, the last up to {}",
            prices.symbol,
            bars.close.len(),
            windows.len(),
            bars.dates[windows[0].end - 1]
        );
    }
    Ok(())
}
