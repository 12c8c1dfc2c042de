//! Launches of whole searches: which way a search goes, where it keeps its memory, how many threads
//! and blocks it gets, how many searches a launch takes, and where a search is cut.
//!
//! Pure functions of sizes and device limits. The memory is that of `kernels/direct.cu`, where the
//! constants below are stated, too.

use std::ops::Range;

use super::super::device::Limits;

/// Shared memory of a block, its classes, rectangles, divisions and legs aside.
const STATE_BYTES: usize = 144;
const CLASS_BYTES: usize = 48;
const RECTANGLE_BYTES: usize = 16;
const COMPACT_PAIR_BYTES: usize = 16;
const DIVISION_BYTES: usize = 16;
const LEG_BYTES: usize = 24;
const MEMBER_BYTES: usize = 16;

/// Scratch per rectangle.
const CENTRE_BYTES: usize = 16;

/// Rectangles of a search at most: a rectangle has 15 bits per depth, and a depth takes four
/// evaluations.
pub(super) const MOST_RECTANGLES: usize = 100_000;

/// The same where the kernel keeps a rectangle in one word.
const MOST_COMPACT_RECTANGLES: usize = 1600;

/// Of a wide search: shared memory for the points that are scored at a time, and words of a board,
/// once and per block.
const WIDE_BYTES: usize = 4096;
const POSTED_WORDS: usize = 4224;
const ANSWER_WORDS: usize = 512;

/// Threads of a block of a wide search: all that a multiprocessor has registers for.
const WIDE_THREADS: u32 = 1024;

/// Legs of a group that one multiprocessor scores about as fast as many do, which wait for each
/// other some 2 µs a round (derived from instruction counts).
const SMALL_GROUP: usize = 1 << 12;

/// The same where blocks cannot wait for each other, and the host stands between the rounds: about
/// 30 µs a round.
const LARGE_GROUP: usize = 1 << 15;

/// Legs per multiprocessor from which on that wait is small beside the scoring, which the kernels
/// for rounds do with two thirds of the instructions (derived from instruction counts).
const HUGE_GROUP: usize = 1 << 16;

/// Instructions of a warp per evaluation: bookkeeping, and legs (14 for each of 32 lanes). An H200
/// executes 192,000 for a compact search of 500 evaluations over 200 legs.
const BOOKKEEPING: usize = 300;
const LEGS_PER_INSTRUCTION: usize = 2;

/// Budget per instruction and evaluation of looking for the best of classes that have lost theirs:
/// 0.18 of it rectangles are looked at per evaluation (counted for budgets of 500 to 10,000), by 32
/// lanes, with some 12 instructions each.
const RECTANGLES_PER_INSTRUCTION: usize = 16;

/// Instructions of warps per multiprocessor and launch: about 20 ms at half of what four schedulers
/// issue (measured), so that whoever else needs the device waits no longer.
const LAUNCH: usize = 80_000_000;

/// The same for a single search where it cannot be cut: 0.3 s at that.
const LONGEST_SEARCH: usize = 1_200_000_000;

/// The bookkeeping of a wide search is one warp's alone: each of its instructions takes the time of
/// so many of a busy multiprocessor (about five cycles from one to the next, four a cycle there).
const ALONE: usize = 20;

/// Searches per multiprocessor from which on fewer threads for each do more: there are others that go
/// on meanwhile.
const CROWD: usize = 16;

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
    /// Rectangles in half the memory: of groups of one simulation.
    pub compact: bool,
    /// In scratch, instead of shared memory.
    pub classes_spilled: bool,
    pub rectangles_spilled: bool,
    /// In shared memory, instead of read where they are.
    pub legs_staged: bool,
    pub shared_bytes: usize,
    /// Members that there is room for beside the staged legs.
    pub places: usize,
    /// Per search.
    pub scratch_bytes: usize,
}

/// How a search is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By one block.
    OneBlock,
    /// By many blocks: a wide search.
    ManyBlocks,
    /// Round by round, by the driver.
    Rounds,
}

/// A group, as far as the plan depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub legs: usize,
    pub members: usize,
}

/// A launch of some searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    /// Groups, by their place among those sorted by legs, longest first.
    pub groups: Range<usize>,
    pub threads: u32,
    pub memory: Memory,
    /// Of a wide search.
    pub wide: Option<Wide>,
}

/// What a wide search has beyond the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide {
    /// Blocks per search.
    pub blocks: usize,
    /// Evaluations after which a launch ends; as many launches follow each other as end every
    /// search.
    pub pause_after: usize,
    pub launches: usize,
}

/// How the searches of a group are run, where those of all groups have a cost of `total`.
fn way(size: Size, total: usize, needs: Needs, limits: Limits) -> Way {
    if needs.rectangles > MOST_RECTANGLES || needs.classes >= 1 << 16 {
        return Way::Rounds;
    }
    let cost = cost(size.legs, needs);
    // Whoever has more than a multiprocessor's share of all is waited for at the end.
    let last = cost.saturating_mul(limits.multiprocessors) > total;
    let pays = last && size.members > 1 && size.legs > SMALL_GROUP && limits.multiprocessors > 1;
    if cost <= LAUNCH && !pays {
        Way::OneBlock
    } else if limits.cooperative && size.legs / limits.multiprocessors <= HUGE_GROUP {
        Way::ManyBlocks
    } else if cost <= LONGEST_SEARCH && (size.legs <= LARGE_GROUP || !last) {
        Way::OneBlock
    } else {
        Way::Rounds
    }
}

/// How the searches of each group are run, under `rules` exit rules; `None` where some had better go
/// round by round. `sizes`: of each group, by legs, descending.
pub(super) fn ways(sizes: &[Size], rules: usize, needs: Needs, limits: Limits) -> Option<Vec<Way>> {
    let costs = sizes.iter().map(|size| cost(size.legs, needs));
    let total = costs.fold(0, usize::saturating_add);
    let total = total.saturating_mul(rules);
    let ways = sizes.iter().map(|&size| way(size, total, needs, limits));
    let ways = ways.map(|way| (way != Way::Rounds).then_some(way));
    ways.collect()
}

/// Cuts the searches of all groups into launches. `ways`: those of the groups. `scratch`: bytes to
/// be had at most.
pub(super) fn launches(
    sizes: &[Size],
    ways: &[Way],
    rules: usize,
    needs: Needs,
    limits: Limits,
    scratch: usize,
) -> Vec<Launch> {
    // Of each group and those behind it.
    let mut members = vec![0; sizes.len()];
    let mut most = 0;
    for (members, size) in members.iter_mut().zip(sizes).rev() {
        most = most.max(size.members);
        *members = most;
    }
    let mut launches = Vec::new();
    let mut start = 0;
    for alike in ways.chunk_by(|one, other| one == other) {
        let end = start + alike.len();
        while start < end {
            let launch = if alike[0] == Way::ManyBlocks {
                wide(start, &sizes[..end], rules, needs, limits, scratch)
            } else {
                let longest = Size {
                    members: members[start],
                    ..sizes[start]
                };
                narrow(start, longest, &sizes[..end], rules, needs, limits, scratch)
            };
            start = launch.groups.end;
            launches.push(launch);
        }
    }
    launches
}

/// A launch of searches by one block each, from group `start` on. `longest`: what none of them exceeds.
fn narrow(
    start: usize,
    longest: Size,
    sizes: &[Size],
    rules: usize,
    needs: Needs,
    limits: Limits,
    scratch: usize,
) -> Launch {
    let most = LAUNCH.saturating_mul(limits.multiprocessors);
    // Two blocks at least share a multiprocessor.
    let memory = memory(longest, needs, limits.shared_bytes / 2);
    let fit = fit(memory, rules, scratch);
    let mut end = start;
    let mut total = 0;
    while end < sizes.len() && end - start < fit {
        total += rules * cost(sizes[end].legs, needs);
        if end > start && total > most {
            break;
        }
        end += 1;
    }
    let crowded = rules * (end - start) > CROWD * limits.multiprocessors;
    Launch {
        groups: start..end,
        threads: threads(longest.legs, crowded),
        memory,
        wide: None,
    }
}

/// A launch of wide searches, from group `start` on: as many as there are multiprocessors, which
/// they share.
fn wide(
    start: usize,
    sizes: &[Size],
    rules: usize,
    needs: Needs,
    limits: Limits,
    scratch: usize,
) -> Launch {
    let wanted = (limits.multiprocessors / rules).clamp(1, sizes.len() - start);
    let room = limits.shared_bytes.saturating_sub(WIDE_BYTES);
    // Legs come later: `Launch::stage`.
    let mut memory = memory(
        Size {
            legs: 0,
            members: 0,
        },
        needs,
        room,
    );
    // What a launch leaves for the next.
    memory.scratch_bytes += memory.shared_bytes;
    memory.shared_bytes += WIDE_BYTES;
    let groups = fit(memory, rules, scratch).min(wanted);
    let members = sizes[start..start + groups].iter().map(|size| size.members);
    let blocks = (limits.multiprocessors / (groups * rules)).max(1);
    let blocks = blocks.min(members.max().unwrap_or(1));
    let part = sizes[start].legs.div_ceil(blocks);
    let shared = part / LEGS_PER_INSTRUCTION + needs.rectangles / RECTANGLES_PER_INSTRUCTION;
    let pause_after = (LAUNCH / (ALONE * BOOKKEEPING + shared)).max(1);
    Launch {
        groups: start..start + groups,
        threads: WIDE_THREADS,
        memory,
        wide: Some(Wide {
            blocks,
            pause_after,
            launches: needs.rectangles.div_ceil(pause_after),
        }),
    }
}

impl Launch {
    /// Of a wide search: makes room in shared memory for so many legs and members, which is what the
    /// largest part has, if they fit.
    pub(super) fn stage(&mut self, legs: usize, members: usize, limits: Limits) {
        self.memory
            .stage(Size { legs, members }, limits.shared_bytes);
    }
}

impl Memory {
    /// Makes room for legs and members, if the shared memory stays within `most`.
    fn stage(&mut self, size: Size, most: usize) {
        let legs = LEG_BYTES.saturating_mul(size.legs);
        let members = MEMBER_BYTES.saturating_mul(size.members);
        let staged = legs
            .saturating_add(members)
            .saturating_add(self.shared_bytes);
        self.legs_staged = staged <= most;
        if self.legs_staged {
            self.shared_bytes = staged;
            self.places = size.members;
        }
    }
}

/// Words of the board of a search by so many blocks.
pub(super) fn board_words(blocks: usize) -> usize {
    POSTED_WORDS + ANSWER_WORDS * blocks
}

/// Groups whose scratch fits into a launch; at least one.
fn fit(memory: Memory, rules: usize, scratch: usize) -> usize {
    match memory.scratch_bytes {
        0 => usize::MAX,
        bytes => (scratch.min(SCRATCH_BYTES) / (bytes * rules)).max(1),
    }
}

/// Instructions of warps, roughly.
fn cost(legs: usize, needs: Needs) -> usize {
    let per_evaluation =
        BOOKKEEPING + legs / LEGS_PER_INSTRUCTION + needs.rectangles / RECTANGLES_PER_INSTRUCTION;
    needs.rectangles.saturating_mul(per_evaluation)
}

/// Warps enough to share a round of some ten points; in a crowd one, for other searches have work while
/// its bookkeeping waits. Measured on an H200 at 200 legs.
fn threads(legs: usize, crowded: bool) -> u32 {
    match legs {
        0..=96 => 64,
        97..=2048 if crowded => 32,
        97..=2048 => 96,
        _ => 256,
    }
}

/// Of a search that may have `most` bytes of shared memory.
fn memory(size: Size, needs: Needs, most: usize) -> Memory {
    let compact = size.members == 1 && needs.rectangles <= MOST_COMPACT_RECTANGLES;
    let memory = memory_as(compact, size, needs, most);
    match memory.classes_spilled || memory.rectangles_spilled {
        true if compact => memory_as(false, size, needs, most),
        _ => memory,
    }
}

fn memory_as(compact: bool, size: Size, needs: Needs, most: usize) -> Memory {
    let mut shared = STATE_BYTES;
    let mut scratch = CENTRE_BYTES * needs.rectangles;
    // What is touched most often first; classes only if they leave room for the rest.
    let classes = CLASS_BYTES * needs.classes;
    let classes_spilled = shared + classes > most / 4;
    *(if classes_spilled {
        &mut scratch
    } else {
        &mut shared
    }) += classes;
    let rectangles = match compact {
        // What follows stays aligned.
        true => COMPACT_PAIR_BYTES * needs.rectangles.div_ceil(2),
        false => RECTANGLE_BYTES * needs.rectangles,
    };
    let rectangles = rectangles + DIVISION_BYTES * needs.divisions;
    let rectangles_spilled = shared + rectangles > most;
    *(if rectangles_spilled {
        &mut scratch
    } else {
        &mut shared
    }) += rectangles;
    let mut memory = Memory {
        compact,
        classes_spilled,
        rectangles_spilled,
        legs_staged: false,
        places: 0,
        shared_bytes: shared,
        scratch_bytes: scratch,
    };
    memory.stage(size, most);
    memory
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Limits = Limits {
        multiprocessors: 132,
        shared_bytes: 227 * 1024,
        cooperative: true,
    };

    const SMALL: Limits = Limits {
        multiprocessors: 1,
        shared_bytes: 48 * 1024,
        cooperative: true,
    };

    const LONELY: Limits = Limits {
        cooperative: false,
        ..H200
    };

    /// DIRECT-L with the default tolerances.
    fn needs(rectangles: usize) -> Needs {
        Needs {
            classes: 17,
            rectangles,
            divisions: 17,
        }
    }

    fn size(legs: usize, members: usize) -> Size {
        Size { legs, members }
    }

    fn plan(sizes: &[Size], rectangles: usize, limits: Limits) -> Option<Vec<Launch>> {
        let needs = needs(rectangles);
        let ways = ways(sizes, 1, needs, limits)?;
        Some(launches(sizes, &ways, 1, needs, limits, 1 << 30))
    }

    #[test]
    fn a_thousand_usual_searches_are_one_launch_in_shared_memory() {
        let launches = plan(&[size(200, 1); 1000], 500, H200).unwrap();
        assert_eq!(launches.len(), 1);
        let Launch {
            groups,
            threads,
            memory,
            wide,
        } = &launches[0];
        assert_eq!((groups.clone(), *threads), (0..1000, 96));
        assert!(wide.is_none());
        let crowd = plan(&[size(200, 1); 4000], 500, H200).unwrap();
        assert_eq!((crowd.len(), crowd[0].threads), (1, 32));
        assert!(memory.compact);
        assert!(!memory.classes_spilled && !memory.rectangles_spilled && memory.legs_staged);
        assert_eq!(memory.scratch_bytes, 500 * 16);
        assert_eq!(
            memory.shared_bytes,
            144 + 17 * 48 + 500 * 8 + 17 * 16 + 16 + 200 * 24
        );
        // Ten blocks share a multiprocessor, for which it has the registers, or more smaller ones.
        assert!(20 * (memory.shared_bytes + 1024) <= 228 * 1024);
    }

    #[test]
    fn large_budgets_and_long_groups_spill() {
        let most = H200.shared_bytes / 2;
        let short = memory(size(200, 1), needs(1600), most);
        assert!(short.compact && !short.rectangles_spilled);
        let odd = memory(size(0, 1), needs(499), most);
        assert_eq!(
            odd.shared_bytes,
            144 + 17 * 48 + 500 * 8 + 17 * 16 + 16,
            "legs begin at a multiple of 16"
        );
        assert!(!memory(size(200, 1), needs(1601), most).compact);
        assert!(!memory(size(200, 2), needs(500), most).compact);
        // Where a class has no room there is no kernel for it.
        let spilled = memory(size(200, 1), needs(500), 4096);
        assert!(!spilled.compact && spilled.rectangles_spilled);
        let budget = memory(size(200, 1), needs(10_000), most);
        assert!(budget.rectangles_spilled && budget.legs_staged && !budget.classes_spilled);
        assert_eq!(budget.scratch_bytes, 10_000 * (16 + 16) + 17 * 16);
        let long = memory(size(5000, 1), needs(500), most);
        assert!(!long.rectangles_spilled && !long.legs_staged);
        let deep = Needs {
            classes: 5000,
            rectangles: 10_000,
            divisions: 10_000,
        };
        assert!(memory(size(200, 1), deep, most).classes_spilled);
    }

    #[test]
    fn one_search_over_a_large_batch_takes_the_whole_device_and_one_launch() {
        let mut launches = plan(&[size(200_000, 1000)], 500, H200).unwrap();
        assert_eq!(launches.len(), 1);
        let launch = &mut launches[0];
        launch.stage(8 * 200, 8, H200);
        let wide = launch.wide.unwrap();
        assert_eq!((wide.blocks, wide.launches, launch.threads), (132, 1, 1024));
        let memory = launch.memory;
        assert!(!memory.classes_spilled && !memory.rectangles_spilled && memory.legs_staged);
        assert_eq!(memory.places, 8);
        let store = memory.shared_bytes - 4096 - 1600 * 24 - 8 * 16;
        assert_eq!(store, 144 + 17 * 48 + 500 * 16 + 17 * 16);
        // Centres, and the store between launches.
        assert_eq!(memory.scratch_bytes, 500 * 16 + store);
        launch.stage(10_000, 50, H200);
        assert!(!launch.memory.legs_staged);
    }

    #[test]
    fn a_search_goes_the_way_that_its_size_and_the_others_say() {
        let one = |legs, members, rectangles, limits| {
            let total = cost(legs, needs(rectangles));
            way(size(legs, members), total, needs(rectangles), limits)
        };
        assert_eq!(one(200, 1, 500, H200), Way::OneBlock);
        assert_eq!(one(4096, 20, 500, H200), Way::OneBlock);
        assert_eq!(one(4097, 20, 500, H200), Way::ManyBlocks);
        // Nothing to share among blocks, and soon done.
        assert_eq!(one(5000, 1, 500, H200), Way::OneBlock);
        assert_eq!(one(200_000, 1000, 500, SMALL), Way::OneBlock);
        assert_eq!(one(10_000_000, 1000, 500, SMALL), Way::Rounds);
        assert_eq!(one(50_000, 1000, 500, SMALL), Way::OneBlock);
        // Too long for one launch: cut.
        assert_eq!(one(50_000, 1000, 10_000, SMALL), Way::ManyBlocks);
        assert_eq!(one(10_000_000, 1000, 500, H200), Way::Rounds);
        assert_eq!(one(200, 1, MOST_RECTANGLES + 1, H200), Way::Rounds);
        assert_eq!(one(200, 1, 30_000, H200), Way::OneBlock);
        assert_eq!(one(200, 1, 40_000, H200), Way::ManyBlocks);
        // Without cooperative launches.
        assert_eq!(one(30_000, 100, 500, LONELY), Way::OneBlock);
        assert_eq!(one(200_000, 1000, 500, LONELY), Way::Rounds);
        // With many of the same size, a multiprocessor each.
        let all = |legs: usize, count: usize, limits| {
            let total = count * cost(legs, needs(500));
            way(size(legs, 1000), total, needs(500), limits)
        };
        assert_eq!(all(200_000, 131, H200), Way::ManyBlocks);
        assert_eq!(all(200_000, 132, H200), Way::OneBlock);
        assert_eq!(all(200_000, 1000, LONELY), Way::OneBlock);
    }

    #[test]
    fn few_large_groups_share_the_device_and_small_ones_follow() {
        let mut sizes = vec![size(100_000, 500); 4];
        sizes.extend([size(200, 1); 1000]);
        let launches = plan(&sizes, 500, H200).unwrap();
        assert_eq!(launches.len(), 2);
        assert_eq!(launches[0].groups, 0..4);
        assert_eq!(launches[0].wide.map(|wide| wide.blocks), Some(33));
        assert_eq!(launches[1].groups, 4..1004);
        assert!(launches[1].wide.is_none());
    }

    /// Every group is in one launch, and a launch is one that the device can do, in bounded time.
    #[test]
    fn every_launch_is_within_the_limits() {
        let (mut count, mut left, mut cut) = (0, 0, 0);
        for limits in [H200, SMALL, LONELY] {
            for groups in [1, 7, 1000, 100_000] {
                for most_legs in [0, 8, 200, 5000, 100_000, 4_000_000] {
                    for rectangles in [1, 500, 10_000, 100_000] {
                        for rules in [1, 2] {
                            let sizes: Vec<Size> = (0..groups)
                                .map(|group| most_legs - most_legs * group / groups)
                                .map(|legs| size(legs, 1 + legs / 200))
                                .collect();
                            let needs = needs(rectangles);
                            count += 1;
                            let Some(ways) = ways(&sizes, rules, needs, limits) else {
                                left += 1;
                                continue;
                            };
                            let launches = launches(&sizes, &ways, rules, needs, limits, 1 << 26);
                            let mut next = 0;
                            for launch in launches {
                                assert_eq!(launch.groups.start, next);
                                next = launch.groups.end;
                                assert!(next > launch.groups.start);
                                let searches = launch.groups.len() * rules;
                                let memory = launch.memory;
                                assert!(memory.shared_bytes <= limits.shared_bytes);
                                assert!(
                                    launch.groups.len() == 1
                                        || memory.scratch_bytes * searches <= 1 << 26
                                );
                                assert!(launch.threads.is_multiple_of(32));
                                assert_eq!(memory.shared_bytes % 8, 0);
                                assert_eq!(memory.scratch_bytes % 16, 0);
                                let legs = sizes[launch.groups.clone()].iter();
                                let legs = legs.map(|size| size.legs);
                                if let Some(wide) = launch.wide {
                                    assert!(limits.cooperative);
                                    assert!(
                                        wide.blocks * searches <= limits.multiprocessors
                                            || (wide.blocks == 1 && launch.groups.len() == 1)
                                    );
                                    assert!(wide.pause_after * wide.launches >= rectangles);
                                    cut += usize::from(wide.launches > 1);
                                    // A round goes over it by itself at most.
                                    let part = legs.max().unwrap() / wide.blocks;
                                    assert!(wide.pause_after * part / 2 <= LAUNCH);
                                    continue;
                                }
                                assert!((32..=256).contains(&launch.threads));
                                let work = legs.map(|legs| rules * cost(legs, needs));
                                let work: usize = work.sum();
                                assert!(
                                    launch.groups.len() == 1
                                        || work <= LAUNCH * limits.multiprocessors
                                );
                            }
                            assert_eq!(next, groups);
                        }
                    }
                }
            }
        }
        assert_eq!(count, 3 * 4 * 6 * 4 * 2);
        assert!(left < count / 4, "{left} of {count}");
        assert!(cut > 0);
    }
}
