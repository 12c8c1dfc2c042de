//! Every way to tune a batch, each under a name, behind one interface.
//!
//! A strategy is an engine (one thread, threads, processes, a GPU), a method (DIRECT with the
//! production or the fast budget, differential evolution, a grid, the exact optimum) and a sharing.
//! All of it can be had without this module, from [`Evaluator`] and [`optimize()`]; here it can be
//! named, measured side by side, and chosen.

mod choice;
mod processes;
mod wire;

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::direct::DirectOptions;
use crate::error::Error;
use crate::evaluate::{EvaluateOptions, Evaluator};
use crate::evolution::EvolutionOptions;
use crate::exact::ExactOptions;
use crate::groups::Sharing;
use crate::optimize::{ExitChoice, Method, OptimizeOptions, Outcome, optimize};
use crate::profit::{EQUITY_FEE, ExitRule};

use processes::Processes;

pub use choice::{Recommendation, Wanted, Workload};
pub use processes::{WorkerProgram, work_if_asked};

/// Simulations that share one pair of multipliers under the strategies of chunks.
const CHUNK: usize = 16;

/// Values per axis of [`Strategy::Grid`]: about as many pairs as the production budget.
const GRID: usize = 22;

/// A way to tune a batch. It prints as, and is read from, its name.
///
/// Without another word a strategy gives each simulation its own multipliers, with DIRECT and the
/// production budget of 500 evaluations.
///
/// ```
/// use trisect::Strategy;
///
/// let strategy: Strategy = "threads-fast".parse()?;
/// assert_eq!(strategy, Strategy::ThreadsFast);
/// let error = "thread-fast".parse::<Strategy>().unwrap_err();
/// assert!(error.to_string().contains("did you mean threads-fast?"));
/// # Ok::<(), trisect::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// `baseline`: one thread.
    Baseline,
    /// `fast`: one thread, 100 evaluations.
    Fast,
    /// `threads`: the bits of `baseline`.
    Threads,
    /// `threads-fast`: 100 evaluations, the bits of `fast`.
    ThreadsFast,
    /// `processes`: worker processes of one thread each, the bits of `baseline`. See
    /// [`work_if_asked`].
    Processes,
    /// `processes-fast`: 100 evaluations, the bits of `fast`.
    ProcessesFast,
    /// `shared-chunks`: one thread, 16 consecutive simulations share their multipliers.
    SharedChunks,
    /// `shared-all`: one thread, the whole batch shares its multipliers.
    SharedAll,
    /// `evolution`: one thread, differential evolution without a limit of evaluations.
    Evolution,
    /// `evolution-fast`: one thread, differential evolution, 100 evaluations.
    EvolutionFast,
    /// `grid`: one thread, 22 x 22 pairs.
    Grid,
    /// `exact`: one thread, the exact optimum.
    Exact,
    /// `exact-threads`: the bits of `exact`.
    ExactThreads,
    /// `gpu-per-simulation`: a GPU, the bits of `baseline`.
    GpuPerSimulation,
    /// `gpu-chunks`: a GPU, the bits of `shared-chunks`.
    GpuChunks,
    /// `gpu-all`: a GPU, the bits of `shared-all`.
    GpuAll,
    /// `exact-gpu`: a GPU, the bits of `exact`.
    ExactGpu,
}

/// What does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    OneThread,
    Threads,
    Processes,
    Gpu,
}

impl Strategy {
    /// All of them, in the order of a table.
    pub const ALL: [Self; 17] = [
        Self::Baseline,
        Self::Fast,
        Self::Threads,
        Self::ThreadsFast,
        Self::Processes,
        Self::ProcessesFast,
        Self::SharedChunks,
        Self::SharedAll,
        Self::Evolution,
        Self::EvolutionFast,
        Self::Grid,
        Self::Exact,
        Self::ExactThreads,
        Self::GpuPerSimulation,
        Self::GpuChunks,
        Self::GpuAll,
        Self::ExactGpu,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Fast => "fast",
            Self::Threads => "threads",
            Self::ThreadsFast => "threads-fast",
            Self::Processes => "processes",
            Self::ProcessesFast => "processes-fast",
            Self::SharedChunks => "shared-chunks",
            Self::SharedAll => "shared-all",
            Self::Evolution => "evolution",
            Self::EvolutionFast => "evolution-fast",
            Self::Grid => "grid",
            Self::Exact => "exact",
            Self::ExactThreads => "exact-threads",
            Self::GpuPerSimulation => "gpu-per-simulation",
            Self::GpuChunks => "gpu-chunks",
            Self::GpuAll => "gpu-all",
            Self::ExactGpu => "exact-gpu",
        }
    }

    /// Whether it takes an NVIDIA GPU.
    pub const fn needs_gpu(self) -> bool {
        matches!(self.engine(), Engine::Gpu)
    }

    /// Who shares multipliers with whom.
    pub const fn sharing(self) -> Sharing {
        match self {
            Self::SharedChunks | Self::GpuChunks => Sharing::Chunks(CHUNK),
            Self::SharedAll | Self::GpuAll => Sharing::All,
            _ => Sharing::PerSimulation,
        }
    }

    /// Which share of the attainable improvement it may be expected to find, 0 to 1: the sum over
    /// all simulations of what it gains on the baseline, divided by the sum of what the exact
    /// optima with the same sharing gain.
    ///
    /// 1 is proved. Below 1 it is no guarantee but the least that was measured with the example
    /// `strategies`, rounded down: on synthetic forecasts with skill and without, and on rolling
    /// windows of 40 to 250 bars of the included prices.
    pub const fn promised_quality(self) -> f64 {
        match self {
            Self::Exact | Self::ExactThreads | Self::ExactGpu => 1.0,
            Self::Fast | Self::ThreadsFast | Self::ProcessesFast => 0.85,
            Self::EvolutionFast => 0.75,
            Self::Grid => 0.7,
            _ => 0.9,
        }
    }

    const fn engine(self) -> Engine {
        match self {
            Self::Threads | Self::ThreadsFast | Self::ExactThreads => Engine::Threads,
            Self::Processes | Self::ProcessesFast => Engine::Processes,
            Self::GpuPerSimulation | Self::GpuChunks | Self::GpuAll | Self::ExactGpu => Engine::Gpu,
            _ => Engine::OneThread,
        }
    }

    fn method(self, seed: u64) -> Method {
        match self {
            Self::Fast | Self::ThreadsFast | Self::ProcessesFast => {
                Method::Direct(DirectOptions::fast())
            }
            Self::Evolution => Method::Evolution(EvolutionOptions {
                seed,
                ..EvolutionOptions::production()
            }),
            Self::EvolutionFast => Method::Evolution(EvolutionOptions {
                seed,
                ..EvolutionOptions::fast()
            }),
            Self::Grid => Method::Grid {
                high: GRID,
                low: GRID,
            },
            Self::Exact | Self::ExactThreads | Self::ExactGpu => {
                Method::Exact(ExactOptions::default())
            }
            _ => Method::Direct(DirectOptions::production()),
        }
    }

    /// Tunes the batch in this way.
    ///
    /// The strategies of processes start workers, which live as long as the call: the program that
    /// makes it calls [`work_if_asked`] first thing in `main`.
    ///
    /// # Errors
    /// Options out of range, 0 threads or 0 processes; a sharing that does not fit the batch;
    /// [`Error::Unavailable`] when there is no GPU for a strategy that takes one, or when a worker
    /// cannot be started; [`Error::Worker`] when a worker ends early; whatever else
    /// [`optimize()`] reports. All options are checked before anything is started.
    ///
    /// ```
    /// use trisect::{Batch, Fields, Strategy, StrategyOptions, Weights};
    ///
    /// let batch = Batch::from_slices(&[3], Fields {
    ///     close: &[0.010, -0.004, 0.002][..],
    ///     high: &[0.021, 0.009, 0.015],
    ///     low: &[-0.012, -0.018, -0.007],
    ///     high_pred: &[0.018, 0.012, 0.011],
    ///     low_pred: &[-0.015, -0.013, -0.009],
    ///     weights: Weights::EntryExit(&[1.0, 1.0, -1.0]),
    /// })?;
    /// let options = StrategyOptions::default();
    /// let exact = Strategy::Exact.run(&batch, &options)?;
    /// let fast = Strategy::Fast.run(&batch, &options)?;
    /// assert!(exact.outcome.mean_profit() >= fast.outcome.mean_profit());
    /// # Ok::<(), trisect::Error>(())
    /// ```
    pub fn run(self, batch: &Batch, options: &StrategyOptions) -> Result<StrategyOutcome, Error> {
        let search = OptimizeOptions {
            sharing: options.sharing.clone().unwrap_or(self.sharing()),
            method: self.method(options.seed),
            exit_rule: options.exit_rule,
            high_bounds: options.high_bounds,
            low_bounds: options.low_bounds,
            quality: options.quality,
            ..OptimizeOptions::default()
        };
        search.check(batch.len())?;
        let evaluate = EvaluateOptions {
            fee: options.fee,
            threads: match self.engine() {
                Engine::OneThread => Some(1),
                Engine::Processes => options.processes,
                Engine::Threads | Engine::Gpu => options.threads,
            },
            ..EvaluateOptions::default()
        };
        let start = Instant::now();
        if self.engine() == Engine::Processes {
            let mut processes = Processes::new(batch, &options.worker, &evaluate)?;
            let start_time = start.elapsed();
            let outcome = optimize(&mut processes, &search, ())?;
            return Ok(StrategyOutcome {
                outcome,
                device: processes.device(),
                start_time,
                host_bytes: batch.bytes() + processes.bytes(),
                device_bytes: 0,
            });
        }
        let mut evaluator = match self.engine() {
            Engine::Gpu => Evaluator::cuda(batch, &[options.device], &evaluate)?,
            _ => Evaluator::cpu(batch, &evaluate)?,
        };
        let start_time = start.elapsed();
        let outcome = optimize(&mut evaluator, &search, ())?;
        let device_bytes = evaluator.device_bytes();
        Ok(StrategyOutcome {
            outcome,
            device: evaluator.device(),
            start_time,
            host_bytes: batch.bytes() + evaluator.bytes() - device_bytes,
            device_bytes,
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Strategy {
    type Err = Error;

    /// The strategy of this name.
    ///
    /// # Errors
    /// [`Error::UnknownStrategy`] for any other text.
    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            let distance = |known: &Self| edits(name, known.name());
            Error::UnknownStrategy {
                name: name.to_owned(),
                nearest: Self::ALL
                    .into_iter()
                    .min_by_key(distance)
                    .unwrap_or(Self::Baseline),
            }
        })
    }
}

/// Insertions, deletions and replacements of a character that make one text of the other
/// (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    // `row[j]`: from what has been read of `from` to the first `j` characters of `to`.
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (read, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (j, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

/// What all strategies need to know.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyOptions {
    /// Fee per entered leg as a fraction, within `[0, 1)`. [`EQUITY_FEE`] by default.
    pub fee: f64,
    /// The exit rule, or both. `Intraday` by default.
    pub exit_rule: ExitChoice,
    /// Ends of the interval of `high`, return units; ±0.03 by default.
    pub high_bounds: (f64, f64),
    /// Ends of the interval of `low`, return units; ±0.03 by default.
    pub low_bounds: (f64, f64),
    /// Who shares multipliers with whom; `None` (the default): as [`Strategy::sharing`] says.
    pub sharing: Option<Sharing>,
    /// Number of threads of the strategies that have several; `None`: all.
    pub threads: Option<usize>,
    /// Number of worker processes of the strategies that have some; `None`: one per CPU thread. No
    /// more are started than there are simulations.
    pub processes: Option<usize>,
    /// What is started as a worker: by default the running program.
    pub worker: WorkerProgram,
    /// Index of the GPU. 0 by default.
    pub device: usize,
    /// Start of the random numbers of differential evolution. 0 by default.
    pub seed: u64,
    /// Compute the exact optimum of each group, too. Off by default.
    pub quality: bool,
}

impl Default for StrategyOptions {
    fn default() -> Self {
        Self {
            fee: EQUITY_FEE,
            exit_rule: ExitChoice::Fixed(ExitRule::Intraday),
            high_bounds: (-0.03, 0.03),
            low_bounds: (-0.03, 0.03),
            sharing: None,
            threads: None,
            processes: None,
            worker: WorkerProgram::default(),
            device: 0,
            seed: 0,
            quality: false,
        }
    }
}

/// What became of a batch under a strategy, and what that took.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyOutcome {
    /// The result. Its `wall_time` is that of the work, all in; workers are sent their simulations
    /// in that time.
    pub outcome: Outcome,
    /// What it ran on, in words.
    pub device: String,
    /// Time before the work: legs made of the bars, threads or processes started, the batch copied
    /// to the GPU.
    pub start_time: Duration,
    /// Memory of the host held at the end, in bytes: the batch and the evaluator, those of the
    /// workers too. What the searches took while they ran is not in it.
    pub host_bytes: usize,
    /// Memory held on the GPU at the end, in bytes.
    pub device_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_is_listed_once_and_read_from_its_name() {
        for (index, strategy) in Strategy::ALL.into_iter().enumerate() {
            // The list follows the declaration, so that none can be left out between two others.
            assert_eq!(strategy as usize, index);
            assert_eq!(strategy.name().parse(), Ok(strategy));
            assert_eq!(
                format!("{strategy:>20}"),
                format!("{:>20}", strategy.name())
            );
        }
    }

    #[test]
    fn edits_are_counted() {
        for (from, to, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("exact", "exact", 0),
            ("exat", "exact", 1),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(edits(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_by_the_nearest_and_all() {
        for (name, nearest) in [
            ("basline", Strategy::Baseline),
            ("gpu-al", Strategy::GpuAll),
            ("Exact", Strategy::Exact),
            ("processes_fast", Strategy::ProcessesFast),
        ] {
            let error = name.parse::<Strategy>().unwrap_err();
            let expected = Error::UnknownStrategy {
                name: name.to_owned(),
                nearest,
            };
            assert_eq!(error, expected);
            let text = error.to_string();
            for known in Strategy::ALL {
                assert!(text.contains(known.name()), "{text}");
            }
        }
    }
}
