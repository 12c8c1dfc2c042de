//! The exact optimum: the best of all f32 pairs in a box, with proof.
//!
//! A group's profit is a sum of legs, each piecewise linear with gates that are parallel to the
//! axes. Between gates it rises with h and falls with l, so the greatest value lies at one of the
//! pairs (high gate or upper end, low gate or lower end), at most `(N + 1)^2` of them for N legs.
//!
//! # Method
//!
//! 1. **Fixed point** (`exact/fixed.rs`). The value of a group at a pair is an integer, the same
//!    in any order of legs, simulations, threads and shards, and monotone between gates to the
//!    last bit. [`exact_profit`] is this value; it is what [`exact`] maximises.
//! 2. **Zoom** (`exact/zoom.rs`), for thousands of legs: bounds of second order over a grid of
//!    values put aside most of the box, and most legs become a constant. The legs are read from
//!    the batch, 64 side by side (`exact/chunk.rs`); only those that still change are copied.
//! 3. **Ranks** (`exact/ranks.rs`): what is left, as events on sorted thresholds.
//! 4. **Lattice** (`exact/lattice.rs`) when there are few pairs of ranks, else **branch and
//!    bound** over blocks of ranks (`exact/search.rs`) with lattices as leaves.
//! 5. Past a cap of work, a **kinetic segment tree** (`exact/kinetic.rs`), whose cost does not
//!    depend on how flat the profit is; or the best so far with its proven gap ([`OnCap`]).
//!
//! With [`ExitRule::AtClose`] the two axes do not interact, and two scans do.
//!
//! Complexity: a few passes over the batch, and O(N log N) for what the zoom leaves. Branch and
//! bound has no useful bound in the worst case; on forecasts it reads every event a few times.
//!
//! Memory beyond the batch: tables of at most 3 MB for the zoom; about 240 bytes per leg that
//! changes in what is left of the box, and what is open in the branch and bound. From 20,000 legs
//! on this is less than 64 bytes per leg of the group, with good forecasts as with random ones
//! (measured: 60 at 20,000, 25 at 200,000, 16 at 2,000,000).
//!
//! # Ties
//!
//! Of all maximisers the smallest change from the forecast is returned: the least `|h| + |l|`,
//! then the least `|h|`, then the least `|l|`, then the positive h, then the positive l. A
//! maximiser is a corner of a cell between gates (its largest h and smallest l), or, where no
//! entered level moves with h (or l), any h (or l) of that cell. So a group that nothing can
//! improve on stays at its forecasts, and no threshold is left by more than it takes.

mod best;
mod chunk;
mod fixed;
mod kinetic;
mod lanes;
mod lattice;
#[cfg(feature = "cuda")]
pub(crate) mod packed;
mod radix;
mod ranks;
mod region;
pub(crate) mod report;
mod search;
// Thousands of cross-checks: hours in an interpreter.
#[cfg(all(test, not(miri)))]
mod tests;
mod zoom;

use pulp::{Simd, WithSimd};

use crate::batch::{Batch, MAX_MOVE, Weights};
use crate::error::Error;
use crate::profit::{ExitRule, Multipliers};

use best::{Best, nearest_in_cell};
use chunk::{Simulations, Source};
use fixed::{Entered, Grid, Item, Statistics, for_each_leg};
pub use region::{FlatRegion, Robust, RobustOptions, flat_region, robust_optimum};

use ranks::{Box2, Corner, MAX_LEGS, Ranks};
use search::Search;
use zoom::{Region, Zoom, hull};

/// Fewest legs that are zoomed. Measured.
const ZOOM_LEGS: usize = 1000;

/// What to do when the search has done its share of work and has no proof yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum OnCap {
    /// Go on with a method whose work does not depend on how flat the profit is, about
    /// O(N log² N), up to the proof. It compares the rows of pairs (one low gate, all high gates)
    /// in f64, and goes through those exactly that are equal to within rounding. Where they are
    /// more than the cap allows, a gap of that size remains: below 2^-43 of the sum of the legs'
    /// magnitudes. Such ties are made (a grid of prices on which what one leg gains another
    /// loses); on no forecasts was one seen.
    #[default]
    Prove,
    /// Return the best pair so far with the proven upper bound.
    Gap,
}

/// How to search for the exact optimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ExactOptions {
    /// Most work of the branch and bound, in the unit of [`Exact::work`];
    /// `None`: 64 per leg and 1,000,000 more.
    pub work_cap: Option<u64>,
    /// What to do past the cap.
    pub on_cap: OnCap,
    /// Most bytes of memory beyond the batch; `None`: no limit but that of the machine. The branch
    /// and bound takes what is left of it; where that is too little, it ends as past its cap.
    pub max_bytes: Option<usize>,
}

/// The exact optimum of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exact {
    /// The pair that attains `profit`.
    pub multipliers: Multipliers,
    /// Mean profit of the group's simulations there: [`exact_profit`], to the bit.
    pub profit: f64,
    /// No pair in the box has a higher profit than this; equal to `profit` when proved. The gap
    /// that [`OnCap::Prove`] may leave is below 2^-43 of the sum of the legs' magnitudes.
    pub upper_bound: f64,
    /// Work done: one unit is one event read (a leg has up to two) or eight pairs swept.
    pub work: u64,
}

impl Exact {
    /// Whether `profit` is proved to be the greatest of all pairs in the box.
    pub fn is_proved(&self) -> bool {
        self.profit == self.upper_bound
    }
}

/// The best pair for a group, of all f32 pairs in a box.
///
/// * `members`: the simulations of the group, indices into `batch`; their order does not matter.
/// * `fee`: fraction per entered leg, within `[0, 1)`.
/// * `high_bounds`, `low_bounds`: least and greatest h and l, both inclusive; they may be equal.
///
/// For many groups in a row use an [`ExactSolver`], which keeps its buffers.
///
/// # Errors
/// No member or one that the batch does not have; a fee outside `[0, 1)`; bounds that are not
/// finite, beyond ±1e6 or reversed; more memory needed than there is or than the options allow.
///
/// ```
/// use trisect::{Batch, ExactOptions, ExitRule, Fields, Weights, exact, exact_profit};
///
/// let batch = Batch::from_slices(&[2], Fields {
///     close: &[0.01, -0.01][..],
///     high: &[0.03, 0.01],
///     low: &[-0.02, -0.03],
///     high_pred: &[0.02, 0.02],
///     low_pred: &[-0.01, -0.02],
///     weights: Weights::EntryExit(&[1.0, 1.0]),
/// })?;
/// let bounds = (-0.03, 0.03);
/// let rule = ExitRule::Intraday;
/// let best = exact(&batch, &[0], 0.0, rule, bounds, bounds, &ExactOptions::default())?;
/// assert!(best.is_proved());
/// // Not only near: the same value to the bit.
/// assert_eq!(best.profit, exact_profit(&batch, &[0], 0.0, rule, best.multipliers)?);
/// # Ok::<(), trisect::Error>(())
/// ```
pub fn exact(
    batch: &Batch,
    members: &[u32],
    fee: f64,
    exit_rule: ExitRule,
    high_bounds: (f32, f32),
    low_bounds: (f32, f32),
    options: &ExactOptions,
) -> Result<Exact, Error> {
    let mut solver = ExactSolver::new();
    solver.solve(
        batch,
        members,
        fee,
        exit_rule,
        high_bounds,
        low_bounds,
        options,
    )
}

/// Mean profit of a group at a pair, in the fixed point of the group.
///
/// The same bits for any order of `members` and of the bars within them. It differs from the plain
/// f64 sum of [`profit`](fn@crate::profit) by less than `3 * legs + 4` units of 2^-60 of the sum
/// of the legs' magnitudes; see the head of `exact/fixed.rs`. A simulation alone is a group.
///
/// # Errors
/// No member or one that the batch does not have; a fee outside `[0, 1)`; a multiplier that is
/// not finite or beyond ±1e6.
pub fn exact_profit(
    batch: &Batch,
    members: &[u32],
    fee: f64,
    exit_rule: ExitRule,
    multipliers: Multipliers,
) -> Result<f64, Error> {
    check_group(batch, members, fee)?;
    let (high, low) = (f64::from(multipliers.high), f64::from(multipliers.low));
    if !(high.abs() <= MAX_MOVE && low.abs() <= MAX_MOVE) {
        return Err(Error::Candidate {
            candidate: 0,
            high,
            low,
            limit: MAX_MOVE,
        });
    }
    let (arch, simulations) = (pulp::Arch::new(), Simulations::Members(batch, members));
    let grid = Grid::new(&chunk::statistics(arch, simulations, fee), fee);
    let entered = chunk::entered(arch, simulations, &grid, multipliers, exit_rule);
    Ok(grid.profit(entered.value(&grid, multipliers), members.len()))
}

/// Finds exact optima, one group after another, in buffers that it keeps.
#[derive(Debug, Default)]
pub struct ExactSolver {
    arch: pulp::Arch,
    long: Vec<Item>,
    short: Vec<Item>,
    ranks: Ranks,
    search: Search,
    zoom: Zoom,
}

impl ExactSolver {
    /// A solver without buffers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Heap memory held, in bytes.
    pub fn bytes(&self) -> usize {
        (self.long.capacity() + self.short.capacity()) * size_of::<Item>()
            + self.ranks.bytes()
            + self.search.bytes()
            + self.zoom.bytes()
    }

    /// As [`exact`].
    ///
    /// # Errors
    /// As [`exact`].
    #[allow(clippy::too_many_arguments, reason = "as the free function")]
    pub fn solve(
        &mut self,
        batch: &Batch,
        members: &[u32],
        fee: f64,
        exit_rule: ExitRule,
        high_bounds: (f32, f32),
        low_bounds: (f32, f32),
        options: &ExactOptions,
    ) -> Result<Exact, Error> {
        check_group(batch, members, fee)?;
        let bounds = check_box(high_bounds, low_bounds)?;
        if options.max_bytes.is_some_and(|limit| self.bytes() > limit) {
            // From larger groups.
            *self = Self::new();
        }
        let (found, grid) = if legs_at_most(batch, members) < ZOOM_LEGS {
            let statistics = self.collect(batch, members, fee, exit_rule, &bounds, options)?;
            let grid = Grid::new(&statistics, fee);
            let base = Entered::default();
            let found = match exit_rule {
                ExitRule::AtClose => self.at_close(&grid, &bounds, &base, options)?,
                ExitRule::Intraday => {
                    let cap = work_cap(statistics.legs, options);
                    self.search_ranks(&grid, &bounds, &base, cap, &mut Best::none(), options)?
                }
            };
            (found, grid)
        } else {
            self.large(batch, members, fee, exit_rule, &bounds, options)?
        };
        let profit = grid.profit(found.value, members.len());
        Ok(Exact {
            multipliers: found.at,
            profit,
            upper_bound: grid.profit(found.upper_bound, members.len()),
            work: found.work,
        })
    }

    /// Takes in the legs that can be entered inside the box; returns the statistics of all.
    fn collect(
        &mut self,
        batch: &Batch,
        members: &[u32],
        fee: f64,
        exit_rule: ExitRule,
        bounds: &Box2,
        options: &ExactOptions,
    ) -> Result<Statistics, Error> {
        self.long.clear();
        self.short.clear();
        let [long, short] = fixed::count_sides(batch, members);
        // One more of each: see `Collect`.
        let bytes = (long + 1 + short + 1) * size_of::<Item>();
        reserve("the legs of a group", bytes, 0, options)?;
        for (legs, count) in [(&mut self.long, long), (&mut self.short, short)] {
            legs.try_reserve_exact(count + 1)
                .map_err(|_| Error::Memory {
                    what: "the legs of a group",
                    needed: bytes,
                    limit: None,
                })?;
        }
        Ok(self.arch.dispatch(Collect {
            batch,
            members,
            fee,
            exit_rule,
            bounds,
            counts: [long, short],
            legs: (&mut self.long, &mut self.short),
        }))
    }

    /// A group whose box is worth a zoom. Its legs are read from the batch: once for their
    /// statistics, once for the regions, and once per region for the legs that change in it.
    fn large(
        &mut self,
        batch: &Batch,
        members: &[u32],
        fee: f64,
        exit_rule: ExitRule,
        bounds: &Box2,
        options: &ExactOptions,
    ) -> Result<(Found, Grid), Error> {
        let arch = self.arch;
        let statistics = chunk::statistics(arch, Simulations::Members(batch, members), fee);
        let grid = Grid::new(&statistics, fee);
        let legs = statistics.legs as usize;
        self.long.clear();
        self.short.clear();
        let source = Source::Batch(batch, members, exit_rule);
        let base = Entered::default();
        let mut best = Best::none();
        let floor = &mut best.floor;
        let held = self.bytes() - self.zoom.bytes();
        reserve(
            "the zoom of a group",
            Zoom::bytes_needed(legs),
            held,
            options,
        )?;
        let regions = self
            .zoom
            .regions(arch, &source, legs, &grid, bounds, &base, floor);
        let whole = Region {
            bounds: *bounds,
            bound: f64::INFINITY,
        };
        let is_zoomed = regions.is_some();
        let mut regions = regions.unwrap_or(vec![whole]);
        if exit_rule == ExitRule::AtClose {
            // The axes do not interact: one box for both.
            let bounds = hull(&regions).unwrap_or(*bounds);
            regions = vec![Region { bounds, ..whole }];
        }
        let cap = work_cap(statistics.legs, options);
        let mut found = Found {
            value: i64::MIN,
            at: Multipliers::BASELINE,
            upper_bound: i64::MIN,
            work: 0,
        };
        for region in regions {
            if region.bound < best.floor {
                continue;
            }
            let Region { mut bounds, .. } = region;
            let mut base = Entered::default();
            self.take(source, &grid, &bounds, &mut base, options)?;
            if is_zoomed {
                let legs = (&mut self.long, &mut self.short);
                let floor = &mut best.floor;
                let zoom = &mut self.zoom;
                if !zoom.run(arch, legs, &grid, &mut bounds, &mut base, floor, ZOOM_LEGS) {
                    continue;
                }
            }
            if exit_rule == ExitRule::AtClose {
                return Ok((self.at_close(&grid, &bounds, &base, options)?, grid));
            }
            let cap = cap.saturating_sub(found.work);
            let part = self.search_ranks(&grid, &bounds, &base, cap, &mut best, options)?;
            found = Found {
                upper_bound: found.upper_bound.max(part.upper_bound),
                work: found.work + part.work,
                ..part
            };
        }
        Ok((found, grid))
    }

    /// Takes in the legs that change inside `bounds`, and adds those that do not to `base`.
    fn take(
        &mut self,
        source: Source<'_>,
        grid: &Grid,
        bounds: &Box2,
        base: &mut Entered,
        options: &ExactOptions,
    ) -> Result<(), Error> {
        /// What the legs of a group are called in an error.
        const WHAT: &str = "the legs of a group";
        self.long.clear();
        self.short.clear();
        let bytes = |counts: [usize; 2]| (counts[0] + counts[1]) * size_of::<Item>();
        if options.max_bytes.is_some() {
            // Their number first, to hold no more than they need.
            let base = &mut Entered::default();
            let counts = self.pass(source, grid, bounds, base, false).counts;
            let held = self.zoom.bytes() + self.ranks.bytes() + self.search.bytes();
            reserve(WHAT, bytes(counts), held, options)?;
            self.long.reserve_exact(counts[0]);
            self.short.reserve_exact(counts[1]);
        }
        let taken = self.pass(source, grid, bounds, base, true);
        if taken.stored {
            return Ok(());
        }
        Err(Error::Memory {
            what: WHAT,
            needed: bytes(taken.counts),
            limit: None,
        })
    }

    fn pass(
        &mut self,
        source: Source<'_>,
        grid: &Grid,
        bounds: &Box2,
        base: &mut Entered,
        store: bool,
    ) -> chunk::Taken {
        self.arch.dispatch(chunk::Take {
            source,
            grid,
            bounds,
            base,
            long: &mut self.long,
            short: &mut self.short,
            store,
        })
    }

    /// The best pair of a region in rank form, in units.
    fn search_ranks(
        &mut self,
        grid: &Grid,
        bounds: &Box2,
        base: &Entered,
        cap: u64,
        best: &mut Best,
        options: &ExactOptions,
    ) -> Result<Found, Error> {
        self.reserve_ranks(options)?;
        self.ranks.build(
            self.arch,
            &self.long,
            &self.short,
            base,
            grid,
            bounds,
            Corner::Greatest,
        );
        let left = options
            .max_bytes
            .map(|limit| limit.saturating_sub(self.bytes() - self.search.bytes()));
        self.search.max_bytes = left.unwrap_or(usize::MAX);
        let mut searched = self
            .search
            .run(self.arch, &self.ranks, grid, bounds, cap, best);
        if searched.open.is_some() && (options.on_cap == OnCap::Prove || best.value == i64::MIN) {
            let bytes = kinetic::bytes_needed(&self.ranks);
            self.search.clear();
            reserve("the kinetic tree of a group", bytes, self.bytes(), options)?;
            let more = kinetic::run(&self.ranks, grid, bounds, cap.max(1_000_000), best);
            searched.open = more.open;
            searched.work += more.work;
        }
        Ok(Found {
            value: best.value,
            at: best.at,
            upper_bound: searched.bound(best.value),
            work: searched.work,
        })
    }

    /// Refuses rank forms that are too large.
    fn reserve_ranks(&self, options: &ExactOptions) -> Result<(), Error> {
        let legs = self.long.len() + self.short.len();
        check_ranks(legs)?;
        let bytes = Ranks::bytes_needed(legs);
        // What is held of it already is not needed again.
        let held = self.bytes() - self.ranks.bytes();
        reserve("the rank form of a group", bytes, held, options)
    }

    /// The legs hold no coupling: the best h and the best l, each on its own.
    fn at_close(
        &mut self,
        grid: &Grid,
        bounds: &Box2,
        base: &Entered,
        options: &ExactOptions,
    ) -> Result<Found, Error> {
        self.reserve_ranks(options)?;
        let ranks = &mut self.ranks;
        ranks.build(
            self.arch,
            &self.long,
            &self.short,
            base,
            grid,
            bounds,
            Corner::Greatest,
        );
        let (columns, rows) = ranks.shape();
        let flat_in_high = |j: usize| ranks.x_slope[j] == 0.0;
        let flat_in_low = |k: usize| ranks.y_slope[k] == 0.0;
        let mut high = Best::none();
        for j in 0..columns {
            let sums = fixed::Sums {
                a: ranks.x_slope[j],
                b: 0.0,
                c: ranks.x_constant[j],
            };
            let value = grid.value(&sums, grid.factor(ranks.x[j]), grid.factor(0.0));
            let at = nearest_in_cell(ranks, bounds, (j, 0), flat_in_high(j), false);
            high.offer(value, Multipliers::new(at.high, 0.0));
        }
        let mut low = Best::none();
        for k in 0..rows {
            let sums = fixed::Sums {
                a: 0.0,
                b: ranks.y_slope[k],
                c: ranks.y_constant[k],
            };
            let value = grid.value(&sums, grid.factor(0.0), grid.factor(ranks.y[k]));
            let at = nearest_in_cell(ranks, bounds, (0, k), false, flat_in_low(k));
            low.offer(value, Multipliers::new(0.0, at.low));
        }
        let value = high.value + low.value;
        Ok(Found {
            value,
            at: Multipliers::new(high.at.high, low.at.low),
            upper_bound: value,
            work: (columns + rows) as u64,
        })
    }
}

/// The pass over the bars of a group: statistics of all legs, and those that can be entered inside
/// the box. Not a closure: that would not be taken into the function that has the wide
/// instructions.
struct Collect<'a> {
    batch: &'a Batch,
    members: &'a [u32],
    fee: f64,
    exit_rule: ExitRule,
    bounds: &'a Box2,
    /// Number of long and of short legs.
    counts: [usize; 2],
    /// Long and short, both empty.
    legs: (&'a mut Vec<Item>, &'a mut Vec<Item>),
}

impl WithSimd for Collect<'_> {
    type Output = Statistics;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Statistics {
        let mut statistics = Statistics::default();
        let (long, short) = self.legs;
        // Every leg is written to the end of both and counted in one: the side of a leg is as good
        // as random.
        long.resize(self.counts[0] + 1, Item::default());
        short.resize(self.counts[1] + 1, Item::default());
        let (mut longs, mut shorts) = (0, 0);
        let at_close = self.exit_rule == ExitRule::AtClose;
        for_each_leg(simd, self.batch, self.members, |bar, position, item| {
            if position == 0.0 {
                return;
            }
            statistics.add(bar, item.weight, self.fee);
            let (mut as_long, mut as_short) = (item, item);
            if at_close {
                // Takes no profit at the level.
                as_long.high_gate = f32::NEG_INFINITY;
                as_short.low_gate = f32::INFINITY;
            }
            long[longs] = as_long;
            longs += usize::from((position > 0.0) & self.bounds.reaches_long(&item));
            short[shorts] = as_short;
            shorts += usize::from((position < 0.0) & self.bounds.reaches_short(&item));
        });
        long.truncate(longs);
        short.truncate(shorts);
        statistics
    }
}

/// Checks that so many legs can be ranked.
fn check_ranks(legs: usize) -> Result<(), Error> {
    if legs <= MAX_LEGS {
        return Ok(());
    }
    Err(Error::BatchTooLarge {
        bars: legs,
        limit: MAX_LEGS,
    })
}

/// Checks that `bytes` can be had beside `held`.
fn reserve(
    what: &'static str,
    bytes: usize,
    held: usize,
    options: &ExactOptions,
) -> Result<(), Error> {
    /// Below this there is nothing to ask the machine.
    const SMALL: usize = 1 << 26;
    let needed = bytes.saturating_add(held);
    if let Some(limit) = options.max_bytes.filter(|&limit| needed > limit) {
        return Err(Error::Memory {
            what,
            needed,
            limit: Some(limit),
        });
    }
    if bytes > SMALL && Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
        return Err(Error::Memory {
            what,
            needed,
            limit: None,
        });
    }
    Ok(())
}

/// A result in units.
struct Found {
    value: i64,
    at: Multipliers,
    upper_bound: i64,
    work: u64,
}

/// Number of legs of some simulations, if no position were 0.
fn legs_at_most(batch: &Batch, members: &[u32]) -> usize {
    let simulations = members.iter().filter_map(|&s| batch.simulation(s as usize));
    simulations
        .map(|simulation| match simulation.weights {
            Weights::AlwaysOn { sell: Some(_), .. } => 2 * simulation.bars(),
            _ => simulation.bars(),
        })
        .sum()
}

/// Most work of the branch and bound for so many legs.
fn work_cap(legs: u64, options: &ExactOptions) -> u64 {
    options.work_cap.unwrap_or(64 * legs + 1_000_000)
}

pub(crate) fn check_group(batch: &Batch, members: &[u32], fee: f64) -> Result<(), Error> {
    if !(0.0..1.0).contains(&fee) {
        let expected = "a fraction within [0, 1), such as EQUITY_FEE";
        return Err(Error::option("fee", fee, expected));
    }
    if members.is_empty() {
        let expected = "at least one simulation";
        return Err(Error::option("members", "[]", expected));
    }
    match members.iter().find(|&&s| s as usize >= batch.len()) {
        Some(&s) => Err(Error::option(
            "members",
            s,
            "indices of simulations of the batch",
        )),
        None => Ok(()),
    }
}

fn check_box(high: (f32, f32), low: (f32, f32)) -> Result<Box2, Error> {
    for (name, (least, greatest)) in [("high_bounds", high), ("low_bounds", low)] {
        let within = |x: f32| f64::from(x.abs()) <= MAX_MOVE;
        if !(within(least) && within(greatest) && least <= greatest) {
            return Err(Error::option(
                name,
                format!("[{least}, {greatest}]"),
                "two numbers within ±1e6, the least first",
            ));
        }
    }
    // No -0.0: keys of equal ends are equal.
    Ok(Box2 {
        high: (high.0 + 0.0, high.1 + 0.0),
        low: (low.0 + 0.0, low.1 + 0.0),
    })
}
