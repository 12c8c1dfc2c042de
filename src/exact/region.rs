//! What lies around an optimum: the flat region and the robust optimum.
//!
//! Both ask for the least profit over a box. Its candidates are the other corners of the cells
//! between gates (smallest h, largest l), so the rank form with its signs turned and the same
//! search answer it exactly.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::best::Best;
use super::fixed::{self, Entered, Grid, Item};
use super::ranks::{Box2, Corner, Ranks, ordered, unordered};
use super::search::Search;
use super::zoom::restrict;
use super::{Collect, Exact, check_box, check_group, exact_profit};
use crate::batch::Batch;
use crate::error::Error;
use crate::profit::{ExitRule, Multipliers, Side};

/// Work that one box may take; beyond it its bound is used, which is safe and a little loose.
const WORK_CAP: u64 = 1 << 32;

/// A box around the optimum in which the profit stays high. All ends are inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlatRegion {
    /// Least and greatest h.
    pub high: (f32, f32),
    /// Least and greatest l.
    pub low: (f32, f32),
    /// The least profit of all pairs inside.
    pub least_profit: f64,
}

/// How to look for a robust optimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RobustOptions {
    /// How far both multipliers may be off, in return units; 0.001 is 0.1 %.
    pub radius: f32,
    /// Gap at which the search ends, as a share of the greatest profit's lead over the worst
    /// case found.
    pub tolerance: f64,
    /// Most boxes to look at; each costs about as much as an exact optimum.
    pub max_boxes: usize,
}

impl Default for RobustOptions {
    fn default() -> Self {
        Self {
            radius: 0.001,
            tolerance: 0.01,
            max_boxes: 2000,
        }
    }
}

/// The pair whose worst neighbour is best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Robust {
    /// The pair.
    pub multipliers: Multipliers,
    /// The least profit of all pairs within the radius of it, in h and in l.
    pub worst_profit: f64,
    /// No pair in the box has a better worst case than this: the difference is the proven gap.
    pub upper_bound: f64,
    /// Boxes looked at.
    pub boxes: usize,
}

/// A group's legs, for extremes over many boxes.
struct Group {
    long: Vec<Item>,
    short: Vec<Item>,
    grid: Grid,
    simulations: usize,
    ranks: Ranks,
    search: Search,
    /// Legs that change inside the box asked for.
    moving: (Vec<Item>, Vec<Item>),
}

/// The greatest value over a box, or the least one with its sign turned, in units.
struct Extreme {
    found: i64,
    at: Multipliers,
    bound: i64,
}

impl Group {
    fn new(batch: &Batch, members: &[u32], fee: f64, exit_rule: ExitRule, bounds: &Box2) -> Self {
        let (mut long, mut short) = (Vec::new(), Vec::new());
        let statistics = pulp::Arch::new().dispatch(Collect {
            batch,
            members,
            fee,
            exit_rule,
            bounds,
            counts: fixed::count_sides(batch, members),
            legs: (&mut long, &mut short),
        });
        Self {
            long,
            short,
            grid: Grid::new(&statistics, fee),
            simulations: members.len(),
            ranks: Ranks::default(),
            search: Search::default(),
            moving: Default::default(),
        }
    }

    fn extreme(&mut self, bounds: &Box2, corner: Corner) -> Extreme {
        let arch = pulp::Arch::new();
        let (long, short) = &mut self.moving;
        long.clone_from(&self.long);
        short.clone_from(&self.short);
        let mut base = Entered::default();
        restrict(long, Side::Long, &self.grid, bounds, &mut base);
        restrict(short, Side::Short, &self.grid, bounds, &mut base);
        self.ranks
            .build(arch, long, short, &base, &self.grid, bounds, corner);
        let grid = match corner {
            Corner::Greatest => self.grid,
            Corner::Least => self.grid.negated(),
        };
        let mut best = Best::none();
        let searched = self
            .search
            .run(arch, &self.ranks, &grid, bounds, WORK_CAP, &mut best);
        Extreme {
            found: best.value,
            at: best.at,
            bound: searched.bound(best.value),
        }
    }

    /// The least profit over a box; a lower bound on it where it was not worth the proof.
    fn least(&mut self, bounds: &Box2) -> f64 {
        let value = -self.extreme(bounds, Corner::Least).bound;
        self.grid.profit(value, self.simulations)
    }
}

/// The flat region of an optimum: the largest box around it in which every pair keeps at least
/// `share` of the gain over the baseline.
///
/// Every pair `p` of the region has
/// `profit(p) >= baseline + share * (best.profit - baseline)`, exactly, in the fixed point of
/// [`exact_profit`]; `baseline` is the profit of the forecasts as they are.
///
/// *Largest* means: first the largest square (equal reach in h and in l, cut at the bounds), as
/// a tuned pair should bear an error on either axis; then each side is moved out on its own as far
/// as it goes, in the order greatest h, least h, least l, greatest l. So no side can be moved by
/// one f32 more. (The box of largest area would often be a long sliver.)
///
/// `best` must come from [`exact`](super::exact()) with the same group, fee, rule and bounds.
/// Costs about 150 times as much as finding `best`.
///
/// # Errors
/// As [`exact`](super::exact()); a share outside `[0, 1]`; `best` outside the bounds.
#[allow(clippy::too_many_arguments, reason = "those of `exact`, and two more")]
pub fn flat_region(
    batch: &Batch,
    members: &[u32],
    fee: f64,
    exit_rule: ExitRule,
    high_bounds: (f32, f32),
    low_bounds: (f32, f32),
    best: &Exact,
    share: f64,
) -> Result<FlatRegion, Error> {
    check_group(batch, members, fee)?;
    let bounds = check_box(high_bounds, low_bounds)?;
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::option("share", share, "within [0, 1], such as 0.95"));
    }
    let Multipliers { high: h, low: l } = best.multipliers;
    let inside = |x: f32, (least, greatest): (f32, f32)| x >= least && x <= greatest;
    if !(inside(h, bounds.high) && inside(l, bounds.low)) {
        let expected = "the exact optimum of these bounds";
        return Err(Error::option("best", format!("({h}, {l})"), expected));
    }
    let baseline = exact_profit(batch, members, fee, exit_rule, Multipliers::BASELINE)?;
    // A box without the forecasts may offer less than they do: then only the optimum will do.
    let kept = (baseline + share * (best.profit - baseline)).min(best.profit);
    let mut group = Group::new(batch, members, fee, exit_rule, &bounds);
    let mut holds = |bounds: &Box2| group.least(bounds) >= kept;

    let square = |reach: f32| Box2 {
        high: (
            (h - reach).max(bounds.high.0),
            (h + reach).min(bounds.high.1),
        ),
        low: ((l - reach).max(bounds.low.0), (l + reach).min(bounds.low.1)),
    };
    let farthest = [h - bounds.high.0, bounds.high.1 - h]
        .into_iter()
        .chain([l - bounds.low.0, bounds.low.1 - l])
        .fold(0.0_f32, f32::max);
    let reach = last_that(0.0, farthest, |reach| holds(&square(reach)));
    let mut region = square(reach);
    region.high.1 = last_that(region.high.1, bounds.high.1, |end| {
        holds(&Box2 {
            high: (region.high.0, end),
            ..region
        })
    });
    region.high.0 = last_that(region.high.0, bounds.high.0, |end| {
        holds(&Box2 {
            high: (end, region.high.1),
            ..region
        })
    });
    region.low.0 = last_that(region.low.0, bounds.low.0, |end| {
        holds(&Box2 {
            low: (end, region.low.1),
            ..region
        })
    });
    region.low.1 = last_that(region.low.1, bounds.low.1, |end| {
        holds(&Box2 {
            low: (region.low.0, end),
            ..region
        })
    });
    Ok(FlatRegion {
        high: region.high,
        low: region.low,
        least_profit: group.least(&region),
    })
}

/// The last f32 on the way from `start` to `end`, both included, for which `holds`; it does for
/// `start`, and not again once it does not.
fn last_that(start: f32, end: f32, mut holds: impl FnMut(f32) -> bool) -> f32 {
    if holds(end) {
        return end;
    }
    let (mut yes, mut no) = (
        i64::from(ordered(start + 0.0)),
        i64::from(ordered(end + 0.0)),
    );
    while yes.abs_diff(no) > 1 {
        let middle = yes + (no - yes) / 2;
        if holds(unordered(middle as u32) + 0.0) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    unordered(yes as u32) + 0.0
}

/// A box of pairs with an upper bound on their worst cases.
#[derive(Debug, Clone, Copy)]
struct Centres {
    bound: i64,
    /// Order of creation: decides between equal bounds.
    age: usize,
    bounds: Box2,
}

impl PartialEq for Centres {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Centres {}

impl PartialOrd for Centres {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Centres {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bound.cmp(&other.bound).then(other.age.cmp(&self.age))
    }
}

/// The robust optimum: the pair of the box that maximises the least profit within
/// `options.radius` of it.
///
/// The neighbours of a pair are all f32 pairs with h and l within the radius (ends `h - r` and
/// `h + r` rounded to f32), also beyond the bounds. Where multipliers cannot be set, or the future
/// is a little off, this is what can be counted on.
///
/// Branch and bound over boxes of pairs: what all pairs of a box have as neighbours, the
/// intersection of their squares, bounds their worst cases from above, by its exact least profit;
/// the square of the box's centre gives one from below. The result comes with its proven gap.
///
/// # Errors
/// As [`exact`](super::exact()); a radius that is negative or beyond 1000; a tolerance below 0.
pub fn robust_optimum(
    batch: &Batch,
    members: &[u32],
    fee: f64,
    exit_rule: ExitRule,
    high_bounds: (f32, f32),
    low_bounds: (f32, f32),
    options: &RobustOptions,
) -> Result<Robust, Error> {
    check_group(batch, members, fee)?;
    let bounds = check_box(high_bounds, low_bounds)?;
    let RobustOptions {
        radius,
        tolerance,
        max_boxes,
    } = *options;
    if !(0.0..=1000.0).contains(&radius) {
        return Err(Error::option("radius", radius, "between 0 and 1000"));
    }
    if !(tolerance >= 0.0) {
        return Err(Error::option("tolerance", tolerance, "0 or more"));
    }
    let around = |(least, greatest): (f32, f32)| (least - radius, greatest + radius);
    let reach = Box2 {
        high: around(bounds.high),
        low: around(bounds.low),
    };
    let mut group = Group::new(batch, members, fee, exit_rule, &reach);
    let optimum = group.extreme(&bounds, Corner::Greatest);
    let square = |at: Multipliers| Box2 {
        high: around((at.high, at.high)),
        low: around((at.low, at.low)),
    };
    let mut best = optimum.at;
    let mut worst = -group.extreme(&square(best), Corner::Least).bound;
    let mut boxes = 2;
    let mut heap = BinaryHeap::from([Centres {
        bound: optimum.bound,
        age: 0,
        bounds,
    }]);
    let mut open = worst;
    while let Some(centres) = heap.pop() {
        open = centres.bound.max(worst);
        let lead = optimum.bound.saturating_sub(worst);
        let gap = open.saturating_sub(worst);
        if gap as f64 <= tolerance * lead as f64 || boxes >= max_boxes.max(2) {
            break;
        }
        let Some(halves) = halves(&centres.bounds) else {
            // One pair, whose worst case is known.
            let at = Multipliers::new(centres.bounds.high.0, centres.bounds.low.0);
            let value = -group.extreme(&square(at), Corner::Least).bound;
            boxes += 1;
            if value > worst {
                (worst, best) = (value, at);
            }
            open = worst;
            continue;
        };
        for bounds in halves {
            let centre = Multipliers::new(middle(bounds.high), middle(bounds.low));
            let value = -group.extreme(&square(centre), Corner::Least).bound;
            if value > worst {
                (worst, best) = (value, centre);
            }
            let common = Box2 {
                high: (bounds.high.1 - radius, bounds.high.0 + radius),
                low: (bounds.low.1 - radius, bounds.low.0 + radius),
            };
            let shared = common.high.0 <= common.high.1 && common.low.0 <= common.low.1;
            let bound = if shared {
                // Any pair found there is one that all of them have.
                -group.extreme(&common, Corner::Least).found
            } else {
                group.extreme(&bounds, Corner::Greatest).bound
            };
            boxes += 2;
            let bound = bound.min(centres.bound);
            if bound > worst {
                heap.push(Centres {
                    bound,
                    age: boxes,
                    bounds,
                });
            }
        }
        open = worst;
    }
    Ok(Robust {
        multipliers: Multipliers::new(best.high + 0.0, best.low + 0.0),
        worst_profit: group.grid.profit(worst, group.simulations),
        upper_bound: group.grid.profit(open.max(worst), group.simulations),
        boxes,
    })
}

/// Half way between two ends, one of the ends if nothing lies between.
fn middle((least, greatest): (f32, f32)) -> f32 {
    ((f64::from(least) + f64::from(greatest)) * 0.5) as f32
}

/// A box cut at the middle of its longer side; `None` for a single pair.
fn halves(bounds: &Box2) -> Option<[Box2; 2]> {
    let length = |(least, greatest): (f32, f32)| f64::from(greatest) - f64::from(least);
    let cut = |ends: (f32, f32)| {
        let middle = middle(ends);
        let first = if middle < ends.1 { middle } else { ends.0 };
        [(ends.0, first), (first.next_up(), ends.1)]
    };
    let (high, low) = (length(bounds.high), length(bounds.low));
    if high <= 0.0 && low <= 0.0 {
        return None;
    }
    Some(if high >= low {
        cut(bounds.high).map(|high| Box2 { high, ..*bounds })
    } else {
        cut(bounds.low).map(|low| Box2 { low, ..*bounds })
    })
}
