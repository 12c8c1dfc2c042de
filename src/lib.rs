//! Tunes entry and exit levels of trading strategies over whole batches of backtests.
#![warn(missing_docs)]

mod direct;
mod error;

pub use direct::{
    Best, Bounds, Direct, DirectOptions, Division, Selection, SizeMeasure, StopReason, Target,
};
pub use error::Error;
