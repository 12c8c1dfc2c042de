//! Launch shapes: how many blocks of how many threads, and which path each simulation takes.
//!
//! Pure functions of sizes and device limits, apart from the launch itself. The paths are those
//! of `kernels/evaluate.cu`; the constants below are stated there too.

use super::device::Limits;

/// Most legs per side of a simulation that shares a block with others.
pub(super) const TINY_LEGS: u32 = 8;

/// Staged bytes per leg, for every storage.
const STAGED_BYTES: usize = 24;

/// Legs that are staged at most: with more, too few blocks share a multiprocessor.
const STAGED_LEGS: usize = 2688;

/// Candidates per thread where lanes go over candidates.
const PER_THREAD: usize = 8;

/// Candidates per thread of a packed simulation.
const PER_PACKED_THREAD: usize = 4;

/// Candidates that a warp takes at once where lanes go over legs.
const PER_WARP: usize = 8;

/// Lists shorter than this go lanes over legs: they would leave lanes over candidates idle.
const MANY_CANDIDATES: usize = 192;

const WARP: usize = 32;

/// Threads of a block at most.
const MOST_THREADS: usize = 256;

/// Threads of a block when only packed simulations decide.
const PACKED_THREADS: usize = 128;

/// Fewest threads for a packed simulation, so that a block's simulations fit its shared memory.
const FEWEST_LANES: usize = 4;

/// What a launch has to do. Simulations come longest first, tiny ones last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Simulations.
    pub slots: usize,
    /// Those with more legs than can be staged; see [`staged_legs`].
    pub long: usize,
    /// The first tiny one.
    pub tiny_from: usize,
    /// Legs of the longest one that can be staged.
    pub staged_legs: usize,
    /// Candidates of the longest list.
    pub candidates: usize,
}

/// How to launch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Slots before this one go lanes over legs.
    pub by_legs: usize,
    /// Slots from this one on are packed.
    pub packed_from: usize,
    /// Threads per packed slot.
    pub pack_lanes: usize,
    /// Blocks along x: over slots; along y: over candidates.
    pub grid: (u32, u32),
    pub threads: u32,
    pub shared_bytes: u32,
}

/// Legs of a simulation that can be staged at most.
pub(super) fn staged_legs(limits: Limits) -> usize {
    STAGED_LEGS.min(limits.shared_bytes / STAGED_BYTES)
}

pub(super) fn shape(work: Work, limits: Limits) -> Shape {
    let packed_from = work.tiny_from;
    let by_legs = match work.candidates < MANY_CANDIDATES {
        true => packed_from,
        false => work.long.min(packed_from),
    };
    let staged = packed_from - by_legs;
    let packed = work.slots - packed_from;

    // Candidates that a block takes at once, and the threads for that.
    let warps = |count: usize| count.clamp(1, MOST_THREADS / WARP) * WARP;
    let mut threads = 0;
    if by_legs > 0 {
        threads = threads.max(warps(work.candidates.div_ceil(PER_WARP)));
    }
    if staged > 0 {
        threads = threads.max(warps(work.candidates.div_ceil(PER_THREAD * WARP)));
    }
    if threads == 0 {
        threads = PACKED_THREADS;
    }
    let lanes = work.candidates.div_ceil(PER_PACKED_THREAD);
    let pack_lanes = lanes.next_power_of_two().clamp(FEWEST_LANES, WARP);
    let per_block = threads / pack_lanes;

    let columns = by_legs + staged + packed.div_ceil(per_block);
    // A few long simulations with many candidates: blocks share each simulation's candidates.
    let tile = match by_legs {
        0 => threads * PER_THREAD,
        _ => threads / WARP * PER_WARP,
    };
    let tiles = work.candidates.div_ceil(tile);
    let wanted = (4 * limits.multiprocessors).div_ceil(columns.max(1));
    let rows = wanted.min(tiles).clamp(1, usize::from(u16::MAX));

    let staged_bytes = match staged {
        0 => 0,
        _ => work.staged_legs * STAGED_BYTES,
    };
    let packed_bytes = match packed {
        0 => 0,
        _ => per_block * 2 * TINY_LEGS as usize * STAGED_BYTES,
    };
    Shape {
        by_legs,
        packed_from,
        pack_lanes,
        grid: (columns as u32, rows as u32),
        threads: threads as u32,
        shared_bytes: staged_bytes.max(packed_bytes) as u32,
    }
}
