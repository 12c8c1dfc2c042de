//! Launch shapes: how many blocks of how many threads, and which path each simulation takes.
//!
//! Pure functions of sizes and device limits, apart from the launch itself. The paths are those
//! of `kernels/evaluate.cu`; the constants below are stated there too.

use super::device::Limits;

/// Most legs per side of a simulation that shares a block with others.
pub(super) const TINY_LEGS: u32 = 8;

/// Shared memory of any block, in bytes.
const SHARED_BYTES: usize = 16;

/// What a block that stages legs has more, per thread, and per leg the most that any kernel takes.
const STAGED_BYTES_PER_THREAD: usize = 112;
const STAGED_BYTES_PER_LEG: usize = 24;

/// What a block has more per packed simulation.
const PACKED_BYTES: usize = (2 * TINY_LEGS as usize + 1) * STAGED_BYTES_PER_LEG;

/// Legs that are staged at most: with more, too few blocks share a multiprocessor.
const STAGED_LEGS: usize = 2688;

/// Candidates per thread where lanes go over candidates.
const PER_THREAD: usize = 8;

/// Candidates per thread of a packed simulation.
const PER_PACKED_THREAD: usize = 4;

/// Candidates that a warp takes at once where lanes go over legs.
const PER_WARP: usize = 8;

/// Lanes over legs issue this many tenths of the instructions of lanes over candidates, per leg and
/// candidate at 200 legs: 9.9 against 8.9, a quarter more for lanes without a leg, and the reduction.
const BY_LEGS_TENTHS: usize = 14;

const WARP: usize = 32;

/// Threads of a block at most.
const MOST_THREADS: usize = 128;

/// Threads of a block when only packed simulations decide.
const PACKED_THREADS: usize = 128;

/// Threads per packed simulation. With fewer than 2, a block's simulations would not fit its
/// shared memory.
const PACK_LANES: [usize; 5] = [2, 4, 8, 16, 32];

/// Blocks that share a multiprocessor, by their registers.
const BLOCKS_PER_MULTIPROCESSOR: usize = 5;

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
    let others = SHARED_BYTES + MOST_THREADS * STAGED_BYTES_PER_THREAD;
    STAGED_LEGS.min(limits.shared_bytes.saturating_sub(others) / STAGED_BYTES_PER_LEG)
}

/// `count`, rounded up to whole tiles.
fn padded(count: usize, tile: usize) -> usize {
    count.div_ceil(tile) * tile
}

/// Threads of a block that stages legs: those that waste the least, and no idle warp.
fn staged_threads(candidates: usize) -> usize {
    let useful = candidates.div_ceil(PER_THREAD * WARP);
    let most = useful.clamp(1, MOST_THREADS / WARP);
    let waste = |&warps: &usize| padded(candidates, warps * WARP * PER_THREAD);
    let warps = (1..most + 1).rev().min_by_key(waste);
    warps.unwrap_or(1) * WARP
}

/// Threads per packed slot: those that waste the least, as far as the device is busy.
fn pack_lanes(slots: usize, candidates: usize, threads: usize, limits: Limits) -> usize {
    let wanted = BLOCKS_PER_MULTIPROCESSOR * limits.multiprocessors;
    let cost = |&lanes: &usize| {
        let blocks = slots.div_ceil(threads / lanes).max(1);
        padded(candidates, lanes * PER_PACKED_THREAD) * wanted.max(blocks) / blocks
    };
    PACK_LANES
        .into_iter()
        .rev()
        .min_by_key(cost)
        .unwrap_or(WARP)
}

pub(super) fn shape(work: Work, limits: Limits) -> Shape {
    let packed_from = work.tiny_from;
    let tile_of_staged = staged_threads(work.candidates) * PER_THREAD;
    let wasteful = padded(work.candidates, tile_of_staged) * 10 > work.candidates * BY_LEGS_TENTHS;
    let by_legs = match wasteful {
        true => packed_from,
        false => work.long.min(packed_from),
    };
    let staged = packed_from - by_legs;
    let packed = work.slots - packed_from;

    let mut threads = 0;
    if by_legs > 0 {
        let warps = work.candidates.div_ceil(PER_WARP);
        threads = warps.clamp(1, MOST_THREADS / WARP) * WARP;
    }
    if staged > 0 {
        threads = threads.max(staged_threads(work.candidates));
    }
    if threads == 0 {
        threads = PACKED_THREADS;
    }
    let pack_lanes = pack_lanes(packed, work.candidates, threads, limits);
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
        _ => threads * STAGED_BYTES_PER_THREAD + work.staged_legs * STAGED_BYTES_PER_LEG,
    };
    let packed_bytes = match packed {
        0 => 0,
        _ => per_block * PACKED_BYTES,
    };
    Shape {
        by_legs,
        packed_from,
        pack_lanes,
        grid: (columns as u32, rows as u32),
        threads: threads as u32,
        shared_bytes: (SHARED_BYTES + staged_bytes.max(packed_bytes)) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Limits = Limits {
        multiprocessors: 132,
        shared_bytes: 227 * 1024,
        cooperative: true,
    };

    fn uniform(slots: usize, legs: usize, candidates: usize) -> Work {
        let tiny = legs <= TINY_LEGS as usize;
        let long = legs > staged_legs(H200);
        Work {
            slots,
            long: if long { slots } else { 0 },
            tiny_from: if tiny { 0 } else { slots },
            staged_legs: if tiny || long { 0 } else { legs },
            candidates,
        }
    }

    #[test]
    fn constants_are_those_of_the_kernels() {
        let kernels = include_str!("../../../kernels/evaluate.cu");
        for (name, value) in [
            ("MAX_THREADS", MOST_THREADS),
            ("MAX_PACKED", TINY_LEGS as usize),
            ("SHARED_BYTES", SHARED_BYTES),
            ("STAGED_BYTES_PER_THREAD", STAGED_BYTES_PER_THREAD),
            ("STAGED_BYTES_PER_LEG_INTRADAY", STAGED_BYTES_PER_LEG),
            ("BY_LEGS_CANDIDATES", PER_WARP),
            ("STAGED_CANDIDATES", PER_THREAD),
            ("PACKED_CANDIDATES", PER_PACKED_THREAD),
        ] {
            let line = format!("constexpr unsigned {name} = {value};");
            assert!(kernels.contains(&line), "{line}");
        }
    }

    #[test]
    fn many_candidates_go_lanes_over_candidates() {
        let shape = shape(uniform(1000, 200, 500), H200);
        assert_eq!((shape.by_legs, shape.packed_from), (0, 1000));
        assert_eq!((shape.grid, shape.threads), ((1000, 1), 64));
        assert_eq!(shape.shared_bytes, 16 + 64 * 112 + 200 * 24);
    }

    #[test]
    fn a_round_of_a_search_goes_lanes_over_legs() {
        let shape = shape(uniform(1000, 200, 20), H200);
        assert_eq!((shape.by_legs, shape.packed_from), (1000, 1000));
        assert_eq!((shape.grid, shape.threads), ((1000, 1), 96));
        assert_eq!(shape.shared_bytes, 16);
    }

    #[test]
    fn tiny_simulations_share_blocks() {
        let shape = shape(uniform(100_000, 6, 50), H200);
        assert_eq!((shape.by_legs, shape.packed_from), (0, 0));
        assert_eq!((shape.pack_lanes, shape.threads), (2, 128));
        assert_eq!(shape.grid, (100_000_usize.div_ceil(64) as u32, 1));
    }

    #[test]
    fn blocks_share_the_candidates_of_a_few_long_simulations() {
        let shape = shape(uniform(1, 100_000, 500), H200);
        assert_eq!((shape.by_legs, shape.packed_from), (1, 1));
        let (columns, rows) = shape.grid;
        // Every warp has something to do, no block is without.
        let warps = rows as usize * shape.threads as usize / WARP;
        assert_eq!(columns, 1);
        assert!(warps >= 500_usize.div_ceil(PER_WARP), "{shape:?}");
        assert!((rows as usize - 1) * shape.threads as usize / WARP * PER_WARP < 500);
    }

    /// Whatever the work, a launch is one the kernel and the device can do.
    #[test]
    fn every_shape_is_within_the_limits() {
        let small = Limits {
            multiprocessors: 1,
            shared_bytes: 48 * 1024,
            cooperative: true,
        };
        let mut shapes = 0;
        for limits in [H200, small] {
            let most = staged_legs(limits);
            for slots in [1, 2, 31, 1000, 3_000_000] {
                for candidates in [1, 2, 20, 191, 192, 500, 100_000] {
                    for (long, tiny_from) in [(0, 0), (0, slots), (slots, slots), (1, slots)] {
                        let shape = shape(
                            Work {
                                slots,
                                long,
                                tiny_from,
                                staged_legs: if long < tiny_from { most } else { 0 },
                                candidates,
                            },
                            limits,
                        );
                        assert!(shape.by_legs <= shape.packed_from && shape.packed_from <= slots);
                        assert!(
                            shape.threads.is_multiple_of(32) && (32..=128).contains(&shape.threads)
                        );
                        assert!(shape.shared_bytes as usize <= limits.shared_bytes);
                        assert!(shape.pack_lanes.is_power_of_two() && shape.pack_lanes <= 32);
                        let packed = (shape.grid.0 as usize - shape.packed_from)
                            * (shape.threads as usize / shape.pack_lanes);
                        assert!(packed >= slots - shape.packed_from, "{shape:?}");
                        assert!((1..=65_535).contains(&shape.grid.1));
                        shapes += 1;
                    }
                }
            }
        }
        assert_eq!(shapes, 2 * 5 * 7 * 4);
    }
}
