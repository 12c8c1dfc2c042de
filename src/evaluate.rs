//! Scoring: all simulations times all candidates.
//!
//! [`Evaluate`] is what the drivers need; [`Evaluator`] is what the library offers. A caller's own
//! implementation of [`Evaluate`] drives the same searches.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
pub(crate) mod fixed_point;

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::batch::Batch;
use crate::direct::{Bounds, DirectOptions, StopReason};
use crate::error::Error;
use crate::exact::Exact;
use crate::groups::{Candidates, Groups};
use crate::profit::{EQUITY_FEE, ExitRule, Multipliers};

pub use cpu::{Cpu, Simd};
#[cfg(feature = "cuda")]
pub use cuda::Cuda;

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

    /// The evaluator as one that runs whole searches on its own, if it can: then the driver leaves
    /// searches that nobody watches to it.
    fn searches(&mut self) -> Option<&mut dyn Searches> {
        None
    }

    /// Mean profits under several exit rules, each with its own candidates: the drivers' way to
    /// score a round at once.
    ///
    /// `means`: the first rule's as [`means`](Self::means) gives them, then the next one's.
    ///
    /// # Errors
    /// As [`means`](Self::means); `means` of another length than all scores together.
    fn means_by_rule(
        &mut self,
        groups: &Groups,
        candidates: &[(ExitRule, &Candidates)],
        means: &mut [f64],
    ) -> Result<(), Error> {
        let totals = candidates.iter().map(|(_, list)| list.total(groups.len()));
        let expected = totals.sum();
        if means.len() != expected {
            return Err(wrong_length("the buffer of means", expected, means.len()));
        }
        let mut rest = means;
        for &(exit_rule, candidates) in candidates {
            let (means, tail) = rest.split_at_mut(candidates.total(groups.len()));
            if !means.is_empty() {
                self.means(groups, candidates, exit_rule, means)?;
            }
            rest = tail;
        }
        Ok(())
    }

    /// The evaluator as one that scores its part of groups with simulations elsewhere, if it can:
    /// [`optimize_ranks`](crate::optimize_ranks) needs it for groups that span ranks.
    fn shard(&mut self) -> Option<&mut dyn EvaluateShard> {
        None
    }

    /// Exact optima, if the evaluator finds some itself: one entry per group of the task's range,
    /// `None` where it leaves the group to the caller. `None` in place of all of them: it never
    /// finds any.
    ///
    /// They are proved, and have the multipliers, the profit and the bound of
    /// [`exact()`](crate::exact()), bit for bit. Their [`work`](Exact::work) is that of a sweep over
    /// all pairs of gates, in the same unit: an eighth of their number, or under
    /// [`ExitRule::AtClose`] the number of gates.
    ///
    /// # Errors
    /// Bounds that are not finite, beyond ±1e6 or reversed; groups of another batch, a range
    /// beyond them; or whatever keeps the evaluator from doing so.
    fn exact_optima(&mut self, task: &OptimaTask<'_>) -> Option<Result<Vec<Option<Exact>>, Error>> {
        let _ = task;
        None
    }
}

/// Runs whole DIRECT searches where the scoring is done, without the driver between rounds.
pub trait Searches {
    /// The search of every exit rule and group, rules outermost; `None` when the evaluator leaves
    /// these to the driver, because their rules are beyond it or it would be slower.
    ///
    /// A search makes the evaluations that [`Direct`](crate::Direct) makes when it is told the
    /// negated [`means`](Evaluate::means) of its group, in the same order, and comes to the same
    /// result, bit for bit.
    ///
    /// # Errors
    /// Whatever keeps the evaluator from doing so.
    fn search(&mut self, task: &SearchTask<'_>) -> Result<Option<Vec<Searched>>, Error>;
}

/// Which searches to run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SearchTask<'a> {
    /// A search for each of them.
    pub groups: &'a Groups,
    /// And for each of these rules.
    pub exit_rules: &'a [ExitRule],
    /// The box: `high`, then `low`, return units.
    pub bounds: &'a Bounds,
    /// Rules and limits, checked.
    pub options: &'a DirectOptions,
    /// Once it is true, searches that have not ended may end with
    /// [`StopReason::Cancelled`] and what they have found; those that have keep their results.
    pub cancel: Option<&'a AtomicBool>,
}

impl<'a> SearchTask<'a> {
    /// Searches of all `groups` under each of `exit_rules`, without a flag that cancels.
    ///
    /// # Errors
    /// Options out of range; bounds of another number of axes than two.
    pub fn new(
        groups: &'a Groups,
        exit_rules: &'a [ExitRule],
        bounds: &'a Bounds,
        options: &'a DirectOptions,
    ) -> Result<Self, Error> {
        options.check()?;
        if bounds.dim() != 2 {
            let expected = "2, those of high and low";
            return Err(Error::option("axes of the bounds", bounds.dim(), expected));
        }
        Ok(Self {
            groups,
            exit_rules,
            bounds,
            options,
            cancel: None,
        })
    }
}

/// What became of one search, in the words of [`Direct`](crate::Direct).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Searched {
    /// The best point, `[high, low]`, as it was evaluated; `None` when nothing feasible was seen.
    pub point: Option<[f64; 2]>,
    /// Its value, to be minimised: the negated mean profit. Infinite without a point.
    pub value: f64,
    /// Candidates scored.
    pub evaluations: u64,
    /// Iterations.
    pub iterations: u64,
    /// Rounds of evaluations.
    pub rounds: u64,
    /// Why the search ended.
    pub stop: StopReason,
}

/// Which optima [`Evaluate::exact_optima`] is to find.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimaTask<'a> {
    /// The groups of the evaluator's batch. They may be kept, so that a further task with the same
    /// groups takes less time.
    pub groups: &'a Groups,
    /// Those of them whose optima are wanted.
    pub range: Range<usize>,
    /// When positions are closed.
    pub exit_rule: ExitRule,
    /// Least and greatest h, both inclusive.
    pub high_bounds: (f32, f32),
    /// Least and greatest l, both inclusive.
    pub low_bounds: (f32, f32),
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

/// Scores simulations of groups that have other simulations elsewhere.
///
/// A group's sum is an integer sum of fixed-point profits. Its fixed point depends on all members,
/// so it is given: with it, the sums of the parts add up to the sum of the whole, bit for bit.
pub trait EvaluateShard {
    /// Bound on the magnitude of each simulation's profit under any candidate, `[S]`. The largest
    /// of a group and the number of its simulations decide on the fixed point.
    fn bounds(&self) -> &[f64];

    /// Sum over the simulations of each group that are here, under each of its candidates: every
    /// profit as [`canonical_profit`](crate::canonical_profit) gives it, times
    /// `2^fraction_bits[group]`, rounded to an integer, ties to even.
    ///
    /// `fraction_bits`: `[groups.len()]`; `sums`: in the order of [`Evaluate::means`],
    /// `[candidates.total(groups.len())]`.
    ///
    /// # Errors
    /// As [`Evaluate::means`]; `sums` is then unspecified.
    fn sums(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        fraction_bits: &[i32],
        sums: &mut [i64],
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

    fn searches(&mut self) -> Option<&mut dyn Searches> {
        (**self).searches()
    }

    fn means_by_rule(
        &mut self,
        groups: &Groups,
        candidates: &[(ExitRule, &Candidates)],
        means: &mut [f64],
    ) -> Result<(), Error> {
        (**self).means_by_rule(groups, candidates, means)
    }

    fn shard(&mut self) -> Option<&mut dyn EvaluateShard> {
        (**self).shard()
    }

    fn exact_optima(&mut self, task: &OptimaTask<'_>) -> Option<Result<Vec<Option<Exact>>, Error>> {
        (**self).exact_optima(task)
    }
}

/// A set of CPU threads: all of the machine's by default, or a stated number.
#[derive(Debug, Clone, Default)]
pub struct Threads(Option<Arc<rayon::ThreadPool>>);

impl Threads {
    /// Most threads that can be asked for.
    pub const MAX: usize = 4096;

    /// `count` threads, which this and its clones have to themselves.
    ///
    /// The threads that were started last outlive them, idle, and are taken again when as many are
    /// asked for; the others end with the last clone.
    ///
    /// # Errors
    /// 0 or more than [`Threads::MAX`]; or the system refuses to start them.
    pub fn new(count: usize) -> Result<Self, Error> {
        if count == 0 || count > Self::MAX {
            return Err(Error::option("threads", count, "between 1 and 4096"));
        }
        // Many a search takes less time than starting threads does. What is still in use is not
        // shared: it would be fewer threads for both.
        static LAST: Mutex<Option<Arc<rayon::ThreadPool>>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = &*last
            && pool.current_num_threads() == count
            && Arc::strong_count(pool) == 1
        {
            return Ok(Self(Some(pool.clone())));
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
        let pool = Arc::new(pool);
        *last = Some(pool.clone());
        Ok(Self(Some(pool)))
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

    /// `of_index` of every index below `count`, in order. A single one is done where it is asked
    /// for, since waking a thread may take longer; `of_index` itself stays on one thread.
    pub(crate) fn map<R: Send>(
        &self,
        count: usize,
        of_index: impl Fn(usize) -> R + Send + Sync,
    ) -> Vec<R> {
        match count {
            0 | 1 => (0..count).map(of_index).collect(),
            _ => self.run(|| (0..count).into_par_iter().map(of_index).collect()),
        }
    }
}

/// The machine part that evaluates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Device {
    /// The fastest that is there.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU of this index.
    Cuda(usize),
}

/// How a GPU stores the batch.
///
/// With 16 bits a search scores the batch of the rounded values; what it reports is recomputed on the
/// batch as it was given, like every reported profit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Storage {
    /// 24 bytes per leg. The bits of the CPU.
    #[default]
    F32,
    /// IEEE half precision, 12 bytes per leg: every value of a bar is rounded to 11 significant
    /// bits, a relative error of at most 2^-11 (moves below 6e-5 in magnitude: an absolute one of
    /// 3e-8). Magnitudes up to 65504. The bits of the CPU on a batch of the rounded values.
    F16,
    /// bfloat16, 12 bytes per leg: rounded to 8 significant bits, a relative error of at most
    /// 2^-8. The bits of the CPU on a batch of the rounded values.
    Bf16,
}

/// How to evaluate.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EvaluateOptions {
    /// Fee per entered leg as a fraction, within `[0, 1)`. [`EQUITY_FEE`] by default.
    pub fee: f64,
    /// Number of CPU threads; `None`: all.
    pub threads: Option<usize>,
    /// Instruction set of the CPU; `None`: the widest this machine has. The results have the same
    /// bits.
    pub simd: Option<Simd>,
    /// How a GPU stores the batch; the CPU always holds f32.
    pub storage: Storage,
    /// Most bytes to take on each GPU; `None`: all but a tenth of what is free. A batch that does
    /// not fit is streamed through a few buffers, with the same bits.
    pub max_device_bytes: Option<usize>,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            fee: EQUITY_FEE,
            threads: None,
            simd: None,
            storage: Storage::F32,
            max_device_bytes: None,
        }
    }
}

fn check_fee(fee: f64) -> Result<(), Error> {
    if (0.0..1.0).contains(&fee) {
        return Ok(());
    }
    let expected = "a fraction within [0, 1), such as EQUITY_FEE";
    Err(Error::option("fee", fee, expected))
}

fn check_groups(batch: &Batch, groups: &Groups) -> Result<(), Error> {
    let (expected, got) = (batch.len(), groups.simulations());
    if got == expected {
        return Ok(());
    }
    Err(Error::Length {
        what: "the groups",
        expected,
        got,
        remedy: "make them for the number of simulations of this batch",
    })
}

fn check(batch: &Batch, groups: &Groups, candidates: &Candidates) -> Result<(), Error> {
    check_groups(batch, groups)?;
    match candidates.groups() {
        Some(lists) if lists != groups.len() => Err(Error::Length {
            what: "the lists of candidates",
            expected: groups.len(),
            got: lists,
            remedy: "give one list per group",
        }),
        _ => Ok(()),
    }
}

fn check_sums(
    groups: &Groups,
    candidates: &Candidates,
    fraction_bits: &[i32],
    sums: &[i64],
) -> Result<(), Error> {
    if fraction_bits.len() != groups.len() {
        return Err(Error::Length {
            what: "the list of fraction bits",
            expected: groups.len(),
            got: fraction_bits.len(),
            remedy: "give one number per group",
        });
    }
    // What `power_of_two` can form.
    if let Some(bits) = fraction_bits.iter().find(|bits| bits.unsigned_abs() > 1000) {
        return Err(Error::option("fraction_bits", bits, "within ±1000"));
    }
    let total = candidates.total(groups.len());
    if sums.len() != total {
        return Err(wrong_length("the buffer of sums", total, sums.len()));
    }
    Ok(())
}

fn wrong_length(what: &'static str, expected: usize, got: usize) -> Error {
    Error::Length {
        what,
        expected,
        got,
        remedy: "give it one value per score",
    }
}

/// The group of each simulation.
fn group_of(groups: &Groups) -> Vec<u32> {
    let mut group_of = vec![0; groups.simulations()];
    for group in 0..groups.len() {
        for &simulation in groups.members(group) {
            group_of[simulation as usize] = group as u32;
        }
    }
    group_of
}

/// An evaluator of the library, whatever it runs on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Evaluator<'a> {
    /// Threads and SIMD.
    Cpu(Cpu<'a>),
    /// One or several GPUs.
    #[cfg(feature = "cuda")]
    Cuda(Cuda<'a>),
}

impl<'a> Evaluator<'a> {
    /// An evaluator on the CPU.
    ///
    /// # Errors
    /// A fee outside `[0, 1)`, 0 threads, or an instruction set that this machine lacks.
    pub fn cpu(batch: &'a Batch, options: &EvaluateOptions) -> Result<Self, Error> {
        Cpu::new(batch, options).map(Self::Cpu)
    }

    /// An evaluator on the NVIDIA GPUs of these indices, which share the simulations. The results
    /// have the bits of the CPU, whatever the number of GPUs.
    ///
    /// # Errors
    /// A fee outside `[0, 1)`, 0 threads, no index or one given twice;
    /// [`Error::Unavailable`] when this build lacks the feature `cuda`, or the machine a driver, a
    /// device, or a way to the kernels for it; [`Error::DeviceMemory`] when not even a part of the
    /// batch fits; [`Error::Cuda`] for any other failure of the driver;
    /// [`Error::OutOfRange`] or [`Error::LowAtMinusOne`] for a value that the chosen [`Storage`]
    /// cannot hold.
    pub fn cuda(
        batch: &'a Batch,
        devices: &[usize],
        options: &EvaluateOptions,
    ) -> Result<Self, Error> {
        #[cfg(feature = "cuda")]
        return Cuda::new(batch, devices, options).map(Self::Cuda);
        #[cfg(not(feature = "cuda"))]
        {
            let _ = (batch, devices, options);
            Err(Error::Unavailable {
                what: "a CUDA device",
                why: "this build lacks the feature `cuda`".to_owned(),
                remedy: "build with it, or use Device::Auto or Device::Cpu: the same bits",
            })
        }
    }

    /// An evaluator on the first GPU, or on the CPU when there is none that can be used:
    /// [`Evaluator::device`] tells which it is, [`Evaluator::fallback`] why.
    ///
    /// # Errors
    /// As [`Evaluator::cpu`].
    pub fn auto(batch: &'a Batch, options: &EvaluateOptions) -> Result<Self, Error> {
        match Self::cuda(batch, &[0], options) {
            Ok(evaluator) => Ok(evaluator),
            Err(why) => Cpu::new(batch, options).map(|cpu| Self::Cpu(cpu.instead_of(why))),
        }
    }

    /// An evaluator on a stated device.
    ///
    /// # Errors
    /// As [`Evaluator::auto`], [`Evaluator::cpu`] or [`Evaluator::cuda`].
    pub fn new(batch: &'a Batch, device: Device, options: &EvaluateOptions) -> Result<Self, Error> {
        match device {
            Device::Auto => Self::auto(batch, options),
            Device::Cpu => Self::cpu(batch, options),
            Device::Cuda(index) => Self::cuda(batch, &[index], options),
        }
    }

    /// What the evaluator runs on, in words.
    pub fn device(&self) -> String {
        match self {
            Self::Cpu(cpu) => cpu.device(),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.device(),
        }
    }

    /// Why [`Evaluator::auto`] took the CPU; `None` if it did not.
    pub fn fallback(&self) -> Option<&Error> {
        match self {
            Self::Cpu(cpu) => cpu.fallback(),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => None,
        }
    }

    /// Profit of each simulation under each of its group's candidates, f32 in canonical order.
    ///
    /// `profits`: simulation 0's candidates in order, then simulation 1's, and so on. With one
    /// list for all that is `(S, C)`, row-major.
    ///
    /// # Errors
    /// Groups or candidates that do not fit the batch, or a buffer of another length; on a GPU,
    /// what [`Evaluator::means`](Evaluate::means) can meet there.
    pub fn profits(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        profits: &mut [f32],
    ) -> Result<(), Error> {
        match self {
            Self::Cpu(cpu) => cpu.profits(groups, candidates, exit_rule, profits),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.profits(groups, candidates, exit_rule, profits),
        }
    }

    /// Memory held beyond the batch, in bytes, on the CPU and on GPUs.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Cpu(cpu) => cpu.bytes(),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.bytes(),
        }
    }

    /// Memory held on GPUs, in bytes; [`Evaluator::bytes`] counts it, too.
    pub fn device_bytes(&self) -> usize {
        match self {
            Self::Cpu(_) => 0,
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.device_bytes(),
        }
    }

    fn evaluate(&self) -> &dyn Evaluate {
        match self {
            Self::Cpu(cpu) => cpu,
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda,
        }
    }
}

impl Evaluate for Evaluator<'_> {
    fn batch(&self) -> &Batch {
        self.evaluate().batch()
    }

    fn fee(&self) -> f64 {
        self.evaluate().fee()
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
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.means(groups, candidates, exit_rule, means),
        }
    }

    fn threads(&self) -> Threads {
        self.evaluate().threads()
    }

    fn per_group(&self) -> Option<&dyn EvaluateGroup> {
        self.evaluate().per_group()
    }

    fn searches(&mut self) -> Option<&mut dyn Searches> {
        match self {
            Self::Cpu(cpu) => cpu.searches(),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.searches(),
        }
    }

    fn shard(&mut self) -> Option<&mut dyn EvaluateShard> {
        match self {
            Self::Cpu(cpu) => cpu.shard(),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.shard(),
        }
    }

    fn exact_optima(&mut self, task: &OptimaTask<'_>) -> Option<Result<Vec<Option<Exact>>, Error>> {
        match self {
            Self::Cpu(cpu) => cpu.exact_optima(task),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.exact_optima(task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_taken_again_but_not_shared() {
        let pool = |threads: &Threads| threads.0.as_ref().map(Arc::as_ptr);
        let ours = Threads::new(3).unwrap();
        let also = Threads::new(3).unwrap();
        assert_ne!(pool(&ours), pool(&also));
        // Unless another test starts threads in between.
        let taken_again = |_| {
            let before = pool(&Threads::new(3).unwrap());
            before == pool(&Threads::new(3).unwrap())
        };
        assert!((0..100).any(taken_again));
    }
}
