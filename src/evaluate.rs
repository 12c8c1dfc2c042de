//! Scoring: all simulations times all candidates.
//!
//! [`Evaluate`] is what the drivers need; [`Evaluator`] is what the library offers. A caller's own
//! implementation of [`Evaluate`] drives the same searches.

mod cpu;

use std::sync::Arc;

use crate::batch::Batch;
use crate::error::Error;
use crate::groups::{Candidates, Groups};
use crate::profit::{EQUITY_FEE, ExitRule, Multipliers};

pub use cpu::{Cpu, Simd};

/// Scores candidates over a batch of simulations.
pub trait Evaluate {
    /// The simulations that are scored.
    fn batch(&self) -> &Batch;

    /// Fee per entered leg, as a fraction.
    fn fee(&self) -> f64;

    /// Mean profit of each group under each of its candidates.
    ///
    /// `means`: group 0's candidates in order, then group 1's, and so on:
    /// `[candidates.total(groups.len())]`.
    ///
    /// # Errors
    /// Whatever keeps the evaluator from doing so; `means` is then unspecified.
    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error>;

    /// Where the drivers run their own bookkeeping.
    fn threads(&self) -> Threads {
        Threads::default()
    }

    /// The evaluator as one that scores single groups from several threads at once, if it can:
    /// then a search that nobody watches runs on one thread from its first round to its last.
    fn per_group(&self) -> Option<&dyn EvaluateGroup> {
        None
    }
}

/// Scores the candidates of one group, from several threads at once.
pub trait EvaluateGroup: Sync {
    /// Mean profit of group `group` under each of `pairs`: the bits that [`Evaluate::means`]
    /// gives.
    ///
    /// `means`: `[pairs.len()]`. The groups are those of the evaluator's batch.
    ///
    /// # Errors
    /// Whatever keeps the evaluator from doing so; `means` is then unspecified.
    fn group_means(
        &self,
        groups: &Groups,
        group: usize,
        pairs: &[Multipliers],
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error>;
}

impl<E: Evaluate + ?Sized> Evaluate for &mut E {
    fn batch(&self) -> &Batch {
        (**self).batch()
    }

    fn fee(&self) -> f64 {
        (**self).fee()
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        (**self).means(groups, candidates, exit_rule, means)
    }

    fn threads(&self) -> Threads {
        (**self).threads()
    }

    fn per_group(&self) -> Option<&dyn EvaluateGroup> {
        (**self).per_group()
    }
}

/// A set of CPU threads: all of the machine's by default, or a stated number.
#[derive(Debug, Clone, Default)]
pub struct Threads(Option<Arc<rayon::ThreadPool>>);

impl Threads {
    /// Most threads that can be asked for.
    pub const MAX: usize = 4096;

    /// `count` threads.
    ///
    /// # Errors
    /// 0 or more than [`Threads::MAX`]; or the system refuses to start them.
    pub fn new(count: usize) -> Result<Self, Error> {
        if count == 0 || count > Self::MAX {
            return Err(Error::option("threads", count, "between 1 and 4096"));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|index| format!("trisect-{index}"))
            .build()
            .map_err(|error| Error::Unavailable {
                what: "the thread pool",
                why: error.to_string(),
                remedy: "ask for fewer threads",
            })?;
        Ok(Self(Some(Arc::new(pool))))
    }

    /// How many threads there are.
    pub fn count(&self) -> usize {
        match &self.0 {
            Some(pool) => pool.current_num_threads(),
            None => rayon::current_num_threads(),
        }
    }

    /// Runs `work` so that its rayon iterators use these threads.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

/// The machine part that evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Device {
    /// The fastest that is there.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU of this index.
    Cuda(usize),
}

/// How to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateOptions {
    /// Fee per entered leg as a fraction, within `[0, 1)`. [`EQUITY_FEE`] by default.
    pub fee: f64,
    /// Number of CPU threads; `None`: all.
    pub threads: Option<usize>,
    /// Instruction set; `None`: the widest this machine has. The results have the same bits.
    pub simd: Option<Simd>,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            fee: EQUITY_FEE,
            threads: None,
            simd: None,
        }
    }
}

/// An evaluator of the library, whatever it runs on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Evaluator<'a> {
    /// Threads and SIMD.
    Cpu(Cpu<'a>),
}

impl<'a> Evaluator<'a> {
    /// An evaluator on the CPU.
    ///
    /// # Errors
    /// A fee outside `[0, 1)`, 0 threads, or an instruction set that this machine lacks.
    pub fn cpu(batch: &'a Batch, options: &EvaluateOptions) -> Result<Self, Error> {
        Cpu::new(batch, options).map(Self::Cpu)
    }

    /// An evaluator on a stated device.
    ///
    /// # Errors
    /// As [`Evaluator::cpu`]; and [`Error::Unavailable`] for a GPU, which this build cannot use.
    pub fn new(batch: &'a Batch, device: Device, options: &EvaluateOptions) -> Result<Self, Error> {
        match device {
            Device::Auto | Device::Cpu => Self::cpu(batch, options),
            Device::Cuda(_) => Err(Error::Unavailable {
                what: "a CUDA device",
                why: "this version of the library has no GPU backend".to_owned(),
                remedy: "use Device::Auto or Device::Cpu; the results have the same bits",
            }),
        }
    }

    /// Profit of each simulation under each of its group's candidates, f32 in canonical order.
    ///
    /// `profits`: simulation 0's candidates in order, then simulation 1's, and so on. With one
    /// list for all that is `(S, C)`, row-major.
    ///
    /// # Errors
    /// Groups or candidates that do not fit the batch, or a buffer of another length.
    pub fn profits(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        profits: &mut [f32],
    ) -> Result<(), Error> {
        match self {
            Self::Cpu(cpu) => cpu.profits(groups, candidates, exit_rule, profits),
        }
    }

    /// Memory held beyond the batch, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Cpu(cpu) => cpu.bytes(),
        }
    }
}

impl Evaluate for Evaluator<'_> {
    fn batch(&self) -> &Batch {
        match self {
            Self::Cpu(cpu) => cpu.batch(),
        }
    }

    fn fee(&self) -> f64 {
        match self {
            Self::Cpu(cpu) => cpu.fee(),
        }
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        match self {
            Self::Cpu(cpu) => cpu.means(groups, candidates, exit_rule, means),
        }
    }

    fn threads(&self) -> Threads {
        match self {
            Self::Cpu(cpu) => cpu.threads(),
        }
    }

    fn per_group(&self) -> Option<&dyn EvaluateGroup> {
        match self {
            Self::Cpu(cpu) => cpu.per_group(),
        }
    }
}
