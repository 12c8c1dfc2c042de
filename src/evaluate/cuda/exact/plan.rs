//! Launches of the exact kernel: which groups share one, and with how many threads and how much
//! shared memory.
//!
//! Pure functions of sizes and device limits, apart from the launch itself. The constants are
//! those of `kernels/exact.cu`.

use std::ops::Range;

use super::super::device::Limits;
use crate::exact::packed::MOST_CANDIDATES;
use crate::profit::ExitRule;

const HEADER_BYTES: usize = 272;
const CANDIDATE_BYTES: usize = 28;
const ROW_BYTES: usize = 8;
const LAST_ROW_BYTES: usize = 4;
const EVENT_BYTES: usize = 20;
const EVENT_STEP: usize = 4;
const SORT_BYTES: usize = 4;

/// Threads of a block at most.
const MOST_THREADS: usize = 256;

/// Columns that a thread takes at once.
const PER_THREAD: usize = 2;

const WARP: usize = 32;

/// Cells that a launch sweeps at most, per multiprocessor, unless one group has more: a few
/// milliseconds, so that neither a display nor whoever wants to stop has to wait.
const CELLS: usize = 1 << 22;

/// A group, for the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub legs: usize,
    /// Some level may reach its upper clamp.
    pub capped: bool,
}

/// What the shared memory of a block has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Candidates on h and on l, without the ends of the box.
    pub x_places: usize,
    pub z_places: usize,
    pub events: usize,
}

/// Groups that are launched together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    /// Places in the order of [`order`].
    pub groups: Range<usize>,
    pub room: Room,
    pub capped: bool,
    pub threads: u32,
    pub shared_bytes: u32,
}

impl Room {
    fn new(size: Size, exit_rule: ExitRule) -> Self {
        let z_places = size.legs;
        let x_places = match size.capped {
            true => 2 * size.legs,
            false => size.legs,
        };
        // The exit at the level sets in and meets one clamp; a high level may meet both.
        let per_leg = match (exit_rule, size.capped) {
            (ExitRule::AtClose, _) => 0,
            (ExitRule::Intraday, false) => 2,
            (ExitRule::Intraday, true) => 3,
        };
        let sorted = ((x_places + z_places) * SORT_BYTES).div_ceil(EVENT_BYTES);
        let events = (per_leg * size.legs).max(sorted);
        Self {
            x_places,
            z_places,
            events: events.next_multiple_of(EVENT_STEP),
        }
    }

    fn bytes(&self, exit_rule: ExitRule) -> usize {
        let (columns, rows) = (self.x_places + 1, self.z_places + 1);
        let offsets = match exit_rule {
            ExitRule::Intraday => rows * ROW_BYTES + LAST_ROW_BYTES,
            ExitRule::AtClose => 0,
        };
        let bytes =
            HEADER_BYTES + (columns + rows) * CANDIDATE_BYTES + self.events * EVENT_BYTES + offsets;
        bytes.next_multiple_of(16)
    }
}

/// Whether a block can take the group.
pub(super) fn fits(size: Size, exit_rule: ExitRule, limits: Limits) -> bool {
    let room = Room::new(size, exit_rule);
    room.x_places.max(room.z_places) < MOST_CANDIDATES
        && room.bytes(exit_rule) <= limits.shared_bytes
}

/// The order in which groups are launched: those of one kind side by side, the largest first.
pub(super) fn order(sizes: &[Size]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&group| (sizes[group].capped, std::cmp::Reverse(sizes[group].legs)));
    order
}

/// The launches of groups in that order, all of which fit.
pub(super) fn launches(sizes: &[Size], exit_rule: ExitRule, limits: Limits) -> Vec<Launch> {
    let most_cells = CELLS.saturating_mul(limits.multiprocessors);
    let mut launches = Vec::new();
    let mut start = 0;
    while start < sizes.len() {
        let first = sizes[start];
        let room = Room::new(first, exit_rule);
        let mut cells = 0;
        let together = sizes[start..].iter().take_while(|size| {
            let room = Room::new(**size, exit_rule);
            cells += (room.x_places + 1) * (room.z_places + 1);
            // Shared memory and threads are those of the largest: not too much for the others.
            size.capped == first.capped
                && 4 * (size.legs + WARP) >= 3 * (first.legs + WARP)
                && cells <= most_cells
        });
        let count = together.count().max(1);
        launches.push(Launch {
            groups: start..start + count,
            room,
            capped: first.capped,
            threads: threads(room.x_places + 1) as u32,
            shared_bytes: room.bytes(exit_rule) as u32,
        });
        start += count;
    }
    launches
}

/// Whole warps, so many that the columns fill their rounds.
fn threads(columns: usize) -> usize {
    let rounds = columns.div_ceil(MOST_THREADS * PER_THREAD);
    columns.div_ceil(rounds * PER_THREAD).next_multiple_of(WARP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const H200: Limits = Limits {
        multiprocessors: 132,
        shared_bytes: 227 * 1024,
        cooperative: true,
    };

    const T4: Limits = Limits {
        multiprocessors: 40,
        shared_bytes: 64 * 1024,
        cooperative: true,
    };

    const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

    fn size(legs: usize, capped: bool) -> Size {
        Size { legs, capped }
    }

    #[test]
    fn equal_groups_share_one_launch() {
        let launches = launches(&[size(200, false); 1000], ExitRule::Intraday, H200);
        assert_eq!(launches.len(), 1);
        let launch = &launches[0];
        assert_eq!((launch.groups.clone(), launch.threads), (0..1000, 128));
        let room = Room {
            x_places: 200,
            z_places: 200,
            events: 400,
        };
        assert_eq!(launch.room, room);
        // Several blocks share a multiprocessor.
        assert!(launch.shared_bytes as usize * 9 <= H200.shared_bytes);
    }

    #[test]
    fn the_limit_is_that_of_the_proof_or_of_the_shared_memory() {
        let most = |capped, rule, limits| {
            let fitting = (0..4000).take_while(|&legs| fits(size(legs, capped), rule, limits));
            fitting.last().unwrap()
        };
        assert_eq!(most(false, ExitRule::Intraday, H200), MOST_CANDIDATES - 1);
        assert_eq!(most(false, ExitRule::AtClose, H200), MOST_CANDIDATES - 1);
        assert_eq!(
            most(true, ExitRule::Intraday, H200),
            MOST_CANDIDATES / 2 - 1
        );
        assert!((600..700).contains(&most(false, ExitRule::Intraday, T4)));
        assert!(most(true, ExitRule::Intraday, T4) >= 400);
    }

    #[test]
    fn large_and_small_capped_and_other_groups_are_launched_apart() {
        let sizes = [
            size(3, true),
            size(200, false),
            size(6, false),
            size(190, false),
            size(0, false),
        ];
        let order = order(&sizes);
        assert_eq!(order, [1, 3, 2, 4, 0]);
        let sizes: Vec<Size> = order.iter().map(|&group| sizes[group]).collect();
        let launches = launches(&sizes, ExitRule::Intraday, H200);
        let groups: Vec<_> = launches
            .iter()
            .map(|launch| launch.groups.clone())
            .collect();
        assert_eq!(groups, [0..2, 2..4, 4..5]);
        assert_eq!(launches[2].room.x_places, 6);
    }

    #[test]
    fn launches_are_of_bounded_work() {
        let launches = launches(&[size(2000, false); 1000], ExitRule::Intraday, T4);
        assert!(launches.len() > 20, "{}", launches.len());
        for launch in &launches {
            assert!(launch.groups.len() * 2001 * 2001 <= CELLS * T4.multiprocessors);
        }
        let last = launches.last().unwrap();
        assert_eq!(last.groups.end, 1000);
    }

    /// Whatever the sizes, launches are such as the kernel and the device can do.
    #[test]
    fn every_launch_is_within_the_limits() {
        let mut checked = 0;
        for limits in [H200, T4] {
            for rule in RULES {
                for capped in [false, true] {
                    let sizes = (0..MOST_CANDIDATES).map(|legs| size(legs, capped));
                    let sizes: Vec<Size> = sizes.filter(|&s| fits(s, rule, limits)).collect();
                    let sizes: Vec<Size> = order(&sizes).iter().map(|&g| sizes[g]).collect();
                    let mut next = 0;
                    for launch in launches(&sizes, rule, limits) {
                        assert_eq!(launch.groups.start, next);
                        next = launch.groups.end;
                        assert!(launch.threads.is_multiple_of(32));
                        assert!((32..=256).contains(&launch.threads));
                        assert!(launch.shared_bytes as usize <= limits.shared_bytes);
                        let Room {
                            x_places,
                            z_places,
                            events,
                        } = launch.room;
                        assert!(events.is_multiple_of(EVENT_STEP));
                        assert!(events * EVENT_BYTES >= (x_places + z_places) * SORT_BYTES);
                        for size in &sizes[launch.groups.clone()] {
                            assert!(size.legs <= z_places && size.capped == launch.capped);
                            checked += 1;
                        }
                    }
                    assert_eq!(next, sizes.len());
                }
            }
        }
        assert!(checked > 8000, "{checked}");
    }
}
