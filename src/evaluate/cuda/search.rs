//! Whole searches on the GPU: one launch, or a few of bounded time, for all groups and exit rules.
//!
//! A search is run by one block, or, where a group is large and few others keep the device busy, by
//! many blocks of a cooperative launch: a wide search. The latter can be cut into launches, each of
//! which goes on where the last one paused. The host does not ask in between whether they have
//! ended: it knows how many launches end them all, and those that come too late find nothing to do.
//! Only with a flag that may cancel does it wait for each launch before it starts the next.
//!
//! A search needs all simulations of its group on one device, in memory. Where that is not so, or
//! where [`plan`] finds rounds the better way, the driver searches round by round.

mod plan;

use std::sync::atomic::Ordering;

use bytemuck::{Pod, Zeroable};

use self::plan::{Launch, MOST_RECTANGLES, Needs, Size, Way};
use super::device::{Argument, Buffer, Gpu, LaunchShape};
use super::{Cuda, Legs, Shard, Span, Transfer};
use crate::direct::{Division, Outline, Selection, SizeMeasure, StopReason};
use crate::error::Error;
use crate::evaluate::fixed_point::{fraction_bits_of, power_of_two};
use crate::evaluate::{SearchTask, Searched, Searches, Storage, check_groups};
use crate::groups::Groups;
use crate::profit::ExitRule;

/// The argument of the kernels; `Task` of `kernels/direct.cu`, where each field is explained.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Task {
    legs: u64,
    terms: u64,
    spans: u64,
    members: u64,
    groups: u64,
    parts: u64,
    thirds: u64,
    sizes: u64,
    scratch: u64,
    boards: u64,
    found: u64,
    scratch_bytes: u64,
    axes: [[f64; 4]; 2],
    eps: f64,
    volume_tolerance: f64,
    side_tolerance: f64,
    target: f64,
    target_unit: f64,
    target_tolerance: f64,
    flags: u32,
    capacity: u32,
    enough: u32,
    max_iterations: u32,
    classes: u32,
    divisions: u32,
    levels: u32,
    all_groups: u32,
    at_close: u32,
    fee: f32,
    pause_after: u32,
    first_tag: u32,
    places: u32,
    padding: u32,
}

// SAFETY: `repr(C)`, with the fields of the kernel's parameter in its order: addresses as u64.
unsafe impl Argument for Task {}

/// Bits of `Task::flags`.
const SCIPY: u32 = 1;
const AGGRESSIVE: u32 = 2;
const HALF_DIAGONAL: u32 = 4;
const ONE_LONGEST: u32 = 8;
const EPS_FOLLOWS: u32 = 16;
const HAS_TARGET: u32 = 32;
const RECTANGLES_SPILLED: u32 = 64;
const CLASSES_SPILLED: u32 = 128;
const LEGS_STAGED: u32 = 256;
const RESUMED: u32 = 512;

/// A group as the kernel reads it, or the part of it that a block of a wide search scores.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Group {
    /// Of the members of all groups.
    first: u32,
    members: u32,
    /// Index among the groups of the device.
    index: u32,
    legs: u32,
    /// 2^fraction bits, and its inverse.
    scale: f64,
    unit: f64,
}

/// What a search came to, as the kernel writes it.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Found {
    point: [f64; 2],
    value: f64,
    evaluations: u32,
    iterations: u32,
    rounds: u32,
    stop: u32,
}

impl Found {
    /// `None` when the search needed more classes than were planned for, and has no result.
    /// `cancelled`: one that still runs goes on no more.
    fn searched(&self, cancelled: bool) -> Option<Searched> {
        let stop = match self.stop {
            0 if cancelled => StopReason::Cancelled,
            1 => StopReason::Evaluations,
            2 => StopReason::Iterations,
            3 => StopReason::Volume,
            4 => StopReason::SideLength,
            5 => StopReason::Target,
            6 => StopReason::NoProgress,
            7 => StopReason::Slots,
            8 => StopReason::Levels,
            _ => return None,
        };
        let begun = self.evaluations > 0;
        Some(Searched {
            point: begun.then_some(self.point),
            value: if begun { self.value } else { f64::INFINITY },
            evaluations: self.evaluations.into(),
            iterations: self.iterations.into(),
            rounds: self.rounds.into(),
            stop,
        })
    }
}

/// What the searches of a device need there; grows and never shrinks.
#[derive(Debug)]
pub(super) struct SearchBuffers {
    /// Thirds, then sizes.
    tables: Transfer<f64>,
    groups: Transfer<Group>,
    parts: Transfer<Group>,
    members: Transfer<[u32; 2]>,
    found: Transfer<Found>,
    scratch: Option<(usize, Buffer<u8>)>,
    /// Words of wide searches: no word has a tag from `next_tag` on, and none is 0 before the first.
    boards: Option<(usize, Buffer<u64>)>,
    next_tag: u32,
}

impl SearchBuffers {
    pub(super) fn new() -> Self {
        Self {
            tables: Transfer::new("the tables of searches"),
            groups: Transfer::new("the groups of searches"),
            parts: Transfer::new("the parts of groups"),
            members: Transfer::new("the members of groups"),
            found: Transfer::new("the results of searches"),
            scratch: None,
            boards: None,
            next_tag: 1,
        }
    }

    /// Room for boards of so many words, and the first of so many tags that no word there has.
    fn boards(
        &mut self,
        gpu: &Gpu,
        words: usize,
        tags: u32,
    ) -> Result<(Option<&Buffer<u64>>, u32), Error> {
        let had = self.boards.as_ref().map_or(0, |(had, _)| *had);
        let boards = grown(&mut self.boards, gpu, "the boards of searches", words)?;
        let (first, clears) = first_tag(self.next_tag, tags, had < words);
        if let Some(boards) = boards
            && clears
        {
            gpu.zero(boards, had.max(words))?;
        }
        self.next_tag = first.saturating_add(tags);
        Ok((boards, first))
    }

    pub(super) fn host_bytes(&self) -> usize {
        self.tables.host_bytes()
            + self.groups.host_bytes()
            + self.parts.host_bytes()
            + self.members.host_bytes()
            + self.found.host_bytes()
    }
}

/// The first of so many tags that no word has, where the words have those before `next` or, where they
/// are `new`, any; and whether the words must be cleared for that.
fn first_tag(next: u32, tags: u32, new: bool) -> (u32, bool) {
    match next.checked_add(tags) {
        Some(_) if !new => (next, false),
        _ => (1, true),
    }
}

/// Room for `len` elements; `None` for none.
fn grown<'b, T>(
    buffer: &'b mut Option<(usize, Buffer<T>)>,
    gpu: &Gpu,
    what: &'static str,
    len: usize,
) -> Result<Option<&'b Buffer<T>>, Error> {
    if buffer.as_ref().is_none_or(|(had, _)| *had < len) && len > 0 {
        // The old one goes first.
        *buffer = None;
        *buffer = Some((len, gpu.alloc(what, len)?));
    }
    Ok(buffer.as_ref().map(|(_, buffer)| buffer))
}

/// The groups of one device.
struct Share {
    /// Longest first.
    groups: Vec<Group>,
    /// Slot of each member, and place of its first leg where they are staged.
    members: Vec<[u32; 2]>,
    /// Of each group, in the order of `groups`.
    sizes: Vec<Size>,
    /// Their numbers among all groups, by `Group::index`.
    numbers: Vec<usize>,
}

impl Share {
    /// The groups that begin on a device; `None` if one of them ends on another.
    fn new(shard: &Shard, groups: &Groups, bounds: &[f64]) -> Option<Self> {
        let here = &shard.simulations;
        let mut slots = vec![0; here.len()];
        for (slot, span) in shard.spans.iter().enumerate() {
            slots[span.simulation as usize] = slot as u32;
        }
        let mut share = Self {
            groups: Vec::new(),
            members: Vec::new(),
            sizes: Vec::new(),
            numbers: Vec::new(),
        };
        for number in 0..groups.len() {
            let members = groups.members(number);
            let (first, last) = (*members.first()? as usize, *members.last()? as usize);
            if !here.contains(&first) {
                continue;
            }
            // Members ascend.
            if !here.contains(&last) {
                return None;
            }
            let mut legs = 0;
            let start = share.members.len() as u32;
            for &member in members {
                let slot = slots[member as usize - here.start];
                share.members.push([slot, legs as u32]);
                legs += shard.spans[slot as usize].legs();
            }
            let bits = fraction_bits_of(members, bounds);
            share.groups.push(Group {
                first: start,
                members: members.len() as u32,
                index: share.numbers.len() as u32,
                legs: u32::try_from(legs).ok()?,
                scale: power_of_two(bits),
                unit: power_of_two(-bits),
            });
            share.numbers.push(number);
        }
        // Equal lengths keep their order, whose neighbours share legs in the cache.
        share
            .groups
            .sort_by_key(|group| std::cmp::Reverse(group.legs));
        share.sizes = share
            .groups
            .iter()
            .map(|group| Size {
                legs: group.legs as usize,
                members: group.members as usize,
            })
            .collect();
        Some(share)
    }

    /// Cuts a group into parts of about equal legs, one per block, some without members where a
    /// member has much of the group; places the legs of each part.
    fn cut(&mut self, group: usize, blocks: usize, spans: &[Span]) -> Vec<Group> {
        let group = self.groups[group];
        let mut parts = vec![
            Group {
                members: 0,
                legs: 0,
                ..group
            };
            blocks
        ];
        let members = &mut self.members[group.first as usize..][..group.members as usize];
        let mut before = 0;
        for [slot, place] in members {
            let legs = spans[*slot as usize].legs() as u64;
            // The part that has the middle of the member.
            let part = (2 * before + legs) * blocks as u64 / (2 * u64::from(group.legs)).max(1);
            let part =
                &mut parts[usize::try_from(part).map_or(blocks - 1, |at| at.min(blocks - 1))];
            *place = part.legs;
            part.members += 1;
            part.legs += legs as u32;
            before += legs;
        }
        let mut first = group.first;
        for part in &mut parts {
            part.first = first;
            first += part.members;
        }
        parts
    }
}

impl Searches for Cuda<'_> {
    fn search(&mut self, task: &SearchTask<'_>) -> Result<Option<Vec<Searched>>, Error> {
        check_groups(self.batch, task.groups)?;
        let rules = task.exit_rules.len();
        let Some(outline) = Outline::new(task.bounds, task.options) else {
            return Ok(None);
        };
        let needs = Needs {
            classes: outline.sizes.len(),
            rectangles: outline.capacity,
            divisions: outline.divisions,
        };
        if !(1..=32).contains(&rules) || needs.rectangles > MOST_RECTANGLES {
            return Ok(None);
        }
        let mut shares = Vec::new();
        for shard in &self.shards {
            let Some(share) = Share::new(shard, task.groups, &self.bounds) else {
                return Ok(None);
            };
            let Some(ways) = plan::ways(&share.sizes, rules, needs, shard.gpu.limits) else {
                return Ok(None);
            };
            if !matches!(shard.legs, Legs::Resident(_)) {
                return Ok(None);
            }
            shares.push((share, ways));
        }
        let cancelled = || task.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed));
        let mut searched = None;
        let done = self.guard(|this| {
            let (storage, fee) = (this.storage, this.fee as f32);
            let mut plans = Vec::new();
            for (shard, (share, ways)) in this.shards.iter_mut().zip(&mut shares) {
                let steps =
                    shard.prepare_searches(task, &outline, needs, share, ways, storage, fee)?;
                let Some(steps) = steps else {
                    return Ok(());
                };
                plans.push(steps);
            }
            let mut ends_early = false;
            for at in 0..plans.iter().map(Vec::len).max().unwrap_or(0) {
                ends_early = cancelled();
                if ends_early {
                    break;
                }
                for (shard, steps) in this.shards.iter_mut().zip(&plans) {
                    if let Some(step) = steps.get(at) {
                        shard.launch_searches(step)?;
                    }
                }
                if task.cancel.is_some() {
                    for shard in &this.shards {
                        shard.gpu.finish()?;
                    }
                }
            }
            // PERF: while the devices search.
            let searched = searched.insert(vec![None; rules * task.groups.len()]);
            for (shard, (share, _)) in this.shards.iter_mut().zip(&shares) {
                let here = rules * share.numbers.len();
                shard.searches.found.fetch(&shard.gpu, here)?;
            }
            for (shard, (share, _)) in this.shards.iter().zip(&shares) {
                let here = share.numbers.len();
                let found = shard.searches.found.fetched()?;
                for (index, found) in found.iter().take(rules * here).enumerate() {
                    let (rule, group) = (index / here, index % here);
                    searched[rule * task.groups.len() + share.numbers[group]] =
                        found.searched(ends_early);
                }
            }
            Ok(())
        });
        match done {
            Ok(()) => Ok(searched.and_then(|searched| searched.into_iter().collect())),
            // Round by round takes less memory.
            Err(Error::DeviceMemory { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// One launch of searches.
struct Step {
    shape: LaunchShape,
    argument: Task,
    kernel: &'static str,
    /// By blocks that wait for each other.
    cooperative: bool,
}

impl Shard {
    /// Sends what the searches of a device need and tells how to launch them; `None` where the
    /// device does not hold the blocks of a wide search.
    #[expect(
        clippy::too_many_arguments,
        reason = "what to search, and what the evaluator that owns the device knows of it"
    )]
    fn prepare_searches(
        &mut self,
        task: &SearchTask<'_>,
        outline: &Outline,
        needs: Needs,
        share: &mut Share,
        ways: &[Way],
        storage: Storage,
        fee: f32,
    ) -> Result<Option<Vec<Step>>, Error> {
        let Legs::Resident(legs) = &self.legs else {
            return Ok(None);
        };
        let (gpu, buffers) = (&mut self.gpu, &mut self.searches);
        let rules = task.exit_rules.len();
        let thirds = Outline::thirds();
        let tables = thirds.iter().chain(&outline.sizes).copied();
        let length = thirds.len() + outline.sizes.len();
        buffers.tables.send(gpu, length, tables)?;
        let groups = share.groups.iter().copied();
        buffers.groups.send(gpu, share.groups.len(), groups)?;

        let limits = gpu.limits;
        let free = gpu.free()? / 2;
        let mut launches = plan::launches(&share.sizes, ways, rules, needs, limits, free);
        let mut parts = Vec::new();
        let (mut words, mut tags) = (0, 0_u32);
        // An exchange has a point at least, but for the last.
        let tags_per_launch = u32::try_from(needs.rectangles).unwrap_or(u32::MAX - 2) + 2;
        for launch in &mut launches {
            let Some(wide) = launch.wide else {
                continue;
            };
            words = words.max(rules * launch.groups.len() * plan::board_words(wide.blocks));
            tags = tags.saturating_add(tags_per_launch.saturating_mul(wide.launches as u32));
            let start = parts.len();
            for group in launch.groups.clone() {
                parts.extend(share.cut(group, wide.blocks, &self.spans));
            }
            let legs = parts[start..].iter().map(|part| part.legs).max();
            let members = parts[start..].iter().map(|part| part.members).max();
            let (legs, members) = (legs.unwrap_or(0), members.unwrap_or(0));
            launch.stage(legs as usize, members as usize, limits);
            let shape = launch.shape(rules);
            if !gpu.fits(kernel(storage, launch), shape)? {
                return Ok(None);
            }
        }
        if !parts.is_empty() {
            buffers
                .parts
                .send(gpu, parts.len(), parts.iter().copied())?;
        }
        let members = share.members.iter().copied();
        buffers.members.send(gpu, share.members.len(), members)?;
        // A search that is not launched has no evaluations.
        buffers.found.reserve(gpu, rules * share.groups.len())?;
        buffers.found.zero(gpu, rules * share.groups.len())?;
        let scratch = |launch: &Launch| launch.memory.scratch_bytes * rules * launch.groups.len();
        let scratch = launches.iter().map(scratch).max().unwrap_or(0);
        let what = "the rectangles of searches";
        let scratch = grown(&mut buffers.scratch, gpu, what, scratch)?;
        let scratch = scratch.map_or(0, |scratch| gpu.address(scratch));
        let (boards, mut first_tag) = buffers.boards(gpu, words, tags)?;
        let boards = boards.map_or(0, |boards| gpu.address(boards));

        let all = Task {
            legs: gpu.address(&legs.records),
            terms: gpu.address(&legs.terms),
            spans: gpu.address(&self.device_spans),
            members: buffers.members.address(gpu),
            thirds: buffers.tables.address(gpu),
            sizes: buffers.tables.address(gpu) + size_of_val(thirds) as u64,
            scratch,
            boards,
            found: buffers.found.address(gpu),
            all_groups: share.groups.len() as u32,
            fee,
            ..Task::of(task, outline, needs)
        };
        let mut next_part = 0;
        let mut steps = Vec::new();
        for launch in launches {
            let memory = launch.memory;
            let flag = |set: bool, flag: u32| if set { flag } else { 0 };
            let argument = Task {
                groups: buffers.groups.address(gpu)
                    + (launch.groups.start * size_of::<Group>()) as u64,
                scratch_bytes: memory.scratch_bytes as u64,
                places: memory.places as u32,
                flags: all.flags
                    | flag(memory.rectangles_spilled, RECTANGLES_SPILLED)
                    | flag(memory.classes_spilled, CLASSES_SPILLED)
                    | flag(memory.legs_staged, LEGS_STAGED),
                ..all
            };
            let shape = launch.shape(rules);
            let kernel = kernel(storage, &launch);
            let Some(wide) = launch.wide else {
                steps.push(Step {
                    shape,
                    argument,
                    kernel,
                    cooperative: false,
                });
                continue;
            };
            let mut argument = Task {
                parts: buffers.parts.address(gpu) + (next_part * size_of::<Group>()) as u64,
                pause_after: u32::try_from(wide.pause_after).unwrap_or(u32::MAX),
                ..argument
            };
            next_part += wide.blocks * launch.groups.len();
            for _ in 0..wide.launches {
                argument.first_tag = first_tag;
                steps.push(Step {
                    shape,
                    argument,
                    kernel,
                    cooperative: true,
                });
                first_tag = first_tag.saturating_add(tags_per_launch);
                argument.flags |= RESUMED;
            }
        }
        Ok(Some(steps))
    }

    /// Launches what [`prepare_searches`](Self::prepare_searches) has told, in its order.
    fn launch_searches(&mut self, step: &Step) -> Result<(), Error> {
        let (gpu, shape) = (&mut self.gpu, step.shape);
        // SAFETY, of all launches: the kernels of these names take a `Task`. Slots lie within the
        // spans and spans within the resident legs, made from checked groups; tables, results,
        // parts, boards and scratch have the sizes that the task states. No copy beside the
        // launches is under way: the legs are resident.
        if step.cooperative {
            // SAFETY: see above; the blocks that wait for each other fit, as asked.
            unsafe { gpu.launch_cooperative(step.kernel, shape, step.argument) }
        } else {
            let grid = (shape.grid[0], shape.grid[1]);
            let (threads, shared_bytes) = (shape.threads, shape.shared_bytes);
            // SAFETY: see above.
            unsafe { gpu.launch(step.kernel, grid, threads, shared_bytes, step.argument) }
        }
    }
}

impl Launch {
    fn shape(&self, rules: usize) -> LaunchShape {
        let (groups, rules) = (self.groups.len() as u32, rules as u32);
        LaunchShape {
            grid: match self.wide {
                Some(wide) => [wide.blocks as u32, groups, rules],
                None => [groups, rules, 1],
            },
            threads: self.threads,
            shared_bytes: self.memory.shared_bytes as u32,
        }
    }
}

/// The kernel of a launch.
fn kernel(storage: Storage, launch: &Launch) -> &'static str {
    let memory = launch.memory;
    let spilled = memory.classes_spilled || memory.rectangles_spilled;
    let of_storages = match (launch.wide.is_some(), spilled, memory.compact) {
        (false, false, true) => [
            "direct_compact_f32",
            "direct_compact_f16",
            "direct_compact_bf16",
        ],
        (false, false, false) => ["direct_f32", "direct_f16", "direct_bf16"],
        (false, true, _) => [
            "direct_spilled_f32",
            "direct_spilled_f16",
            "direct_spilled_bf16",
        ],
        (true, false, _) => ["direct_wide_f32", "direct_wide_f16", "direct_wide_bf16"],
        (true, true, _) => [
            "direct_wide_spilled_f32",
            "direct_wide_spilled_f16",
            "direct_wide_spilled_bf16",
        ],
    };
    match storage {
        Storage::F32 => of_storages[0],
        Storage::F16 => of_storages[1],
        Storage::Bf16 => of_storages[2],
    }
}

impl Task {
    /// The argument as far as it says what to search.
    fn of(task: &SearchTask<'_>, outline: &Outline, needs: Needs) -> Self {
        let options = task.options;
        let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let mut flags = match options.selection {
            Selection::ConvexHull => 0,
            Selection::ScipyCompat => SCIPY,
            Selection::Aggressive => AGGRESSIVE,
        };
        if options.size_measure == SizeMeasure::HalfDiagonal {
            flags |= HALF_DIAGONAL;
        }
        if options.division == Division::OneLongest {
            flags |= ONE_LONGEST;
        }
        if options.eps < 0.0 {
            flags |= EPS_FOLLOWS;
        }
        if options.target.is_some() {
            flags |= HAS_TARGET;
        }
        let target = options.target.map_or(0.0, |target| target.value);
        let close = task.exit_rules.iter().enumerate();
        let close = close.filter(|(_, rule)| **rule == ExitRule::AtClose);
        Self {
            legs: 0,
            terms: 0,
            spans: 0,
            members: 0,
            groups: 0,
            parts: 0,
            thirds: 0,
            sizes: 0,
            scratch: 0,
            boards: 0,
            found: 0,
            scratch_bytes: 0,
            axes: outline.axes,
            eps: options.eps.abs(),
            volume_tolerance: options.volume_tolerance,
            side_tolerance: options.side_tolerance,
            target,
            target_unit: if target == 0.0 { 1.0 } else { target.abs() },
            target_tolerance: options
                .target
                .map_or(0.0, |target| target.relative_tolerance),
            flags,
            capacity: count(outline.capacity),
            enough: count(outline.enough),
            max_iterations: options.max_iterations.map_or(0, count),
            classes: count(needs.classes),
            divisions: count(needs.divisions),
            levels: count(outline.levels),
            all_groups: 0,
            at_close: close.map(|(rule, _)| 1 << rule).sum(),
            fee: 0.0,
            pause_after: u32::MAX,
            first_tag: 0,
            places: 0,
            padding: 0,
        }
    }
}

/// Sizes that `kernels/direct.cu` states.
const _: () =
    assert!(size_of::<Task>() == 264 && size_of::<Group>() == 32 && size_of::<Found>() == 40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_begin_again_only_on_cleared_words() {
        assert_eq!(first_tag(1, 502, true), (1, true));
        assert_eq!(first_tag(503, 502, false), (503, false));
        assert_eq!(first_tag(503, 502, true), (1, true));
        assert_eq!(
            first_tag(u32::MAX - 502, 502, false),
            (u32::MAX - 502, false)
        );
        assert_eq!(first_tag(u32::MAX - 501, 502, false), (1, true));
    }

    #[test]
    fn every_stop_has_its_reason_and_an_overflow_has_no_result() {
        let stopped = |stop| Found {
            stop,
            ..Found::zeroed()
        };
        let reason = |stop| stopped(stop).searched(false).map(|searched| searched.stop);
        let reasons = (1..=8).map(reason);
        let reasons: Option<Vec<StopReason>> = reasons.collect();
        let expected = [
            StopReason::Evaluations,
            StopReason::Iterations,
            StopReason::Volume,
            StopReason::SideLength,
            StopReason::Target,
            StopReason::NoProgress,
            StopReason::Slots,
            StopReason::Levels,
        ];
        assert_eq!(reasons, Some(expected.to_vec()));
        assert_eq!(stopped(9).searched(false), None);
        assert_eq!(stopped(9).searched(true), None);
        // Still running, though nobody cancelled.
        assert_eq!(stopped(0).searched(false), None);
        let never_begun = stopped(0).searched(true).unwrap();
        assert_eq!(never_begun.stop, StopReason::Cancelled);
        assert_eq!(
            (never_begun.point, never_begun.value),
            (None, f64::INFINITY)
        );
        let paused = Found {
            evaluations: 7,
            ..stopped(0)
        };
        assert_eq!(paused.searched(true).unwrap().point, Some([0.0, 0.0]));
    }
}
