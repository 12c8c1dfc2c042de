//! What can go wrong. Every message names the place, the value and the remedy.

use std::fmt;

use crate::batch::{CloseOutside, Field};
use crate::strategy::Strategy;

/// Everything the library refuses, and why.
///
/// All checks run before any work starts: an `Err` leaves the input, the builder or the
/// evaluator as it was. Indices count from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The batch holds no simulation.
    #[error("the batch has no simulation: add at least one")]
    EmptyBatch,

    /// A simulation holds no bar.
    #[error("simulation {simulation} has no bar: leave it out or give it at least one")]
    EmptySimulation {
        /// Index of the simulation.
        simulation: usize,
    },

    /// Two fields of a simulation have different lengths.
    #[error(
        "simulation {simulation}: field {field} has {got} bars, close has {expected}: \
         give every field one value per bar"
    )]
    LengthMismatch {
        /// Index of the simulation.
        simulation: usize,
        /// The field that differs from `close`.
        field: Field,
        /// Bars of `close`.
        expected: usize,
        /// Bars of `field`.
        got: usize,
    },

    /// Two flat fields or arrays have different shapes.
    #[error(
        "field {field} has shape {got:?}, expected {expected:?} as close or the lengths say: \
         give every field the same shape"
    )]
    ShapeMismatch {
        /// The field that differs.
        field: Field,
        /// `[values]` of a flat slice, `[simulations, bars]` of an array.
        expected: Vec<usize>,
        /// The shape found.
        got: Vec<usize>,
    },

    /// NaN or an infinity.
    #[error(
        "simulation {simulation}, bar {bar}: {field} = {value}: \
         must be a finite number; repair or drop the bar"
    )]
    NotFinite {
        /// Index of the simulation.
        simulation: usize,
        /// Index of the bar within the simulation.
        bar: usize,
        /// The field.
        field: Field,
        /// The value found.
        value: f64,
    },

    /// A value no fractional move or position can have, most often a raw price.
    #[error(
        "simulation {simulation}, bar {bar}: {field} = {value} is beyond ±{limit}: \
         give fractional moves against the bar's reference price (0.01 = +1 %), not prices"
    )]
    OutOfRange {
        /// Index of the simulation.
        simulation: usize,
        /// Index of the bar within the simulation.
        bar: usize,
        /// The field.
        field: Field,
        /// The value found.
        value: f64,
        /// The largest magnitude accepted.
        limit: f64,
    },

    /// A bar whose low is above its high.
    #[error(
        "simulation {simulation}, bar {bar}: low = {low} is above high = {high}: \
         swap or repair them"
    )]
    LowAboveHigh {
        /// Index of the simulation.
        simulation: usize,
        /// Index of the bar within the simulation.
        bar: usize,
        /// Low, as stored.
        low: f32,
        /// High, as stored.
        high: f32,
    },

    /// A bar that lost everything or more.
    #[error(
        "simulation {simulation}, bar {bar}: low = {low} means a price of 0 or less: \
         a fractional move must be above -1; repair or drop the bar"
    )]
    LowAtMinusOne {
        /// Index of the simulation.
        simulation: usize,
        /// Index of the bar within the simulation.
        bar: usize,
        /// Low, as stored.
        low: f32,
    },

    /// A close outside `[low, high]`, when the caller chose to refuse it.
    #[error("{0}: repair the bar, or accept the batch with a warning")]
    CloseOutside(CloseOutside),

    /// Simulations of one batch differ in their model of positions.
    #[error(
        "simulation {simulation} has {got} weights, the batch has {expected}: \
         put them into separate batches"
    )]
    MixedWeights {
        /// Index of the simulation.
        simulation: usize,
        /// What the first simulation has.
        expected: &'static str,
        /// What this one has.
        got: &'static str,
    },

    /// More bars or simulations than the index type holds.
    #[error("the batch would hold {bars} bars, at most {limit} can be indexed: split the batch")]
    BatchTooLarge {
        /// Bars asked for (`usize::MAX` when the count itself overflows).
        bars: usize,
        /// The largest number accepted.
        limit: usize,
    },

    /// A sharing that does not fit the batch.
    #[error("{got} group labels for {expected} simulations: give one label per simulation")]
    LabelCount {
        /// Simulations of the batch.
        expected: usize,
        /// Labels given.
        got: usize,
    },

    /// A candidate that is not a pair of finite multipliers.
    #[error(
        "candidate {candidate}: ({high}, {low}): both multipliers must be finite and within ±{limit}"
    )]
    Candidate {
        /// Index in the list.
        candidate: usize,
        /// Multiplier added to the predicted high.
        high: f64,
        /// Multiplier added to the predicted low.
        low: f64,
        /// The largest magnitude accepted.
        limit: f64,
    },

    /// A buffer or list whose length does not fit the work.
    #[error("{what} has length {got}, expected {expected}: {remedy}")]
    Length {
        /// What the buffer or list is.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// The length given.
        got: usize,
        /// What to do about it.
        remedy: &'static str,
    },

    /// An option holds a value outside its documented range.
    #[error("{name} = {value}: must be {expected}")]
    InvalidOption {
        /// The option as it is spelled in the code, or the environment variable.
        name: &'static str,
        /// The value that was given, as text.
        value: String,
        /// What would have been accepted.
        expected: &'static str,
    },

    /// An interval of a search box is empty, reversed, or not finite.
    #[error("bounds of axis {axis} are [{low}, {high}]: give two finite numbers with low < high")]
    Bounds {
        /// Axis, counted from 0.
        axis: usize,
        /// Lower end as given.
        low: f64,
        /// Upper end as given.
        high: f64,
    },

    /// A list of values has another length than the list of points it answers.
    #[error(
        "got {got} values for {expected} points: give one value per point, in the order of the points"
    )]
    ValueCount {
        /// Number of points asked.
        expected: usize,
        /// Number of values told.
        got: usize,
    },

    /// More memory needed than there is or than was allowed.
    #[error(
        "{what} needs {needed} bytes, more than {}: make the groups smaller or raise max_bytes",
        .limit.map_or("the machine gives".to_owned(), |limit| format!("the {limit} allowed"))
    )]
    Memory {
        /// What the memory is for.
        what: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes allowed by the options; `None`: the machine refused.
        limit: Option<usize>,
    },

    /// Something this build or machine does not offer.
    #[error("{what} is not available: {why}; {remedy}")]
    Unavailable {
        /// What was asked for.
        what: &'static str,
        /// Why it cannot be had.
        why: String,
        /// What to do instead.
        remedy: &'static str,
    },

    /// A GPU lacks the memory.
    #[error(
        "{what} needs {needed} bytes on CUDA device {device}, {free} are free or allowed: free \
         some, raise max_device_bytes, store the batch as f16, or split it"
    )]
    DeviceMemory {
        /// Index of the device.
        device: usize,
        /// What the memory is for.
        what: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes free on the device, or left of what the options allow.
        free: usize,
    },

    /// The CUDA driver refused something. The evaluator it happened in gives this error from then
    /// on; the batch is intact, and an evaluator on the CPU gives the same bits.
    #[error(transparent)]
    Cuda(#[from] CudaError),

    /// Another rank failed; this one would have gone on.
    #[error("rank {rank} failed: {error}")]
    Rank {
        /// The first rank that failed.
        rank: usize,
        /// Its error, as text.
        error: String,
    },

    /// A rank was given something else than rank 0.
    #[error("rank {rank} has another {what} than rank 0: give all ranks the same")]
    RanksDiffer {
        /// What differs.
        what: &'static str,
        /// The first rank that differs.
        rank: usize,
    },

    /// No strategy has this name.
    #[error(
        "no strategy is called {name:?}: did you mean {nearest}? There are {}",
        known()
    )]
    UnknownStrategy {
        /// The name given.
        name: String,
        /// The strategy whose name differs least.
        nearest: Strategy,
    },

    /// A worker process ended before its work was done, or did not answer as a worker.
    #[error(
        "worker process {worker} of program {program} failed ({status}): {stderr}; \
         if it is not the worker's own fault, have the program call work_if_asked() first thing in main"
    )]
    Worker {
        /// Index of the worker.
        worker: usize,
        /// What was started.
        program: String,
        /// How it ended, in words.
        status: String,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },

    /// A failure inside a caller's own objective or evaluator.
    #[error("the objective failed: {0}")]
    Objective(String),
}

impl Error {
    pub(crate) fn option(
        name: &'static str,
        value: impl fmt::Display,
        expected: &'static str,
    ) -> Self {
        Self::InvalidOption {
            name,
            value: value.to_string(),
            expected,
        }
    }
}

fn known() -> String {
    Strategy::ALL.map(Strategy::name).join(", ")
}

/// A failure of the CUDA driver or of its compiler NVRTC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CUDA device {device}: {doing} failed with {name} ({code}): {text}")]
pub struct CudaError {
    pub(crate) device: usize,
    pub(crate) code: u32,
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) doing: &'static str,
}

impl CudaError {
    /// Index of the device.
    pub fn device(&self) -> usize {
        self.device
    }

    /// The driver's or the compiler's number of the error.
    pub fn code(&self) -> u32 {
        self.code
    }

    /// The name of the error, such as `CUDA_ERROR_LAUNCH_FAILED`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was being done.
    pub fn doing(&self) -> &str {
        self.doing
    }
}
