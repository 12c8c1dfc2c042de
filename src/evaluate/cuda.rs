//! The GPU evaluator: all simulations times all candidates of a round in one launch.
//!
//! # Data structure
//!
//! The simulations are cut into one run per device, of about equal numbers of legs. On its device
//! a run lies as *slots*, longest simulation first and those of a few legs last, so that blocks of
//! equal cost stand together and the last ones are short. A slot's legs are its long legs, then
//! its short legs, in order: as two arrays (the four fields of a leg that both sides compare and
//! add, and the two that end the formula), or, stored as f16 or bf16, as records of the bar from
//! which the kernel derives the leg while it stages it.
//!
//! What does not fit a device is kept in pinned host memory as *chunks* of slots, and streamed in
//! each round, or for each set of whole searches, through a few buffers: some are filled while the
//! kernels work on others.
//!
//! # Bits
//!
//! The kernel forms each profit in the order that [`canonical_profit`] states, and group sums are
//! fixed-point integers added atomically: no block size, order, chunk or device shows.
//!
//! [`canonical_profit`]: crate::profit::canonical_profit

mod device;
mod exact;
mod legs;
mod search;
mod shape;
mod streamed;
mod transfer;

use std::cmp::Reverse;
use std::ops::Range;

use bytemuck::Pod;

use self::device::{Argument, Buffer, Gpu};
use self::exact::Optima;
use self::legs::{HostLegs, Pack, Span, cut, derive_spans, legs_of, pieces, split};
use self::search::SearchBuffers;
use self::shape::{Shape, Work};
use self::streamed::{DeviceLegs, MOST_BUFFERS, StreamedLegs};
use self::transfer::Transfer;
use super::fixed_point::{fraction_bits_of, mean, power_of_two};
use super::{
    Evaluate, EvaluateOptions, EvaluateShard, OptimaTask, Searches, Storage, Threads, check,
    check_fee, check_sums, group_of, wrong_length,
};
use crate::batch::Batch;
use crate::error::Error;
use crate::exact::Exact;
use crate::groups::{Candidates, Groups};
use crate::profit::{ExitRule, Multipliers};

/// Bytes of legs that are packed and uploaded at a time, at least one simulation.
const STAGE_BYTES: usize = 32 << 20;

/// The argument of the kernels; `Round` of `kernels/evaluate.cu`, where each field is explained.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Round {
    legs: u64,
    terms: u64,
    spans: u64,
    group_of: u64,
    scales: u64,
    pairs: u64,
    offsets: u64,
    sums: u64,
    profits: u64,
    rows: u64,
    count: u32,
    slots: u32,
    by_legs: u32,
    packed_from: u32,
    pack_lanes: u32,
    single: u32,
    fee: f32,
}

// SAFETY: `repr(C)`, with the fields of the kernel's parameter in its order: addresses as u64.
unsafe impl Argument for Round {}

/// Evaluates on NVIDIA GPUs.
#[derive(Debug)]
pub struct Cuda<'a> {
    batch: &'a Batch,
    fee: f64,
    threads: Threads,
    storage: Storage,
    /// Bound on the magnitude of each simulation's profit under any candidate, as stored.
    bounds: Vec<f64>,
    /// For exact optima: made when they are first asked for.
    optima: Option<Optima>,
    shards: Vec<Shard>,
    /// The groups that the devices know, the fraction bits of their sums, and whether these were
    /// given.
    groups: Option<(Groups, Vec<i32>, bool)>,
    /// Reused between calls: the sums of all devices.
    sums: Vec<i64>,
    /// What went wrong; nothing works from then on.
    failed: Option<Error>,
}

/// One device with its simulations.
#[derive(Debug)]
struct Shard {
    simulations: Range<usize>,
    legs: Legs,
    /// Bytes of a leg in its two arrays.
    widths: [usize; 2],
    spans: Vec<Span>,
    /// Of each simulation of the run.
    slots: Vec<u32>,
    device_spans: Buffer<Span>,
    group_of: Option<Buffer<u32>>,
    scales: Option<Buffer<f64>>,
    pairs: Transfer<[f32; 2]>,
    offsets: Transfer<u32>,
    rows: Transfer<u64>,
    sums: Transfer<i64>,
    profits: Transfer<f32>,
    searches: SearchBuffers,
    gpu: Gpu,
}

/// The legs of a device, or the place through which they pass.
#[derive(Debug)]
enum Legs {
    Resident(DeviceLegs),
    Streamed(StreamedLegs),
}

impl<'a> Cuda<'a> {
    /// See [`Evaluator::cuda`](super::Evaluator::cuda).
    pub(super) fn new(
        batch: &'a Batch,
        devices: &[usize],
        options: &EvaluateOptions,
    ) -> Result<Self, Error> {
        check_fee(options.fee)?;
        let repeated = |index: usize| devices[..index].contains(&devices[index]);
        if devices.is_empty() || (0..devices.len()).any(repeated) {
            let expected = "at least one index, each once";
            return Err(Error::option("devices", format!("{devices:?}"), expected));
        }
        let storage = options.storage;
        storage.check(batch)?;
        let threads = match options.threads {
            Some(count) => Threads::new(count)?,
            None => Threads::default(),
        };
        let fee = options.fee as f32;
        let (spans, bounds) = threads.run(|| derive_spans(batch, storage, fee));

        let mut shards = Vec::new();
        // More devices than simulations: the last ones stay idle.
        let runs = split(&spans, devices.len().min(batch.len()));
        for (&index, run) in devices.iter().zip(runs) {
            let gpu = Gpu::open(index, options.max_device_bytes)?;
            let mut spans = spans[run.clone()].to_vec();
            for (simulation, span) in spans.iter_mut().enumerate() {
                span.simulation = simulation as u32;
            }
            let pack = Pack {
                batch,
                storage,
                fee,
                first: run.start,
            };
            shards.push(threads.run(|| Shard::new(gpu, run, spans, &pack))?);
        }
        Ok(Self {
            batch,
            fee: options.fee,
            threads,
            storage,
            bounds,
            optima: None,
            shards,
            groups: None,
            sums: Vec::new(),
            failed: None,
        })
    }

    /// What it runs on, in words.
    pub(super) fn device(&self) -> String {
        let shards = self.shards.iter().map(|shard| {
            let (gpu, streamed) = (&shard.gpu, matches!(shard.legs, Legs::Streamed(_)));
            let streamed = if streamed { ", batch streamed" } else { "" };
            let Gpu {
                index, name, image, ..
            } = gpu;
            format!("CUDA device {index}: {name}, kernels {image}{streamed}")
        });
        shards.collect::<Vec<_>>().join("; ")
    }

    /// Memory held beyond the batch, in bytes, on the host and on the devices.
    pub(super) fn bytes(&self) -> usize {
        let shards = self.shards.iter().map(Shard::bytes).sum::<usize>();
        let optima = self.optima.as_ref().map_or(0, Optima::host_bytes);
        shards
            + optima
            + self.bounds.capacity() * size_of::<f64>()
            + self.sums.capacity() * size_of::<i64>()
    }

    /// Memory held on the devices, in bytes.
    pub(super) fn device_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.gpu.taken()).sum()
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
        let mut rows = Vec::with_capacity(self.batch.len() + 1);
        let mut next = 0;
        for group in group_of(groups) {
            rows.push(next);
            next += candidates.range(group as usize).len();
        }
        rows.push(next);
        if profits.len() != next {
            return Err(wrong_length("the buffer of profits", next, profits.len()));
        }
        self.guard(|this| {
            let round = this.prepare(groups, candidates, exit_rule, FractionBits::OfGroups)?;
            for shard in &mut this.shards {
                let rows = &rows[shard.simulations.start..=shard.simulations.end];
                shard.start_profits(&round, rows)?;
            }
            for shard in &mut this.shards {
                let row = rows[shard.simulations.start]..rows[shard.simulations.end];
                let target = &mut profits[row];
                let fetched = shard.profits.fetched()?;
                target.copy_from_slice(&fetched[..target.len()]);
            }
            Ok(())
        })
    }

    /// Runs work on the devices. After a failure of the driver nothing is known of their state:
    /// then nothing runs any more.
    fn guard(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let done = work(self);
        if done.is_err() {
            // What was started may use buffers that the next call replaces.
            let finished = self.shards.iter().map(|shard| shard.gpu.finish());
            let finished = finished.fold(Ok(()), Result::and);
            let errors = [&done, &finished];
            let of_driver = |done: &&&Result<(), Error>| matches!(done, Err(Error::Cuda(_)));
            if let Some(Err(error)) = errors.iter().find(of_driver) {
                self.failed = Some(error.clone());
            }
        }
        done
    }

    /// Leaves the groups' sums in `sums`.
    fn add_up(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        fraction_bits: FractionBits<'_>,
    ) -> Result<(), Error> {
        let round = self.prepare(groups, candidates, exit_rule, fraction_bits)?;
        for shard in &mut self.shards {
            shard.start_sums(&round)?;
        }
        self.sums.clear();
        self.sums.resize(candidates.total(groups.len()), 0);
        for shard in &mut self.shards {
            // Integers: any number of devices, in any order, gives the same sum.
            for (sum, &part) in self.sums.iter_mut().zip(shard.sums.fetched()?) {
                *sum += part;
            }
        }
        Ok(())
    }

    /// Tells the devices of the groups and the candidates.
    fn prepare<'r>(
        &mut self,
        groups: &Groups,
        candidates: &'r Candidates,
        exit_rule: ExitRule,
        fraction_bits: FractionBits<'_>,
    ) -> Result<RoundOf<'r>, Error> {
        let same = |(known, bits, of_shard): &(Groups, Vec<i32>, bool)| {
            let same_bits = match fraction_bits {
                FractionBits::OfGroups => !of_shard,
                FractionBits::Given(given) => bits == given,
            };
            same_bits && known == groups
        };
        if !self.groups.as_ref().is_some_and(same) {
            self.groups = None;
            let bits: Vec<i32> = match fraction_bits {
                FractionBits::OfGroups => {
                    let bits = |group| fraction_bits_of(groups.members(group), &self.bounds);
                    (0..groups.len()).map(bits).collect()
                }
                FractionBits::Given(bits) => bits.to_vec(),
            };
            let given = matches!(fraction_bits, FractionBits::Given(_));
            let scales: Vec<f64> = bits.iter().map(|&bits| power_of_two(bits)).collect();
            let group_of = group_of(groups);
            for shard in &mut self.shards {
                shard.set_groups(&group_of[shard.simulations.clone()], &scales)?;
            }
            self.groups = Some((groups.clone(), bits, given));
        }
        let pairs = candidates.pairs();
        let total = candidates.total(groups.len());
        if u32::try_from(pairs.len()).is_err() {
            let expected = "fewer than 2^32 on a GPU";
            return Err(Error::option("candidates", pairs.len(), expected));
        }
        let longest = (0..groups.len()).map(|group| candidates.range(group).len());
        let round = RoundOf {
            candidates,
            groups: groups.len(),
            total,
            longest: longest.max().unwrap_or(0),
            single: groups.len() == groups.simulations() && self.shards.len() == 1,
            kernel: self.storage.kernel(exit_rule),
            fee: self.fee as f32,
        };
        for shard in &mut self.shards {
            shard.set_candidates(&round)?;
        }
        Ok(round)
    }
}

impl Evaluate for Cuda<'_> {
    fn batch(&self) -> &Batch {
        self.batch
    }

    fn fee(&self) -> f64 {
        self.fee
    }

    fn threads(&self) -> Threads {
        self.threads.clone()
    }

    fn searches(&mut self) -> Option<&mut dyn Searches> {
        Some(self)
    }

    fn shard(&mut self) -> Option<&mut dyn EvaluateShard> {
        Some(self)
    }

    fn exact_optima(&mut self, task: &OptimaTask<'_>) -> Option<Result<Vec<Option<Exact>>, Error>> {
        self.has_optima().then(|| self.optima(task))
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
        self.guard(|this| {
            this.add_up(groups, candidates, exit_rule, FractionBits::OfGroups)?;
            let mut sums = this.sums.iter().zip(means);
            let bits = this.groups.as_ref().map_or(&[][..], |(_, bits, _)| bits);
            for (group, &bits) in bits.iter().enumerate() {
                let members = groups.members(group).len();
                for (&sum, value) in sums.by_ref().take(candidates.range(group).len()) {
                    *value = mean(sum, bits, members);
                }
            }
            Ok(())
        })
    }
}

impl EvaluateShard for Cuda<'_> {
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
        self.guard(|this| {
            let bits = FractionBits::Given(fraction_bits);
            this.add_up(groups, candidates, exit_rule, bits)?;
            sums.copy_from_slice(&this.sums);
            Ok(())
        })
    }
}

/// The fixed point of the groups' sums.
#[derive(Debug, Clone, Copy)]
enum FractionBits<'a> {
    /// That of groups which have all their simulations here.
    OfGroups,
    /// That of groups with simulations elsewhere.
    Given(&'a [i32]),
}

/// What a round is about.
struct RoundOf<'r> {
    candidates: &'r Candidates,
    groups: usize,
    /// Scores of all groups.
    total: usize,
    /// Candidates of the longest list.
    longest: usize,
    /// Every group has one simulation, and one device has them all: sums need no addition.
    single: bool,
    kernel: &'static str,
    fee: f32,
}

impl Shard {
    fn new(
        gpu: Gpu,
        simulations: Range<usize>,
        mut spans: Vec<Span>,
        pack: &Pack<'_>,
    ) -> Result<Self, Error> {
        // Equal lengths keep the order of the batch, whose neighbours share groups. Tiny ones share
        // a warp, which is at its best where both sides are equal.
        spans.sort_by_key(|span| {
            let sides = Reverse((span.longs, span.shorts));
            match span.is_tiny() {
                true => (true, Reverse(0), sides),
                false => (false, Reverse(span.legs()), Reverse((0, 0))),
            }
        });
        let legs: usize = spans.iter().map(Span::legs).sum();
        let [width, terms_width] = pack.storage.widths();
        let per_leg = width + terms_width;
        let spans_bytes = spans.len() * size_of::<Span>();
        let needed = legs * per_leg + spans_bytes;
        // A part stays for candidates and results.
        let free = gpu.free()?;
        let usable = free - free / 8;
        let longest = spans.iter().map(Span::legs).max().unwrap_or(0);
        let (most, room) = if needed <= usable && legs <= u32::MAX as usize {
            (legs, legs)
        } else {
            // What is streamed leaves half to searches, unless a simulation is too long for that.
            let usable = usable.saturating_sub(spans_bytes) / per_leg;
            if 2 * longest > usable || longest > u32::MAX as usize {
                return Err(Error::DeviceMemory {
                    device: gpu.index,
                    what: "the longest simulation, twice,",
                    needed: 2 * longest * per_leg,
                    free,
                });
            }
            let room = (free / 2 / per_leg).min(usable).max(2 * longest);
            let most = (room / MOST_BUFFERS).max(longest);
            (most.min(u32::MAX as usize), room)
        };
        let chunks = cut(&mut spans, most);
        let device_legs = |legs: usize| {
            Ok::<_, Error>(DeviceLegs {
                records: gpu.alloc("the batch", legs * width)?,
                terms: gpu.alloc("the batch", legs * terms_width)?,
            })
        };
        let host_legs = |legs: usize| {
            Ok::<_, Error>(HostLegs {
                records: gpu.pinned(legs * width)?,
                terms: gpu.pinned(legs * terms_width)?,
                legs,
            })
        };
        let legs = if chunks.len() == 1 {
            let resident = device_legs(legs)?;
            let stage = (STAGE_BYTES / (width + terms_width)).max(longest).min(legs);
            let mut stages = [host_legs(stage)?, host_legs(stage)?];
            let mut first = 0;
            // The copies of one stage go on while the other is filled.
            for (turn, piece) in pieces(&spans, stage).into_iter().enumerate() {
                let stage = &mut stages[turn % 2];
                let legs = pack.fill(&spans[piece], stage)?;
                gpu.upload(
                    &stage.records,
                    legs * width,
                    &resident.records,
                    first * width,
                )?;
                let at = first * terms_width;
                gpu.upload(&stage.terms, legs * terms_width, &resident.terms, at)?;
                first += legs;
            }
            Legs::Resident(resident)
        } else {
            let largest = chunks.iter().map(|chunk| legs_of(&spans[chunk.clone()]));
            let largest = largest.max().unwrap_or(0);
            let most = MOST_BUFFERS.min(chunks.len());
            let count = (room / largest.max(1)).clamp(2, most);
            let buffers = (0..count).map(|_| device_legs(largest));
            let buffers = buffers.collect::<Result<Vec<_>, Error>>()?;
            let mut filled = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                let mut host = host_legs(legs_of(&spans[chunk.clone()]))?;
                pack.fill(&spans[chunk.clone()], &mut host)?;
                filled.push((chunk, host));
            }
            Legs::Streamed(StreamedLegs::new(filled, buffers))
        };
        let mut slots = vec![0; spans.len()];
        for (slot, span) in spans.iter().enumerate() {
            slots[span.simulation as usize] = slot as u32;
        }
        let mut host_spans = gpu.pinned(spans.len())?;
        host_spans.write()?.copy_from_slice(&spans);
        let device_spans = gpu.alloc("the simulations", spans.len())?;
        gpu.upload(&host_spans, spans.len(), &device_spans, 0)?;
        Ok(Self {
            simulations,
            legs,
            widths: [width, terms_width],
            spans,
            slots,
            device_spans,
            group_of: None,
            scales: None,
            pairs: Transfer::new("the candidates"),
            offsets: Transfer::new("the lists of candidates"),
            rows: Transfer::new("the rows of profits"),
            sums: Transfer::new("the sums"),
            profits: Transfer::new("the profits"),
            searches: SearchBuffers::new(),
            gpu,
        })
    }

    fn bytes(&self) -> usize {
        let streamed = match &self.legs {
            Legs::Resident(_) => 0,
            Legs::Streamed(stream) => stream
                .chunks
                .iter()
                .map(|(_, host)| host.records.len() + host.terms.len())
                .sum(),
        };
        let host = [
            self.pairs.host_bytes(),
            self.offsets.host_bytes(),
            self.rows.host_bytes(),
            self.sums.host_bytes(),
            self.profits.host_bytes(),
            self.searches.host_bytes(),
            self.spans.capacity() * size_of::<Span>(),
            self.slots.capacity() * size_of::<u32>(),
        ];
        self.gpu.taken() + streamed + host.iter().sum::<usize>()
    }

    fn set_groups(&mut self, group_of: &[u32], scales: &[f64]) -> Result<(), Error> {
        self.group_of = None;
        self.scales = None;
        self.group_of = Some(put(&self.gpu, "the groups", group_of)?);
        self.scales = Some(put(&self.gpu, "the groups", scales)?);
        Ok(())
    }

    fn set_candidates(&mut self, round: &RoundOf<'_>) -> Result<(), Error> {
        let pairs = round.candidates.pairs();
        let values = pairs.iter().map(|&Multipliers { high, low }| [high, low]);
        self.pairs.send(&self.gpu, pairs.len(), values)?;
        if round.candidates.groups().is_some() {
            let ends = (0..round.groups).map(|group| round.candidates.range(group).end as u32);
            let offsets = [0].into_iter().chain(ends);
            self.offsets.send(&self.gpu, round.groups + 1, offsets)?;
        }
        Ok(())
    }

    /// Starts scoring into the sums, and fetching them.
    fn start_sums(&mut self, round: &RoundOf<'_>) -> Result<(), Error> {
        self.sums.reserve(&self.gpu, round.total)?;
        if let (false, Some((_, sums))) = (round.single, &self.sums.both) {
            self.gpu.zero(sums, round.total)?;
        }
        let sums = self.sums.address(&self.gpu);
        self.start(
            round,
            Round {
                sums,
                ..self.round(round)
            },
        )?;
        self.sums.fetch(&self.gpu, round.total)
    }

    /// Starts scoring into rows of profits, and fetching them. `rows`: where the row of each
    /// simulation of this device begins, and where the last one ends.
    fn start_profits(&mut self, round: &RoundOf<'_>, rows: &[usize]) -> Result<(), Error> {
        let (Some(&first), Some(&end)) = (rows.first(), rows.last()) else {
            return Ok(());
        };
        let offsets = rows.iter().map(|row| (row - first) as u64);
        self.rows.send(&self.gpu, rows.len(), offsets)?;
        self.profits.reserve(&self.gpu, end - first)?;
        let argument = Round {
            profits: self.profits.address(&self.gpu),
            rows: self.rows.address(&self.gpu),
            ..self.round(round)
        };
        self.start(round, argument)?;
        self.profits.fetch(&self.gpu, end - first)
    }

    /// The kernel's argument as far as it does not depend on the chunk or on the output.
    fn round(&self, round: &RoundOf<'_>) -> Round {
        let gpu = &self.gpu;
        let listed = round.candidates.groups().is_some();
        Round {
            legs: 0,
            terms: 0,
            spans: 0,
            group_of: self
                .group_of
                .as_ref()
                .map_or(0, |buffer| gpu.address(buffer)),
            scales: self.scales.as_ref().map_or(0, |buffer| gpu.address(buffer)),
            pairs: self.pairs.address(gpu),
            offsets: if listed { self.offsets.address(gpu) } else { 0 },
            sums: 0,
            profits: 0,
            rows: 0,
            count: if listed { 0 } else { round.longest as u32 },
            slots: 0,
            by_legs: 0,
            packed_from: 0,
            pack_lanes: 0,
            single: u32::from(round.single),
            fee: round.fee,
        }
    }

    /// Launches the kernel over all chunks.
    fn start(&mut self, round: &RoundOf<'_>, argument: Round) -> Result<(), Error> {
        if round.longest == 0 {
            return Ok(());
        }
        let Self {
            gpu, legs, spans, ..
        } = self;
        let spans_at = gpu.address(&self.device_spans);
        match legs {
            Legs::Resident(resident) => launch(gpu, round, argument, spans, spans_at, resident),
            Legs::Streamed(stream) => {
                stream.begin(gpu, self.widths)?;
                for chunk in 0..stream.chunks.len() {
                    stream.reach(gpu, self.widths, chunk)?;
                    let slots = stream.chunks[chunk].0.clone();
                    let at = spans_at + (slots.start * size_of::<Span>()) as u64;
                    let buffer = stream.buffer(chunk);
                    launch(gpu, round, argument, &spans[slots], at, buffer)?;
                }
                Ok(())
            }
        }
    }
}

/// Launches the kernel over one chunk.
fn launch(
    gpu: &mut Gpu,
    round: &RoundOf<'_>,
    argument: Round,
    spans: &[Span],
    spans_at: u64,
    legs: &DeviceLegs,
) -> Result<(), Error> {
    let most = shape::staged_legs(gpu.limits);
    let tiny_from = spans.partition_point(|span| !span.is_tiny());
    let long = spans[..tiny_from].partition_point(|span| span.legs() > most);
    let work = Work {
        slots: spans.len(),
        long,
        tiny_from,
        staged_legs: spans[long..tiny_from].first().map_or(0, Span::legs),
        candidates: round.longest,
    };
    let Shape {
        by_legs,
        packed_from,
        pack_lanes,
        grid,
        threads,
        shared_bytes,
    } = shape::shape(work, gpu.limits);
    let argument = Round {
        legs: gpu.address(&legs.records),
        terms: gpu.address(&legs.terms),
        spans: spans_at,
        slots: spans.len() as u32,
        by_legs: by_legs as u32,
        packed_from: packed_from as u32,
        pack_lanes: pack_lanes as u32,
        ..argument
    };
    // SAFETY: the kernels of that name take a `Round`. Spans lie within the legs of their chunk
    // (`cut`), `simulation` within `group_of` and `rows`, groups within `scales` and `offsets`,
    // offsets within `pairs`, all made above from checked groups and candidates; sums have room
    // for every candidate of every group, profits for every row. Copies beside the launches go to
    // buffers that no launch reads until they are done.
    unsafe { gpu.launch(round.kernel, grid, threads, shared_bytes, argument) }
}

/// A new buffer with these values.
fn put<T: Pod>(gpu: &Gpu, what: &'static str, values: &[T]) -> Result<Buffer<T>, Error> {
    let mut host = gpu.pinned(values.len())?;
    host.write()?.copy_from_slice(values);
    let buffer = gpu.alloc(what, values.len())?;
    gpu.upload(&host, values.len(), &buffer, 0)?;
    Ok(buffer)
}
