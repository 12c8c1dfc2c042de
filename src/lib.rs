//! Tunes entry and exit levels of trading strategies over whole batches of backtests, and gives
//! the same bits for any number of threads, on any instruction set, and on NVIDIA GPUs.
//!
//! A strategy enters and exits at a predicted high and a predicted low. Two small numbers, the
//! [`Multipliers`], are **added** to those predictions and decide most of the profit. This crate
//! scores all simulations of a [`Batch`] under all candidates ([`Evaluator`]) and searches for the
//! best pair per group of simulations with DIRECT or differential evolution ([`optimize()`]); or it
//! finds the exact optimum over all pairs of f32, with proof ([`exact()`]).
//!
//! ```
//! use trisect::{Batch, Evaluator, Fields, Multipliers, OptimizeOptions, Weights, optimize};
//!
//! // One simulation of three bars: moves against each bar's reference price, 0.01 = +1 %.
//! let batch = Batch::from_slices(&[3], Fields {
//!     close: &[0.010, -0.004, 0.002][..],
//!     high: &[0.021, 0.009, 0.015],
//!     low: &[-0.012, -0.018, -0.007],
//!     high_pred: &[0.018, 0.012, 0.011],
//!     low_pred: &[-0.015, -0.013, -0.009],
//!     weights: Weights::EntryExit(&[1.0, 1.0, -1.0]),
//! })?;
//! let mut evaluator = Evaluator::cpu(&batch, &Default::default())?;
//! let outcome = optimize(&mut evaluator, &OptimizeOptions::default(), ())?;
//! let group = &outcome.groups[0];
//! assert!(group.profit > group.baseline);
//! assert_ne!(group.multipliers, Multipliers::BASELINE);
//! # Ok::<(), trisect::Error>(())
//! ```
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | bar | one trading period; all its values are fractional moves against its reference price |
//! | simulation | one backtest window of T bars |
//! | batch | S simulations, stored once ([`Batch`]) |
//! | multipliers | the pair `(high, low)` added to `high_pred` and `low_pred`, in return units |
//! | leg | one side of one bar, long or short, with a weight above 0 ([`Leg`]) |
//! | candidate | a pair of multipliers to score |
//! | group | the simulations that share one pair of multipliers ([`Sharing`]) |
//! | profit | sum over a simulation's legs; of a group, the mean over its simulations |
//! | exit rule | take profit at the predicted level when touched, or always exit at the close |
//! | baseline | multipliers (0, 0): the forecasts as they are |
//! | quality | (profit - baseline) / (exact optimum - baseline): the share of the attainable that was found |
//!
//! # Guarantees
//!
//! * **Bits.** A simulation's profit under a candidate is an f32 sum in one canonical order
//!   ([`canonical_profit`]); a group's sum is an integer sum of fixed-point profits; DIRECT is f64
//!   without contraction, ties broken by a stated rule; differential evolution draws from a stream
//!   of its seed alone. So the same batch and options give the same evaluations and the same
//!   result, for any number of threads, on any instruction set, on any number of GPUs, and for a
//!   group alone or among others.
//! * **Gates** are decided on f32 sums everywhere. Reported profits are sums of what
//!   [`profit()`] gives, in a fixed point that does not depend on any order ([`exact_profit()`]).
//! * **The exact optimum** is one: no pair in the box has a higher reported profit, to the bit.
//! * **Cost.** One evaluation reads 24 bytes per leg. A search of n evaluations does O(n log n)
//!   bookkeeping.
//! * **Errors.** Everything is checked before any work starts. Public functions do not panic.
//!
//! # Assumptions
//!
//! When a bar touches both levels, the favourable order is assumed: entry first, then exit; bars
//! cannot tell. The best multipliers of a batch are an in-sample optimum, not a forecast.
//!
//! # Features
//!
//! * `csv`, `parquet`, `arrow`: prices from files and record batches (`read_csv`, `read_parquet`,
//!   `read_arrow`); forecasts and checks of prices need none of them ([`Forecaster`], [`Prices`]).
//! * `cuda`: evaluation on NVIDIA GPUs ([`Evaluator::cuda`]). It builds without the CUDA toolkit,
//!   and a binary with it starts without a driver.
//! * `serde`: [`Direct`], [`WalkForwardPart`] and their options can be serialised; a search or a
//!   walk-forward run resumes bit for bit.

#![warn(missing_docs)]

mod batch;
mod data;
mod direct;
mod error;
mod evaluate;
mod evolution;
mod exact;
mod forecast;
mod groups;
mod metrics;
mod optimize;
mod prices;
mod profit;
mod series;
mod settings;
mod surface;
mod walk_forward;

pub use batch::{
    Batch, BatchBuilder, CloseOutside, Element, Field, Fields, MAX_BARS, Simulation, Weights,
};
#[cfg(feature = "parquet")]
pub use data::read_parquet;
pub use data::{
    BarAt, Cell, DataError, Fault, MaxGap, OnDoubt, OnFault, Place, Policy, Repair, Repairs, Row,
};
#[cfg(any(feature = "arrow", feature = "csv"))]
pub use data::{Columns, Epoch, PriceFile, ReadOptions, read_prices};
#[cfg(feature = "csv")]
pub use data::{CsvSymbols, csv_symbols, read_csv};
#[cfg(feature = "arrow")]
pub use data::{arrow_fields, read_arrow};
pub use direct::{
    Best, Bounds, Direct, DirectOptions, Division, Selection, SizeMeasure, StopReason, Target,
};
pub use error::{CudaError, Error};
#[cfg(feature = "cuda")]
pub use evaluate::Cuda;
pub use evaluate::{
    Cpu, Device, Evaluate, EvaluateGroup, EvaluateOptions, Evaluator, OptimaTask, SearchTask,
    Searched, Searches, Simd, Storage, Threads,
};
pub use evolution::{Evolution, EvolutionOptions};
pub use exact::{
    Exact, ExactOptions, ExactSolver, FlatRegion, OnCap, Robust, RobustOptions, exact,
    exact_profit, flat_region, robust_optimum,
};
pub use forecast::{AtrBands, Ewma, Forecast, ForecastStep, Forecaster, PastBar, RollingMean};
pub use groups::{Candidates, Groups, Sharing};
pub use metrics::{Metrics, Returns, expected_greatest_sharpe, turnover};
pub use optimize::{
    BestSoFar, ExitChoice, GroupOutcome, Method, Minimum, Observer, OptimizeOptions, Outcome, Path,
    Points, Progress, RuleOutcome, minimize, minimize_groups, optimize,
};
pub use prices::{ForecastUnit, GivenForecasts, Prices};
pub use profit::{
    Bar, CRYPTO_FEE, EQUITY_FEE, ExitRule, Leg, Multipliers, Side, canonical_profit, profit,
    profit_f64,
};
pub use series::Series;
pub use settings::Settings;
pub use surface::{Surface, surface};
pub use walk_forward::{
    BarReturn, Fold, FoldOptions, Stability, StageTimes, Summary, WalkForward, WalkForwardOptions,
    WalkForwardOutcome, WalkForwardPart, WalkForwardProgress, WalkForwardRow, WindowProfit,
    walk_forward,
};

/// The code in the README runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
