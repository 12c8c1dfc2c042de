//! Exact optima of small groups, found on the devices: `kernels/exact.cu`.
//!
//! # Data structure
//!
//! The legs of the evaluation hold forecasts with the fee taken off, rounded; a proof needs the
//! forecasts themselves. So the groups have legs of their own here, packed when optima are first
//! asked for: group after group, each wholly on one device, in as much of the memory as they may
//! take. The devices share the groups by numbers of legs.
//!
//! What is too large for a block, or for the memory, is left to the caller.

mod plan;

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;

use self::plan::{Launch, Size};
use super::device::{Argument, Buffer, Gpu, Pinned};
use super::{Cuda, Transfer};
use crate::batch::Batch;
use crate::error::Error;
use crate::evaluate::{OptimaTask, Storage, Threads, check_groups};
use crate::exact::Exact;
use crate::exact::packed::{self, MOST_CANDIDATES, Packed};
use crate::groups::Groups;
use crate::profit::{ExitRule, Multipliers};

/// Legs that are packed and uploaded at a time, at least one group.
const STAGE_LEGS: usize = 1 << 20;

/// Bytes of a leg.
const LEG_BYTES: usize = size_of::<[f32; 4]>() + size_of::<[f32; 2]>();

/// One group on the device; `exact::Group` of the kernel, where each field is explained.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Record {
    first: u32,
    longs: u32,
    shorts: u32,
    shift: i32,
    per_weight: f64,
    scale: f64,
    fee: f64,
}

/// What was found; `exact::Optimum` of the kernel.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Optimum {
    value: i64,
    high: f32,
    low: f32,
    columns: u32,
    rows: u32,
}

/// The argument of the kernel; `exact::Task`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Task {
    gates: u64,
    terms: u64,
    groups: u64,
    found: u64,
    high_least: f32,
    high_greatest: f32,
    low_least: f32,
    low_greatest: f32,
    x_places: u32,
    z_places: u32,
    events: u32,
    capped: u32,
}

// SAFETY: `repr(C)`, with the fields of the kernel's parameter in its order: addresses as u64.
unsafe impl Argument for Task {}

/// The groups as the devices have them.
#[derive(Debug)]
pub(super) struct Optima {
    groups: Groups,
    /// One per device.
    runs: Vec<Run>,
}

/// The groups of one device.
#[derive(Debug)]
struct Run {
    groups: Range<usize>,
    /// `None`: left to the caller.
    placed: Vec<Option<Placed>>,
    gates: Buffer<[f32; 4]>,
    terms: Buffer<[f32; 2]>,
    records: Transfer<Record>,
    found: Transfer<Optimum>,
    /// The groups that are being solved, in the order of their records.
    solved: Vec<usize>,
}

/// Where a group lies, and its grid.
#[derive(Debug, Clone, Copy)]
struct Placed {
    first: u32,
    longs: u32,
    shorts: u32,
    packed: Packed,
}

impl Placed {
    fn legs(&self) -> usize {
        self.longs as usize + self.shorts as usize
    }

    fn record(&self) -> Record {
        let units = self.packed.units();
        Record {
            first: self.first,
            longs: self.longs,
            shorts: self.shorts,
            shift: units.shift,
            per_weight: units.per_weight,
            scale: units.scale,
            fee: units.fee,
        }
    }
}

/// The ends of the box, and the rule.
#[derive(Debug, Clone, Copy)]
struct Problem {
    exit_rule: ExitRule,
    high: (f32, f32),
    low: (f32, f32),
}

impl Cuda<'_> {
    /// See [`Evaluate::exact_optima`](super::Evaluate::exact_optima).
    pub(super) fn optima(&mut self, task: &OptimaTask<'_>) -> Result<Vec<Option<Exact>>, Error> {
        check_groups(self.batch, task.groups)?;
        let groups = task.range.clone();
        if groups.start > groups.end || groups.end > task.groups.len() {
            let expected = "within the groups";
            return Err(Error::option("range", format!("{groups:?}"), expected));
        }
        let [high, low] = packed::ends(task.high_bounds, task.low_bounds)?;
        let problem = Problem {
            exit_rule: task.exit_rule,
            high,
            low,
        };
        let mut optima = vec![None; groups.len()];
        let solved = self.guard(|this| {
            this.pack(task.groups)?;
            let Some(Optima { runs, .. }) = &mut this.optima else {
                return Ok(());
            };
            for (run, shard) in runs.iter_mut().zip(&mut this.shards) {
                run.start(&mut shard.gpu, &groups, problem)?;
            }
            for run in runs {
                run.finish(task.groups, problem, groups.start, &mut optima)?;
            }
            Ok(())
        });
        match solved {
            // There is no need for a device: the caller can do without.
            Err(Error::DeviceMemory { .. } | Error::Memory { .. }) => {
                self.optima = None;
                Ok(vec![None; groups.len()])
            }
            Err(error) => Err(error),
            Ok(()) => Ok(optima),
        }
    }

    /// Whether optima can be had at all.
    pub(super) fn has_optima(&self) -> bool {
        // What is stored in 16 bits is another batch than the one that the optimum is asked of.
        self.storage == Storage::F32
    }

    /// Brings the legs of the groups to the devices, unless they are there.
    fn pack(&mut self, groups: &Groups) -> Result<(), Error> {
        let is_known = |known: &Optima| known.groups == *groups;
        if self.optima.as_ref().is_some_and(is_known) {
            return Ok(());
        }
        self.optima = None;
        let sides = |group| packed::sides(self.batch, groups.members(group));
        let all = (0..groups.len()).into_par_iter().with_min_len(64);
        let sides: Vec<[usize; 2]> = self.threads.run(|| all.map(sides).collect());
        let pack = Pack {
            batch: self.batch,
            fee: self.fee,
            groups,
            threads: &self.threads,
        };
        let shares = share(&sides, self.shards.len());
        let runs = shares.into_iter().zip(&self.shards);
        let runs = runs.map(|(share, shard)| Run::new(&shard.gpu, share, &sides, &pack));
        self.optima = Some(Optima {
            groups: groups.clone(),
            runs: runs.collect::<Result<_, _>>()?,
        });
        Ok(())
    }
}

impl Optima {
    /// Bytes held on the host.
    pub(super) fn host_bytes(&self) -> usize {
        let of_run = |run: &Run| {
            run.records.host_bytes()
                + run.found.host_bytes()
                + run.placed.capacity() * size_of::<Option<Placed>>()
                + run.solved.capacity() * size_of::<usize>()
        };
        self.runs.iter().map(of_run).sum()
    }
}

/// Cuts the groups into one run per device, of about equal numbers of legs; some may be empty.
fn share(sides: &[[usize; 2]], parts: usize) -> Vec<Range<usize>> {
    let cost = |[longs, shorts]: &[usize; 2]| longs + shorts + 1;
    let total: usize = sides.iter().map(cost).sum();
    let (mut runs, mut start, mut done) = (Vec::with_capacity(parts), 0, 0);
    for (group, of_group) in sides.iter().enumerate() {
        done += cost(of_group);
        while runs.len() + 1 < parts && done * parts >= total * (runs.len() + 1) {
            runs.push(start..group + 1);
            start = group + 1;
        }
    }
    runs.push(start..sides.len());
    runs
}

impl Run {
    fn new(
        gpu: &Gpu,
        groups: Range<usize>,
        sides: &[[usize; 2]],
        pack: &Pack<'_>,
    ) -> Result<Self, Error> {
        // Half of what is free: the rounds of a search need some, too.
        let most = (gpu.free()? / 2 / LEG_BYTES).min(u32::MAX as usize);
        let mut places = Vec::new();
        let mut legs = 0;
        for group in groups.clone() {
            let [longs, shorts] = sides[group];
            if longs + shorts < MOST_CANDIDATES && legs + longs + shorts <= most {
                places.push(Place {
                    group,
                    first: legs,
                    sides: sides[group],
                });
                legs += longs + shorts;
            }
        }
        let gates = gpu.alloc("the legs of the groups", legs)?;
        let terms = gpu.alloc("the legs of the groups", legs)?;
        let stage = STAGE_LEGS.min(legs);
        let mut stages = [Stage::new(gpu, stage)?, Stage::new(gpu, stage)?];
        let mut placed = vec![None; groups.len()];
        // The copies of one stage go on while the other is filled.
        for (turn, piece) in pieces(&places).into_iter().enumerate() {
            let (piece, stage) = (&places[piece], &mut stages[turn % 2]);
            let first = piece.first().map_or(0, |place| place.first);
            let (len, of_piece) = pack.fill(piece, stage)?;
            gpu.upload(&stage.gates, len, &gates, first)?;
            gpu.upload(&stage.terms, len, &terms, first)?;
            for (place, packed) in piece.iter().zip(of_piece) {
                placed[place.group - groups.start] = Some(Placed {
                    first: place.first as u32,
                    longs: place.sides[0] as u32,
                    shorts: place.sides[1] as u32,
                    packed,
                });
            }
        }
        Ok(Self {
            groups,
            placed,
            gates,
            terms,
            records: Transfer::new("the groups"),
            found: Transfer::new("the optima"),
            solved: Vec::new(),
        })
    }

    /// Starts solving the groups of `wanted` that are here, and fetching the results.
    fn start(
        &mut self,
        gpu: &mut Gpu,
        wanted: &Range<usize>,
        problem: Problem,
    ) -> Result<(), Error> {
        self.solved.clear();
        let wanted = wanted.start.max(self.groups.start)..wanted.end.min(self.groups.end);
        let mut sizes = Vec::new();
        for group in wanted {
            let Some(placed) = &self.placed[group - self.groups.start] else {
                continue;
            };
            let size = Size {
                legs: placed.legs(),
                capped: placed.packed.is_capped(problem.high.1),
            };
            if plan::fits(size, problem.exit_rule, gpu.limits) {
                self.solved.push(group);
                sizes.push(size);
            }
        }
        if sizes.is_empty() {
            return Ok(());
        }
        let order = plan::order(&sizes);
        self.solved = order.iter().map(|&place| self.solved[place]).collect();
        let sizes: Vec<Size> = order.iter().map(|&place| sizes[place]).collect();
        let records = self.solved.iter().filter_map(|group| {
            let placed = self.placed[group - self.groups.start].as_ref();
            placed.map(Placed::record)
        });
        self.records.send(gpu, sizes.len(), records)?;
        self.found.reserve(gpu, sizes.len())?;
        for launch in plan::launches(&sizes, problem.exit_rule, gpu.limits) {
            self.launch(gpu, &launch, problem)?;
        }
        self.found.fetch(gpu, sizes.len())
    }

    fn launch(&self, gpu: &mut Gpu, launch: &Launch, problem: Problem) -> Result<(), Error> {
        let Problem {
            exit_rule,
            high,
            low,
        } = problem;
        let first = launch.groups.start;
        let task = Task {
            gates: gpu.address(&self.gates),
            terms: gpu.address(&self.terms),
            groups: self.records.address(gpu) + (first * size_of::<Record>()) as u64,
            found: self.found.address(gpu) + (first * size_of::<Optimum>()) as u64,
            high_least: high.0,
            high_greatest: high.1,
            low_least: low.0,
            low_greatest: low.1,
            x_places: launch.room.x_places as u32,
            z_places: launch.room.z_places as u32,
            events: launch.room.events as u32,
            capped: u32::from(launch.capped),
        };
        let kernel = match exit_rule {
            ExitRule::Intraday => "exact_intraday",
            ExitRule::AtClose => "exact_close",
        };
        let blocks = launch.groups.len() as u32;
        // SAFETY: the kernels of that name take a `Task`. There is a record and a result for every
        // block, the legs of every record lie within their buffers (`Run::new`), and the shared
        // memory has room for the largest group of the launch (`plan`). No copy runs beside.
        unsafe {
            gpu.launch(
                kernel,
                (blocks, 1),
                launch.threads,
                launch.shared_bytes,
                task,
            )
        }
    }

    /// Waits for the results, and puts those of group `g` at `g - first`.
    fn finish(
        &mut self,
        groups: &Groups,
        problem: Problem,
        first: usize,
        optima: &mut [Option<Exact>],
    ) -> Result<(), Error> {
        for (&group, found) in self.solved.iter().zip(self.found.fetched()?) {
            let Some(placed) = &self.placed[group - self.groups.start] else {
                continue;
            };
            let work = packed::work(found.columns, found.rows, problem.exit_rule);
            let at = Multipliers::new(found.high, found.low);
            let simulations = groups.members(group).len();
            optima[group - first] = Some(placed.packed.exact(found.value, at, simulations, work));
        }
        Ok(())
    }
}

/// Where a group will lie on its device, in legs.
struct Place {
    group: usize,
    first: usize,
    sides: [usize; 2],
}

impl Place {
    fn legs(&self) -> usize {
        self.sides[0] + self.sides[1]
    }
}

/// Runs of groups of at most [`STAGE_LEGS`] legs, which is more than any group has.
fn pieces(places: &[Place]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut start, mut legs) = (0, 0);
    for (index, place) in places.iter().enumerate() {
        if legs + place.legs() > STAGE_LEGS {
            pieces.push(start..index);
            (start, legs) = (index, 0);
        }
        legs += place.legs();
    }
    pieces.push(start..places.len());
    pieces
}

/// Legs on their way to a device.
struct Stage {
    gates: Pinned<[f32; 4]>,
    terms: Pinned<[f32; 2]>,
}

impl Stage {
    fn new(gpu: &Gpu, legs: usize) -> Result<Self, Error> {
        Ok(Self {
            gates: gpu.pinned(legs)?,
            terms: gpu.pinned(legs)?,
        })
    }
}

/// Packs groups.
struct Pack<'a> {
    batch: &'a Batch,
    fee: f64,
    groups: &'a Groups,
    threads: &'a Threads,
}

impl Pack<'_> {
    /// Writes the legs of these groups, one group after the other; returns how many there are.
    fn fill(&self, places: &[Place], stage: &mut Stage) -> Result<(usize, Vec<Packed>), Error> {
        let mut gates = stage.gates.write()?;
        let mut terms = stage.terms.write()?;
        let mut slots = Vec::with_capacity(places.len());
        let mut legs = 0;
        for place in places {
            let (gates_here, rest) = gates.split_at_mut(place.legs());
            gates = rest;
            let (terms_here, rest) = terms.split_at_mut(place.legs());
            terms = rest;
            slots.push((place, gates_here, terms_here));
            legs += place.legs();
        }
        let pack = |(place, gates, terms): (&Place, &mut [_], &mut [_])| {
            let members = self.groups.members(place.group);
            packed::pack(self.batch, members, self.fee, place.sides[0], gates, terms)
        };
        let slots = slots.into_par_iter().with_min_len(16);
        Ok((legs, self.threads.run(|| slots.map(pack).collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_a_partition_of_about_equal_legs() {
        let sides: Vec<[usize; 2]> = (0..100).map(|group| [group % 7, group % 5]).collect();
        for parts in 1..9 {
            let shares = share(&sides, parts);
            assert_eq!(shares.len(), parts);
            let mut next = 0;
            for share in shares {
                assert_eq!(share.start, next);
                next = share.end;
                let legs: usize = sides[share].iter().map(|[a, b]| a + b + 1).sum();
                assert!(legs * parts <= 2 * 600, "{legs} of {parts}");
            }
            assert_eq!(next, sides.len());
        }
        // More devices than groups, and one group with all the legs.
        assert_eq!(share(&[[1, 0]], 3).iter().map(Range::len).sum::<usize>(), 1);
        let shares = share(&[[1, 0], [1000, 1000], [1, 0]], 2);
        assert_eq!(shares, [0..2, 2..3]);
    }
}
