//! The CPU evaluator: legs in structure of arrays, SIMD over legs, threads over simulations.
//!
//! # Data structure
//!
//! Every simulation owns one run of `[f32; 16]` blocks: its long legs, then its short legs. Each
//! side holds six columns of equal length, the fields of [`Leg`] in declaration order, padded to a
//! multiple of 16 with legs of weight 0. A side of `n` legs thus takes `6 * ceil(n / 16)` blocks of
//! 64 bytes each, on x86-64 aligned so, and the last simulation ends where the vector ends.
//!
//! # Order of summation
//!
//! A vector of `W` lanes starts at a multiple of `W` within its side, and `W` divides 32: vector
//! `i` belongs to the partial sums `W * (i mod 32 / W) ..`. The kernel therefore makes `32 / W`
//! passes, each over every `32 / W`-th vector of both sides with one accumulator per candidate,
//! and each pass yields `W` of the 32 partial sums, in the order [`canonical_profit`] states.
//! Padding adds `0 * finite`, a skipped leg adds the same: neither changes a partial sum, except
//! for the sign of a zero, which the reduction drops.
//!
//! [`canonical_profit`]: crate::profit::canonical_profit

use std::sync::atomic::{AtomicI64, Ordering};

use bytemuck::Zeroable;
use pulp::{Simd as Vector, WithSimd};
use rayon::prelude::*;

use super::fixed_point::{self, fraction_bits_of, mean, power_of_two};
use super::{
    Evaluate, EvaluateGroup, EvaluateOptions, EvaluateShard, Threads, check, check_fee,
    check_groups, check_sums, group_of, wrong_length,
};
use crate::batch::{Batch, Simulation};
use crate::error::Error;
use crate::groups::{Candidates, Groups};
use crate::profit::{ExitRule, LANES, Leg, MAX_HIGH, Multipliers, Side, reduce};

/// Fields of a leg that the kernel reads.
const COLUMNS: usize = 6;

/// Lanes of a block; no vector is wider.
const BLOCK: usize = 16;

/// Candidates that one task scores at most: their sums live on its stack.
const TASK_CANDIDATES: usize = 128;

/// Legs times candidates of one task, about 20 microseconds of work.
const TASK_COST: usize = 100_000;

/// Bars whose legs one task derives, about 20 microseconds of work.
const TASK_BARS: usize = 4096;

/// `BLOCK` values, aligned as the widest vector wants it. It is only stored; the kernel reads f32.
#[cfg(target_arch = "x86_64")]
type Block = std::arch::x86_64::__m512;
#[cfg(not(target_arch = "x86_64"))]
type Block = [f32; BLOCK];

const _: () = assert!(size_of::<Block>() == size_of::<[f32; BLOCK]>());

/// An instruction set of the CPU evaluator. All give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Simd {
    /// Plain Rust, one leg at a time. Slow where the machine lacks a fused multiply-add.
    Portable,
    /// 8 lanes: x86-64 with AVX2 and FMA.
    Avx2,
    /// 16 lanes: x86-64 with AVX-512 (F, BW, CD, DQ, VL).
    Avx512,
    /// 4 lanes: 64-bit Arm.
    Neon,
}

impl Simd {
    /// The instruction sets this machine has, narrowest first; never empty.
    pub fn available() -> Vec<Self> {
        let all = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];
        let has = |simd: &Self| Dispatch::new(*simd).is_some();
        all.into_iter().filter(has).collect()
    }
}

/// Proof that an instruction set is there.
#[derive(Debug, Clone, Copy)]
enum Dispatch {
    Portable(pulp::Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Dispatch {
    fn new(simd: Simd) -> Option<Self> {
        match simd {
            Simd::Portable => Some(Self::Portable(pulp::Scalar::new())),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx2 => pulp::x86::V3::try_new().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            Simd::Avx512 => pulp::x86::V4::try_new().map(Self::Avx512),
            #[cfg(target_arch = "aarch64")]
            Simd::Neon => pulp::aarch64::Neon::try_new().map(Self::Neon),
            #[allow(unreachable_patterns)]
            _ => None,
        }
    }

    fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self {
            Self::Portable(simd) => Vector::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => Vector::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => Vector::vectorize(simd, work),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => Vector::vectorize(simd, work),
        }
    }
}

/// Where the legs of one simulation lie.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// First block.
    start: u32,
    /// Long legs, and short legs.
    legs: [u32; 2],
    /// Some `high >= 10`: the upper clamp of the high level matters.
    capped: bool,
}

/// Evaluates on CPU threads with SIMD.
#[derive(Debug)]
pub struct Cpu<'a> {
    batch: &'a Batch,
    fee: f64,
    threads: Threads,
    simd: Simd,
    dispatch: Dispatch,
    /// Why it is not a GPU, when one would have been taken.
    fallback: Option<Error>,
    blocks: Vec<Block>,
    spans: Vec<Span>,
    /// Bound on the magnitude of each simulation's profit under any candidate.
    bounds: Vec<f64>,
    /// Reused between calls: the work, its sums, and each group's fraction bits.
    tasks: Vec<Task>,
    sums: Vec<AtomicI64>,
    fraction_bits: Vec<i32>,
}

/// Some candidates over some members of a group.
#[derive(Debug, Clone, Copy)]
struct Task {
    group: u32,
    members: [u32; 2],
    candidates: [u32; 2],
}

impl<'a> Cpu<'a> {
    pub(super) fn new(batch: &'a Batch, options: &EvaluateOptions) -> Result<Self, Error> {
        check_fee(options.fee)?;
        let simd = match options.simd {
            Some(simd) => simd,
            None => *Simd::available().last().unwrap_or(&Simd::Portable),
        };
        let dispatch = Dispatch::new(simd).ok_or_else(|| Error::Unavailable {
            what: "the instruction set",
            why: format!("this machine has no {simd:?}"),
            remedy: "leave simd at None to take the widest there is",
        })?;
        let threads = match options.threads {
            Some(count) => Threads::new(count)?,
            None => Threads::default(),
        };
        let fee = options.fee as f32;
        let (blocks, spans) = derive_legs(batch, fee, &threads)?;
        let bounds = batch.simulations();
        let bounds = bounds
            .map(|simulation| fixed_point::bound(simulation.positions(), fee))
            .collect();
        Ok(Self {
            batch,
            fee: options.fee,
            threads,
            simd,
            dispatch,
            fallback: None,
            blocks,
            spans,
            bounds,
            tasks: Vec::new(),
            sums: Vec::new(),
            fraction_bits: Vec::new(),
        })
    }

    /// The same, taken because something better was not to be had.
    pub(super) fn instead_of(mut self, why: Error) -> Self {
        self.fallback = Some(why);
        self
    }

    pub(super) fn fallback(&self) -> Option<&Error> {
        self.fallback.as_ref()
    }

    /// What it runs on, in words.
    pub(super) fn device(&self) -> String {
        format!("CPU, {:?}, threads: {}", self.simd, self.threads.count())
    }

    /// Memory held beyond the batch, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
            + self.spans.capacity() * size_of::<Span>()
            + self.tasks.capacity() * size_of::<Task>()
            + self.sums.capacity() * size_of::<AtomicI64>()
            + self.bounds.capacity() * size_of::<f64>()
            + self.fraction_bits.capacity() * size_of::<i32>()
    }

    /// See [`Evaluator::profits`](super::Evaluator::profits).
    pub(super) fn profits(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        profits: &mut [f32],
    ) -> Result<(), Error> {
        check(self.batch, groups, candidates)?;
        let group_of = group_of(groups);
        let rows = group_of
            .iter()
            .map(|&group| candidates.range(group as usize).len());
        let expected = rows.sum();
        if profits.len() != expected {
            return Err(wrong_length(
                "the buffer of profits",
                expected,
                profits.len(),
            ));
        }
        let mut rest = profits;
        let mut rows = Vec::with_capacity(group_of.len());
        for (simulation, &group) in group_of.iter().enumerate() {
            let group = group as usize;
            let (row, tail) = rest.split_at_mut(candidates.range(group).len());
            rows.push((simulation, candidates.of_group(group), row));
            rest = tail;
        }
        let this = &*self;
        this.threads.run(|| {
            rows.into_par_iter()
                .with_min_len(16)
                .for_each(|(simulation, pairs, row)| {
                    this.dispatch.run(Score {
                        evaluator: this,
                        members: &[simulation as u32],
                        pairs,
                        exit_rule,
                        sink: |_, start: usize, scores: &[f32]| {
                            row[start..start + scores.len()].copy_from_slice(scores);
                        },
                    });
                });
        });
        Ok(())
    }

    /// Fraction bits of each group that has candidates.
    fn set_fraction_bits(&mut self, groups: &Groups, candidates: &Candidates) {
        self.fraction_bits.clear();
        for group in 0..groups.len() {
            self.fraction_bits
                .push(match candidates.range(group).len() {
                    0 => 0,
                    _ => fraction_bits_of(groups.members(group), &self.bounds),
                });
        }
    }

    /// Cuts the work into tasks of about equal cost, in order of the groups.
    fn plan(&mut self, groups: &Groups, candidates: &Candidates) {
        self.tasks.clear();
        for group in 0..groups.len() {
            let members = groups.members(group);
            let count = candidates.range(group).len();
            let mut first = 0;
            while first < count {
                let last = (first + TASK_CANDIDATES).min(count);
                let mut start = 0;
                let mut cost = 0;
                for (index, &member) in members.iter().enumerate() {
                    let legs = self.spans[member as usize].legs;
                    cost += (legs[0] + legs[1] + 32) as usize * (last - first);
                    if cost >= TASK_COST || index + 1 == members.len() {
                        self.tasks.push(Task {
                            group: group as u32,
                            members: [start as u32, index as u32 + 1],
                            candidates: [first as u32, last as u32],
                        });
                        start = index + 1;
                        cost = 0;
                    }
                }
                first = last;
            }
        }
    }

    /// Leaves the groups' sums in `sums`, in the fixed point of `fraction_bits`.
    fn add_up(&mut self, groups: &Groups, candidates: &Candidates, exit_rule: ExitRule) {
        self.plan(groups, candidates);
        self.sums.clear();
        let total = candidates.total(groups.len());
        self.sums.resize_with(total, AtomicI64::default);
        let this = &*self;
        let add = |task| this.add(task, groups, candidates, exit_rule, &this.sums);
        if this.tasks.len() > 1 && this.threads.count() > 1 {
            // Many small tasks: a thread takes a run of them, since neighbours share cache lines.
            let run = this.tasks.len() / (8 * this.threads.count());
            this.threads.run(|| {
                let tasks = this.tasks.par_iter().with_min_len(run.clamp(1, 8));
                tasks.for_each(add);
            });
        } else {
            this.tasks.iter().for_each(add);
        }
    }

    /// Sums of the fixed-point profits of `members` under each of at most [`TASK_CANDIDATES`]
    /// pairs; the sums behind the last pair are 0.
    fn fixed_point_sums(
        &self,
        members: &[u32],
        pairs: &[Multipliers],
        exit_rule: ExitRule,
        fraction_bits: i32,
    ) -> [i64; TASK_CANDIDATES] {
        let scale = power_of_two(fraction_bits);
        let mut sums = [0_i64; TASK_CANDIDATES];
        self.dispatch.run(Score {
            evaluator: self,
            members,
            pairs,
            exit_rule,
            sink: |_, start: usize, scores: &[f32]| {
                for (sum, &score) in sums[start..].iter_mut().zip(scores) {
                    *sum += (f64::from(score) * scale).round_ties_even() as i64;
                }
            },
        });
        sums
    }

    /// Adds what the task's members contribute to the group's sums.
    fn add(
        &self,
        task: &Task,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        sums: &[AtomicI64],
    ) {
        let group = task.group as usize;
        let members = groups.members(group);
        let [first, last] = task.candidates.map(|index| index as usize);
        let local = self.fixed_point_sums(
            &members[task.members[0] as usize..task.members[1] as usize],
            &candidates.of_group(group)[first..last],
            exit_rule,
            self.fraction_bits[group],
        );
        let range = candidates.range(group);
        let base = if candidates.groups().is_some() {
            range.start
        } else {
            range.len() * group
        };
        let whole = task.members == [0, members.len() as u32];
        for (sum, &value) in sums[base + first..base + last].iter().zip(&local) {
            // Nobody else writes the sums of a task that covers its whole group.
            if whole {
                sum.store(value, Ordering::Relaxed);
            } else {
                sum.fetch_add(value, Ordering::Relaxed);
            }
        }
    }
}

impl EvaluateGroup for Cpu<'_> {
    fn group_means(
        &self,
        groups: &Groups,
        group: usize,
        pairs: &[Multipliers],
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        check_groups(self.batch, groups)?;
        if means.len() != pairs.len() {
            return Err(wrong_length(
                "the buffer of means",
                pairs.len(),
                means.len(),
            ));
        }
        let members = groups.members(group);
        let fraction_bits = fraction_bits_of(members, &self.bounds);
        let blocks = pairs.chunks(TASK_CANDIDATES);
        for (pairs, means) in blocks.zip(means.chunks_mut(TASK_CANDIDATES)) {
            let sums = self.fixed_point_sums(members, pairs, exit_rule, fraction_bits);
            for (value, sum) in means.iter_mut().zip(sums) {
                *value = mean(sum, fraction_bits, members.len());
            }
        }
        Ok(())
    }
}

impl Evaluate for Cpu<'_> {
    fn batch(&self) -> &Batch {
        self.batch
    }

    fn fee(&self) -> f64 {
        self.fee
    }

    fn threads(&self) -> Threads {
        self.threads.clone()
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        check(self.batch, groups, candidates)?;
        let total = candidates.total(groups.len());
        if means.len() != total {
            return Err(wrong_length("the buffer of means", total, means.len()));
        }
        self.set_fraction_bits(groups, candidates);
        self.add_up(groups, candidates, exit_rule);
        let mut sums = self.sums.iter().zip(means);
        for group in 0..groups.len() {
            let (bits, members) = (self.fraction_bits[group], groups.members(group).len());
            for (sum, value) in sums.by_ref().take(candidates.range(group).len()) {
                *value = mean(sum.load(Ordering::Relaxed), bits, members);
            }
        }
        Ok(())
    }

    fn per_group(&self) -> Option<&dyn EvaluateGroup> {
        Some(self)
    }

    fn shard(&mut self) -> Option<&mut dyn EvaluateShard> {
        Some(self)
    }
}

impl EvaluateShard for Cpu<'_> {
    fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    fn sums(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        fraction_bits: &[i32],
        sums: &mut [i64],
    ) -> Result<(), Error> {
        check(self.batch, groups, candidates)?;
        check_sums(groups, candidates, fraction_bits, sums)?;
        self.fraction_bits.clear();
        self.fraction_bits.extend_from_slice(fraction_bits);
        self.add_up(groups, candidates, exit_rule);
        for (sum, from) in sums.iter_mut().zip(&self.sums) {
            *sum = from.load(Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The legs of all simulations, in blocks.
fn derive_legs(
    batch: &Batch,
    fee: f32,
    threads: &Threads,
) -> Result<(Vec<Block>, Vec<Span>), Error> {
    let mut spans = Vec::with_capacity(batch.len());
    let mut next = 0_usize;
    for simulation in batch.simulations() {
        let mut span = Span {
            start: 0,
            legs: [0; 2],
            capped: false,
        };
        for (bar, position) in simulation.positions() {
            if position != 0.0 {
                span.legs[usize::from(position < 0.0)] += 1;
                span.capped |= bar.high >= MAX_HIGH;
            }
        }
        span.start = u32::try_from(next).map_err(|_| Error::BatchTooLarge {
            bars: batch.bars(),
            limit: u32::MAX as usize / COLUMNS,
        })?;
        next += blocks_of(span.legs[0]) + blocks_of(span.legs[1]);
        spans.push(span);
    }

    let mut blocks = vec![Block::zeroed(); next];
    let mut rest = blocks.as_mut_slice();
    let mut runs = Vec::with_capacity(spans.len());
    for (span, simulation) in spans.iter().zip(batch.simulations()) {
        let (run, tail) = rest.split_at_mut(blocks_of(span.legs[0]) + blocks_of(span.legs[1]));
        runs.push((span, simulation, run));
        rest = tail;
    }
    let fill = |(span, simulation, run): (&Span, Simulation<'_>, &mut [Block])| {
        fill(span, &simulation, fee, run);
    };
    if batch.bars() <= TASK_BARS {
        runs.into_iter().for_each(fill);
    } else {
        let task = (TASK_BARS * batch.len() / batch.bars()).max(1);
        threads.run(|| runs.into_par_iter().with_min_len(task).for_each(fill));
    }
    Ok((blocks, spans))
}

/// Blocks of a side of `legs` legs, all columns together.
fn blocks_of(legs: u32) -> usize {
    (legs as usize).div_ceil(BLOCK) * COLUMNS
}

fn fill(span: &Span, simulation: &Simulation<'_>, fee: f32, run: &mut [Block]) {
    let (long, short) = run.split_at_mut(blocks_of(span.legs[0]));
    let sides = [long, short].map(bytemuck::cast_slice_mut::<Block, f32>);
    let mut next = [0; 2];
    for (bar, position) in simulation.positions() {
        let Some(leg) = Leg::new(&bar, position, fee) else {
            continue;
        };
        let side = usize::from(leg.side == Side::Short);
        let stride = sides[side].len() / COLUMNS;
        let fields = [
            leg.high_gate,
            leg.low_gate,
            leg.high_offset,
            leg.low_pred,
            leg.close_term,
            leg.weight,
        ];
        for (column, value) in fields.into_iter().enumerate() {
            sides[side][column * stride + next[side]] = value;
        }
        next[side] += 1;
    }
}

/// The kernel: scores `pairs` over `members`, handing runs of at most 4 scores to `sink` as
/// `(member index, first pair, scores)`.
struct Score<'e, F> {
    evaluator: &'e Cpu<'e>,
    members: &'e [u32],
    pairs: &'e [Multipliers],
    exit_rule: ExitRule,
    sink: F,
}

impl<F: FnMut(usize, usize, &[f32])> WithSimd for Score<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Vector>(mut self, simd: S) {
        for (index, &member) in self.members.iter().enumerate() {
            let span = &self.evaluator.spans[member as usize];
            match (self.exit_rule, span.capped) {
                (ExitRule::Intraday, false) => {
                    self.simulation::<S, false, false>(simd, index, span)
                }
                (ExitRule::Intraday, true) => self.simulation::<S, false, true>(simd, index, span),
                (ExitRule::AtClose, false) => self.simulation::<S, true, false>(simd, index, span),
                (ExitRule::AtClose, true) => self.simulation::<S, true, true>(simd, index, span),
            }
        }
    }
}

impl<F: FnMut(usize, usize, &[f32])> Score<'_, F> {
    #[inline(always)]
    fn simulation<S: Vector, const AT_CLOSE: bool, const CAPPED: bool>(
        &mut self,
        simd: S,
        index: usize,
        span: &Span,
    ) {
        let start = span.start as usize;
        let middle = start + blocks_of(span.legs[0]);
        let end = middle + blocks_of(span.legs[1]);
        let blocks = &self.evaluator.blocks;
        let long = Columns::new(&blocks[start..middle], span.legs[0]);
        let short = Columns::new(&blocks[middle..end], span.legs[1]);
        let kernel = Kernel::<S, AT_CLOSE, CAPPED> {
            simd,
            fee: self.evaluator.fee as f32,
            long,
            short,
        };
        let mut done = 0;
        while done < self.pairs.len() {
            let left = &self.pairs[done..];
            if let Some(pairs) = left.first_chunk::<4>() {
                (self.sink)(index, done, &kernel.score(pairs));
                done += 4;
            } else if let Some(pairs) = left.first_chunk::<2>() {
                (self.sink)(index, done, &kernel.score(pairs));
                done += 2;
            } else if let Some(pairs) = left.first_chunk::<1>() {
                (self.sink)(index, done, &kernel.score(pairs));
                done += 1;
            }
        }
    }
}

/// The columns of one side as vectors.
#[derive(Clone, Copy)]
struct Columns<'b, S: Vector> {
    high_gate: &'b [S::f32s],
    low_gate: &'b [S::f32s],
    high_offset: &'b [S::f32s],
    low_pred: &'b [S::f32s],
    close_term: &'b [S::f32s],
    weight: &'b [S::f32s],
}

impl<'b, S: Vector> Columns<'b, S> {
    #[inline(always)]
    fn new(blocks: &'b [Block], legs: u32) -> Self {
        let stride = blocks.len() / COLUMNS;
        // Only the vectors that hold a leg: a narrow vector skips most of the padding.
        let vectors = (legs as usize).div_ceil(S::F32_LANES);
        let column = |index: usize| -> &'b [S::f32s] {
            let column = &blocks[index * stride..(index + 1) * stride];
            let (vectors_all, _) = S::as_simd_f32s(bytemuck::cast_slice(column));
            &vectors_all[..vectors]
        };
        Self {
            high_gate: column(0),
            low_gate: column(1),
            high_offset: column(2),
            low_pred: column(3),
            close_term: column(4),
            weight: column(5),
        }
    }
}

/// A simulation under evaluation.
struct Kernel<'b, S: Vector, const AT_CLOSE: bool, const CAPPED: bool> {
    simd: S,
    fee: f32,
    long: Columns<'b, S>,
    short: Columns<'b, S>,
}

impl<S: Vector, const AT_CLOSE: bool, const CAPPED: bool> Kernel<'_, S, AT_CLOSE, CAPPED> {
    /// Profits under `N` candidates at once.
    #[inline(always)]
    fn score<const N: usize>(&self, pairs: &[Multipliers; N]) -> [f32; N] {
        let simd = self.simd;
        let width = S::F32_LANES;
        let passes = LANES / width;
        let high = pairs.map(|pair| simd.splat_f32s(pair.high));
        let negated_low = pairs.map(|pair| simd.splat_f32s(-pair.low));
        let low = pairs.map(|pair| simd.splat_f32s(pair.low));
        let mut partial = [[0.0_f32; LANES]; N];
        for pass in 0..passes {
            let mut sums = [simd.splat_f32s(0.0); N];
            let mut vector = pass;
            while vector < self.long.weight.len() {
                self.step::<N, false>(&self.long, vector, &high, &low, &negated_low, &mut sums);
                vector += passes;
            }
            let mut vector = pass;
            while vector < self.short.weight.len() {
                self.step::<N, true>(&self.short, vector, &high, &low, &negated_low, &mut sums);
                vector += passes;
            }
            for (partial, sum) in partial.iter_mut().zip(sums) {
                simd.partial_store_f32s(&mut partial[pass * width..(pass + 1) * width], sum);
            }
        }
        partial.map(|mut partial| reduce(&mut partial))
    }

    /// Adds one vector of legs of one side to the sums of `N` candidates: [`Leg::term`] and a
    /// fused multiply-add.
    #[inline(always)]
    fn step<const N: usize, const SHORT: bool>(
        &self,
        legs: &Columns<'_, S>,
        vector: usize,
        high: &[S::f32s; N],
        low: &[S::f32s; N],
        negated_low: &[S::f32s; N],
        sums: &mut [S::f32s; N],
    ) {
        let simd = self.simd;
        let zero = simd.splat_f32s(0.0);
        let negated_fee = simd.splat_f32s(-self.fee);
        let cap = simd.splat_f32s(MAX_HIGH - self.fee);
        let high_gate = legs.high_gate[vector];
        let low_gate = legs.low_gate[vector];
        let high_offset = legs.high_offset[vector];
        let low_pred = legs.low_pred[vector];
        let close_term = legs.close_term[vector];
        let weight = legs.weight[vector];
        for k in 0..N {
            let high_holds = simd.less_than_or_equal_f32s(high[k], high_gate);
            let low_holds = simd.greater_than_or_equal_f32s(low[k], low_gate);
            let mut b = simd.max_f32s(simd.add_f32s(high[k], high_offset), negated_fee);
            if CAPPED {
                b = simd.min_f32s(b, cap);
            }
            let a = simd.max_f32s(simd.sub_f32s(negated_low[k], low_pred), zero);
            let (entered, value) = if SHORT {
                let exit = if AT_CLOSE {
                    close_term
                } else {
                    simd.select_f32s(low_holds, a, close_term)
                };
                (high_holds, simd.add_f32s(b, exit))
            } else {
                let exit = if AT_CLOSE {
                    close_term
                } else {
                    simd.select_f32s(high_holds, b, close_term)
                };
                (low_holds, simd.add_f32s(exit, a))
            };
            let weight = simd.select_f32s(entered, weight, zero);
            sums[k] = simd.mul_add_f32s(weight, value, sums[k]);
        }
    }
}
