//! Tunes entry and exit levels of trading strategies over whole batches of backtests.
#![warn(missing_docs)]

mod batch;
mod direct;
mod error;
mod evaluate;
mod groups;
mod optimize;
mod profit;
mod settings;

pub use batch::{
    Batch, BatchBuilder, CloseOutside, Element, Field, Fields, MAX_BARS, Simulation, Weights,
};
pub use direct::{
    Best, Bounds, Direct, DirectOptions, Division, Selection, SizeMeasure, StopReason, Target,
};
pub use error::Error;
pub use evaluate::{Cpu, Device, Evaluate, EvaluateOptions, Evaluator, Simd, Threads};
pub use groups::{Candidates, Groups, Sharing};
pub use optimize::{
    BestSoFar, ExitChoice, GroupOutcome, Method, Minimum, Observer, OptimizeOptions, Outcome,
    Points, Progress, minimize, minimize_groups, optimize,
};
pub use profit::{
    Bar, CRYPTO_FEE, EQUITY_FEE, ExitRule, Leg, Multipliers, Side, canonical_profit, profit,
    profit_f64,
};
pub use settings::Settings;
