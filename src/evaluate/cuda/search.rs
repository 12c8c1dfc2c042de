//! Whole searches on the GPU: one launch, or a few of bounded time, for all groups and exit rules.
//!
//! A search is run by one block, or, where a group is large and few others keep the device busy, by
//! many blocks of a cooperative launch: a wide search. The latter can be cut into launches, each of
//! which goes on where the last one paused. The host does not ask in between whether they have
//! ended: it knows how many launches end them all, and those that come too late find nothing to do.
//! Only with a flag that may cancel does it wait for each launch before it starts the next.
//!
//! Launches of searches by one block each take turns in two lanes, so that one fills the device while
//! the last one drains; each lane has scratch of its own. A wide search has the device for itself.
//!
//! Where the batch is streamed, the searches follow it chunk by chunk. The results of each launch are
//! fetched behind it, and made into those of the caller while later ones run.
//!
//! A search needs all simulations of its group on one device, in one chunk. Where that is not so, or
//! where [`plan`] finds rounds the better way, the driver searches round by round.

mod plan;
mod share;
mod task;

use std::ops::Range;
use std::sync::atomic::Ordering;

use bytemuck::{Pod, Zeroable};

use self::plan::{Launch, MOST_RECTANGLES, Needs, Size};
use self::share::{Group, Key, Places, Share, cut};
use self::task::{CLASSES_SPILLED, LEGS_STAGED, RECTANGLES_SPILLED, RESUMED, Task};
use super::device::{Buffer, Gpu, Lane, LaunchShape};
use super::{Cuda, Legs, Shard, Transfer};
use crate::direct::{Outline, StopReason};
use crate::error::Error;
use crate::evaluate::{SearchTask, Searched, Searches, Storage, Threads, check_groups};

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

/// What a search came to that is overwritten.
const NOTHING: Searched = Searched {
    point: None,
    value: f64::INFINITY,
    evaluations: 0,
    iterations: 0,
    rounds: 0,
    stop: StopReason::Cancelled,
};

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
        // With fewer groups than chunks, some group is in several: not worth sending any.
        let spread = |shard: &Shard| match &shard.legs {
            Legs::Resident(_) => false,
            Legs::Streamed(stream) => stream.chunks.len() > task.groups.len(),
        };
        if self.shards.iter().any(spread) {
            return Ok(None);
        }
        let cancelled = || task.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed));
        let mut searched = None;
        let done = self.guard(|this| {
            let (storage, fee) = (this.storage, this.fee as f32);
            for shard in &mut this.shards {
                if let Legs::Streamed(stream) = &mut shard.legs {
                    stream.begin(&shard.gpu, shard.widths)?;
                }
            }
            let mut plans = Vec::new();
            for shard in &mut this.shards {
                let (bounds, threads) = (&this.bounds, &this.threads);
                let plan =
                    shard.prepare_searches(task, &outline, needs, bounds, threads, storage, fee)?;
                let Some(plan) = plan else {
                    return Ok(());
                };
                plans.push(plan);
            }
            for shard in &this.shards {
                shard.gpu.fork()?;
            }
            let most = plans.iter().map(|(_, steps)| steps.len()).max();
            let mut launched = 0;
            while launched < most.unwrap_or(0) && !cancelled() {
                for (shard, (share, steps)) in this.shards.iter_mut().zip(&plans) {
                    if let Some(step) = steps.get(launched) {
                        shard.launch_searches(step)?;
                        shard.fetch_searches(step, share, rules)?;
                    }
                }
                launched += 1;
                if task.cancel.is_some() {
                    for shard in &this.shards {
                        shard.gpu.finish_launches()?;
                    }
                }
            }
            let ends_early = launched < most.unwrap_or(0);
            for (shard, (share, steps)) in this.shards.iter_mut().zip(&plans) {
                // What was not launched.
                for step in steps.iter().skip(launched) {
                    shard.fetch_searches(step, share, rules)?;
                }
                shard.gpu.join()?;
            }
            // PERF: from here on while the devices search.
            let all = task.groups.len();
            let mut here = vec![NOTHING; rules * all];
            let mut complete = true;
            for (shard, (share, steps)) in this.shards.iter().zip(&plans) {
                for step in steps.iter().filter(|step| step.last) {
                    let keys = &share.keys[step.groups.clone()];
                    for (part, here) in step.found(share, rules).zip(here.chunks_mut(all)) {
                        let found = shard.searches.found.fetched_part(part)?;
                        for (found, key) in found.iter().zip(keys) {
                            let found = found.searched(ends_early);
                            complete &= found.is_some();
                            here[key.number as usize] = found.unwrap_or(NOTHING);
                        }
                    }
                }
            }
            searched = complete.then_some(here);
            Ok(())
        });
        match done {
            Ok(()) => Ok(searched),
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
    lane: Lane,
    /// Where the legs of its groups are.
    chunk: usize,
    groups: Range<usize>,
    /// No later launch goes on with the same searches.
    last: bool,
}

impl Step {
    /// Where its results are, under one exit rule after the other.
    fn found(&self, share: &Share, rules: usize) -> impl Iterator<Item = Range<usize>> {
        let (groups, all) = (self.groups.clone(), share.keys.len());
        (0..rules).map(move |rule| rule * all + groups.start..rule * all + groups.end)
    }
}

impl Shard {
    /// Sends what the searches of a device need and tells how to launch them; `None` where a group is
    /// in several chunks or on several devices, where rounds are the better way, and where the device
    /// does not hold the blocks of a wide search.
    #[expect(
        clippy::too_many_arguments,
        reason = "what to search, and what the evaluator that owns the device knows of it"
    )]
    fn prepare_searches(
        &mut self,
        task: &SearchTask<'_>,
        outline: &Outline,
        needs: Needs,
        bounds: &[f64],
        threads: &Threads,
        storage: Storage,
        fee: f32,
    ) -> Result<Option<(Share, Vec<Step>)>, Error> {
        let (gpu, buffers) = (&mut self.gpu, &mut self.searches);
        let (rules, limits) = (task.exit_rules.len(), gpu.limits);
        let chunks: Vec<Range<usize>> = match &self.legs {
            Legs::Resident(_) => std::iter::once(0..self.spans.len()).collect(),
            Legs::Streamed(stream) => stream
                .chunks
                .iter()
                .map(|(slots, _)| slots.clone())
                .collect(),
        };
        let places = Places {
            simulations: &self.simulations,
            slots: &self.slots,
            spans: &self.spans,
            chunks: &chunks,
        };
        let Some(share) = threads.run(|| Share::new(&places, task.groups)) else {
            return Ok(None);
        };
        let size = |key: &Key| Size {
            legs: key.legs as usize,
            members: key.members as usize,
        };
        let sizes: Vec<Size> = share.keys.iter().map(size).collect();
        let mut ways = Vec::new();
        for run in share.runs() {
            let Some(of_run) = plan::ways(&sizes[run.clone()], rules, needs, limits) else {
                return Ok(None);
            };
            ways.push((run, of_run));
        }
        let thirds = Outline::thirds();
        let tables = thirds.iter().chain(&outline.sizes).copied();
        let length = thirds.len() + outline.sizes.len();
        buffers.tables.send(gpu, length, tables)?;
        let (groups, members) = (share.keys.len(), share.members);
        let groups = buffers.groups.write(gpu, groups)?;
        let members = buffers.members.write(gpu, members)?;
        threads.run(|| share.write(&places, task.groups, bounds, groups, members));
        // A search that is not launched has no evaluations.
        buffers.found.write(gpu, rules * share.keys.len())?;
        buffers.found.zero(gpu, rules * share.keys.len())?;

        let had = buffers.scratch.as_ref().map_or(0, |(had, _)| *had);
        let free = (gpu.free()? + had) / 2;
        let mut launches = Vec::new();
        for (run, ways) in ways {
            let of_run = &sizes[run.clone()];
            let cut = plan::launches(of_run, &ways, rules, needs, limits, free / 2);
            launches.extend(cut.into_iter().map(|launch| Launch {
                groups: run.start + launch.groups.start..run.start + launch.groups.end,
                ..launch
            }));
        }
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
            for &group in &groups[launch.groups.clone()] {
                parts.extend(cut(group, members, wide.blocks, &self.spans));
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
        buffers.groups.upload(gpu, share.keys.len())?;
        buffers.members.upload(gpu, share.members)?;
        let scratch = |launch: &Launch| launch.memory.scratch_bytes * rules * launch.groups.len();
        let most = launches.iter().map(scratch).max().unwrap_or(0);
        let most = most.next_multiple_of(256);
        // For each lane, where there are launches for both, and room.
        let narrow = launches.iter().filter(|launch| launch.wide.is_none());
        let lanes = if narrow.count() > 1 && most <= free {
            2
        } else {
            1
        };
        let what = "the rectangles of searches";
        let scratch = grown(&mut buffers.scratch, gpu, what, lanes * most)?;
        let scratch = scratch.map_or(0, |scratch| gpu.address(scratch));
        let (boards, mut first_tag) = buffers.boards(gpu, words, tags)?;
        let boards = boards.map_or(0, |boards| gpu.address(boards));

        let all = Task {
            spans: gpu.address(&self.device_spans),
            members: buffers.members.address(gpu),
            thirds: buffers.tables.address(gpu),
            sizes: buffers.tables.address(gpu) + size_of_val(thirds) as u64,
            scratch,
            boards,
            found: buffers.found.address(gpu),
            all_groups: share.keys.len() as u32,
            fee,
            ..Task::of(task, outline, needs)
        };
        let (mut next_part, mut next_lane) = (0, Lane::First);
        let mut steps = Vec::new();
        for launch in launches {
            let memory = launch.memory;
            let chunk = share.keys[launch.groups.start].chunk as usize;
            let legs = match &self.legs {
                Legs::Resident(legs) => legs,
                Legs::Streamed(stream) => stream.buffer(chunk),
            };
            let flag = |set: bool, flag: u32| if set { flag } else { 0 };
            let argument = Task {
                legs: gpu.address(&legs.records),
                terms: gpu.address(&legs.terms),
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
            let groups = launch.groups.clone();
            let Some(wide) = launch.wide else {
                let lane = next_lane;
                if lanes == 2 {
                    next_lane = lane.other();
                }
                let scratch = match lane {
                    Lane::First => scratch,
                    Lane::Second => scratch + most as u64,
                };
                steps.push(Step {
                    shape,
                    argument: Task {
                        scratch,
                        ..argument
                    },
                    kernel,
                    cooperative: false,
                    lane,
                    chunk,
                    groups,
                    last: true,
                });
                continue;
            };
            let mut argument = Task {
                parts: buffers.parts.address(gpu) + (next_part * size_of::<Group>()) as u64,
                pause_after: u32::try_from(wide.pause_after).unwrap_or(u32::MAX),
                ..argument
            };
            next_part += wide.blocks * launch.groups.len();
            for turn in 1..=wide.launches {
                argument.first_tag = first_tag;
                steps.push(Step {
                    shape,
                    argument,
                    kernel,
                    cooperative: true,
                    lane: Lane::First,
                    chunk,
                    groups: groups.clone(),
                    last: turn == wide.launches,
                });
                first_tag = first_tag.saturating_add(tags_per_launch);
                argument.flags |= RESUMED;
            }
        }
        Ok(Some((share, steps)))
    }

    /// Launches what [`prepare_searches`](Self::prepare_searches) has told, in its order, after
    /// [`Gpu::fork`].
    fn launch_searches(&mut self, step: &Step) -> Result<(), Error> {
        if let Legs::Streamed(stream) = &mut self.legs {
            stream.reach(&self.gpu, self.widths, step.chunk)?;
        }
        let (gpu, shape) = (&mut self.gpu, step.shape);
        // SAFETY, of all launches: the kernels of these names take a `Task`. Slots lie within the
        // spans and spans within the legs of their chunk, made from checked groups; tables, results,
        // parts, boards and scratch have the sizes that the task states. Copies beside the launches go
        // to buffers that no launch reads until they are done.
        if step.cooperative {
            gpu.join()?;
            // SAFETY: see above; the blocks that wait for each other fit, as asked, and the second lane
            // has ended and goes on afterwards.
            unsafe { gpu.launch_cooperative(step.kernel, shape, step.argument)? };
            gpu.fork()
        } else {
            // SAFETY: see above; the lanes have scratch of their own, and each search a result.
            unsafe { gpu.launch_in(step.lane, step.kernel, shape, step.argument) }
        }
    }

    /// Starts fetching the results of a launch, behind it, if they are the last.
    fn fetch_searches(&mut self, step: &Step, share: &Share, rules: usize) -> Result<(), Error> {
        if !step.last {
            return Ok(());
        }
        let (gpu, found) = (&self.gpu, &mut self.searches.found);
        let mut parts = step.found(share, rules);
        parts.try_for_each(|part| found.fetch_part(gpu, step.lane, part))
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

/// What `kernels/direct.cu` states.
const _: () = assert!(size_of::<Found>() == 40);

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
