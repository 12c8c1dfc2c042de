//! Tunes entry and exit levels of trading strategies over whole batches of backtests.
#![warn(missing_docs)]

mod batch;
mod error;
mod evaluate;
mod groups;
mod profit;

pub use batch::{
    Batch, BatchBuilder, CloseOutside, Element, Field, Fields, MAX_BARS, Simulation, Weights,
};
pub use error::Error;
pub use evaluate::{Cpu, Device, Evaluate, EvaluateOptions, Evaluator, Simd, Threads};
pub use groups::{Candidates, Groups, Sharing};
pub use profit::{
    Bar, CRYPTO_FEE, EQUITY_FEE, ExitRule, Leg, Multipliers, Side, canonical_profit, profit,
    profit_f64,
};
