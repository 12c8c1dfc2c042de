//! Launches of whole searches: where a search keeps its memory, how many threads it gets, how many
//! searches a launch takes, and whether the device should have them at all.
//!
//! Pure functions of sizes and device limits. The memory is that of `kernels/direct.cu`, where the
//! constants below are stated, too.

use std::ops::Range;

use super::super::device::Limits;

/// Shared memory of a block, its classes, rectangles, divisions and legs aside.
const STATE_BYTES: usize = 144;
const CLASS_BYTES: usize = 48;
const RECTANGLE_BYTES: usize = 32;
const DIVISION_BYTES: usize = 16;
const LEG_BYTES: usize = 24;

/// Rectangles of a search at most: a rectangle has 15 bits per depth, and a depth takes four
/// evaluations.
pub(super) const MOST_RECTANGLES: usize = 100_000;

/// Legs of a group for which a round of the host's, which all multiprocessors share, is no slower
/// than one on a single multiprocessor: about 30 µs either way (derived from instruction counts).
const LARGE_GROUP: usize = 1 << 15;

/// Instructions of a warp per evaluation: bookkeeping, and legs (14 for each of 32 lanes). Counted
/// in the machine code for sm_90, for searches of 500 evaluations in about 40 rounds.
const BOOKKEEPING: usize = 512;
const LEGS_PER_INSTRUCTION: usize = 2;

/// Instructions of warps per multiprocessor and launch: about 20 ms at one a nanosecond for each
/// of four schedulers, so that whoever else needs the device waits no longer.
const LAUNCH: usize = 80_000_000;

/// The same for a single search, which cannot be cut: 0.3 s at that.
const LONGEST_SEARCH: usize = 1_200_000_000;

/// Scratch of a launch at most.
const SCRATCH_BYTES: usize = 1 << 28;

/// What a search may need, in numbers of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    pub classes: usize,
    pub rectangles: usize,
    pub divisions: usize,
}

/// Where the searches of a launch keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// In scratch, instead of shared memory.
    pub classes_spilled: bool,
    pub rectangles_spilled: bool,
    /// In shared memory, instead of read where they are.
    pub legs_staged: bool,
    pub shared_bytes: usize,
    /// Per search.
    pub scratch_bytes: usize,
}

/// A launch of some searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    /// Groups, by their place among those sorted by legs, longest first.
    pub groups: Range<usize>,
    pub threads: u32,
    pub memory: Memory,
}

/// Whether the device should have searches of groups of at most `legs` legs.
pub(super) fn worthwhile(legs: usize, needs: Needs, searches: usize, limits: Limits) -> bool {
    needs.rectangles <= MOST_RECTANGLES
        && needs.classes < 1 << 16
        && (legs <= LARGE_GROUP || searches >= limits.multiprocessors)
        && cost(legs, needs) <= LONGEST_SEARCH
}

/// Cuts the searches of all groups under `rules` exit rules into launches. `legs`: of each group,
/// descending. `scratch`: bytes to be had at most.
pub(super) fn launches(
    legs: &[usize],
    rules: usize,
    needs: Needs,
    limits: Limits,
    scratch: usize,
) -> Vec<Launch> {
    let most = LAUNCH.saturating_mul(limits.multiprocessors);
    let mut launches = Vec::new();
    let mut start = 0;
    while start < legs.len() {
        let memory = memory(legs[start], needs, limits);
        let mut fit = legs.len();
        if memory.scratch_bytes > 0 {
            let bytes = scratch.min(SCRATCH_BYTES);
            fit = (bytes / (memory.scratch_bytes * rules)).max(1);
        }
        let mut end = start;
        let mut total = 0;
        while end < legs.len() && end - start < fit {
            total += rules * cost(legs[end], needs);
            if end > start && total > most {
                break;
            }
            end += 1;
        }
        launches.push(Launch {
            groups: start..end,
            threads: threads(legs[start]),
            memory,
        });
        start = end;
    }
    launches
}

/// Instructions of warps, roughly.
fn cost(legs: usize, needs: Needs) -> usize {
    let per_evaluation = BOOKKEEPING + legs / LEGS_PER_INSTRUCTION;
    needs.rectangles.saturating_mul(per_evaluation)
}

/// Warps enough to share a round of some twelve points, few enough that several searches share a
/// multiprocessor and one's bookkeeping hides behind another's legs.
fn threads(legs: usize) -> u32 {
    match legs {
        0..=96 => 64,
        97..=2048 => 128,
        _ => 256,
    }
}

fn memory(legs: usize, needs: Needs, limits: Limits) -> Memory {
    // Two blocks at least share a multiprocessor.
    let most = limits.shared_bytes / 2;
    let mut shared = STATE_BYTES;
    let mut scratch = 0;
    // What is touched most often first; classes only if they leave room for the rest.
    let classes = CLASS_BYTES * needs.classes;
    let classes_spilled = shared + classes > most / 4;
    *(if classes_spilled {
        &mut scratch
    } else {
        &mut shared
    }) += classes;
    let rectangles = RECTANGLE_BYTES * needs.rectangles + DIVISION_BYTES * needs.divisions;
    let rectangles_spilled = shared + rectangles > most;
    *(if rectangles_spilled {
        &mut scratch
    } else {
        &mut shared
    }) += rectangles;
    let legs_staged = shared + LEG_BYTES * legs <= most;
    if legs_staged {
        shared += LEG_BYTES * legs;
    }
    Memory {
        classes_spilled,
        rectangles_spilled,
        legs_staged,
        shared_bytes: shared,
        scratch_bytes: scratch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Limits = Limits {
        multiprocessors: 132,
        shared_bytes: 227 * 1024,
    };

    const SMALL: Limits = Limits {
        multiprocessors: 1,
        shared_bytes: 48 * 1024,
    };

    /// DIRECT-L with the default tolerances.
    fn needs(rectangles: usize) -> Needs {
        Needs {
            classes: 17,
            rectangles,
            divisions: 17,
        }
    }

    #[test]
    fn a_thousand_usual_searches_are_one_launch_in_shared_memory() {
        let launches = launches(&[200; 1000], 1, needs(500), H200, 1 << 30);
        assert_eq!(launches.len(), 1);
        let Launch {
            groups,
            threads,
            memory,
        } = &launches[0];
        assert_eq!((groups.clone(), *threads), (0..1000, 128));
        assert!(!memory.classes_spilled && !memory.rectangles_spilled && memory.legs_staged);
        assert_eq!(memory.scratch_bytes, 0);
        assert_eq!(
            memory.shared_bytes,
            144 + 17 * 48 + 500 * 32 + 17 * 16 + 200 * 24
        );
        // Eight blocks share a multiprocessor.
        assert!(8 * (memory.shared_bytes + 1024) <= 228 * 1024);
    }

    #[test]
    fn large_budgets_and_long_groups_spill() {
        let budget = memory(200, needs(10_000), H200);
        assert!(budget.rectangles_spilled && budget.legs_staged && !budget.classes_spilled);
        assert_eq!(budget.scratch_bytes, 10_000 * 32 + 17 * 16);
        let long = memory(5000, needs(500), H200);
        assert!(!long.rectangles_spilled && !long.legs_staged);
        let deep = Needs {
            classes: 5000,
            rectangles: 10_000,
            divisions: 10_000,
        };
        assert!(memory(200, deep, H200).classes_spilled);
    }

    #[test]
    fn large_groups_are_left_to_rounds_unless_there_are_many() {
        assert!(worthwhile(200, needs(500), 1, H200));
        assert!(!worthwhile(200_000, needs(500), 1, H200));
        assert!(worthwhile(200_000, needs(500), 1000, H200));
        assert!(!worthwhile(1_000_000_000, needs(500), 1000, H200));
        assert!(!worthwhile(200, needs(MOST_RECTANGLES + 1), 1000, H200));
    }

    /// Every group is in one launch, and a launch is one that the device can do, in bounded time.
    #[test]
    fn every_launch_is_within_the_limits() {
        let mut count = 0;
        for limits in [H200, SMALL] {
            for groups in [1, 7, 1000, 100_000] {
                for most_legs in [0, 8, 200, 5000, 100_000] {
                    for rectangles in [1, 500, 10_000, 100_000] {
                        for rules in [1, 2] {
                            let legs: Vec<usize> = (0..groups)
                                .map(|group| most_legs - most_legs * group / groups)
                                .collect();
                            let needs = needs(rectangles);
                            let launches = launches(&legs, rules, needs, limits, 1 << 26);
                            let mut next = 0;
                            for launch in launches {
                                assert_eq!(launch.groups.start, next);
                                next = launch.groups.end;
                                let searches = launch.groups.len() * rules;
                                let memory = launch.memory;
                                assert!(memory.shared_bytes <= limits.shared_bytes);
                                assert!(
                                    launch.groups.len() == 1
                                        || memory.scratch_bytes * searches <= 1 << 26
                                );
                                let work = legs[launch.groups.clone()]
                                    .iter()
                                    .map(|&legs| rules * cost(legs, needs));
                                let work: usize = work.sum();
                                assert!(
                                    launch.groups.len() == 1
                                        || work <= LAUNCH * limits.multiprocessors
                                );
                                assert!(launch.threads.is_multiple_of(32));
                                assert!((32..=256).contains(&launch.threads));
                                assert_eq!(memory.shared_bytes % 8, 0);
                                assert_eq!(memory.scratch_bytes % 16, 0);
                            }
                            assert_eq!(next, groups);
                            count += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(count, 2 * 4 * 5 * 4 * 2);
    }
}
