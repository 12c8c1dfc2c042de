//! Tunes entry and exit levels of trading strategies over whole batches of backtests.
#![warn(missing_docs)]

mod error;

pub use error::Error;
