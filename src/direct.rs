//! DIRECT (DIviding RECTangles): global search of a box without derivatives, as ask/tell.
//!
//! The box is one rectangle at first, evaluated at its centre. Every iteration picks the
//! rectangles that could hold the best improvement (large, or low in value, or both) and cuts
//! each into three along its longest sides; the new centres are the new points.
//!
//! Data: rectangle `r` is the `r`-th evaluation. Its centre in the unit cube is row `r` of
//! `centres` (rectangles, dim); `depths` has the same shape and counts how often each side was
//! cut, so a side is `3^-depth`, and the depths of one rectangle differ by at most 1. Values
//! and order within a size class are in [`classes`]. Centres are accumulated (parent plus or
//! minus a third of the side) and never recomputed from digits: two programs that agree on this
//! agree on every bit.
//!
//! Rounds: the rectangles of an iteration are chosen before any of them is cut and a cut reads
//! its own rectangle only, so all points of an iteration are asked at once and the bookkeeping
//! is replayed in order when their values are told. A round is planned as soon as the one
//! before is told; its centres are behind the evaluated ones until then.
//!
//! Sources: Jones, Perttunen and Stuckman, "Lipschitzian optimization without the Lipschitz
//! constant", JOTA 79 (1993); Gablonsky and Kelley, "A locally-biased form of the DIRECT
//! algorithm", J. Global Optim. 21 (2001); Jones, "The DIRECT global optimization algorithm",
//! Encyclopedia of Optimization (2001); Baker and Watson's aggressive variant (2000). Tie
//! breaking is that of Gablonsky's program DIRECT 2.0.4, from which scipy's and NLopt's descend.

mod classes;
mod options;
#[cfg(feature = "cuda")]
mod outline;
mod plan;
mod replay;
mod select;
#[cfg(feature = "serde")]
mod snapshot;

use crate::Error;
use classes::Classes;
pub use options::{Bounds, DirectOptions, Division, Selection, SizeMeasure, StopReason, Target};
#[cfg(feature = "cuda")]
pub(crate) use outline::Outline;
use select::Candidate;

/// Depths with a side that is not 0: `3^646` is infinite in f64.
const SIDES: usize = 646;

/// `3^-depth`, computed as in Gablonsky's program: the power by repeated multiplication
/// (exact up to 3^33), then one division.
static THIRD: [f64; SIDES] = {
    let mut table = [1.0; SIDES];
    let mut power = 1.0;
    let mut depth = 1;
    while depth < SIDES {
        power *= 3.0;
        table[depth] = 1.0 / power;
        depth += 1;
    }
    table
};

/// Largest list of candidates in Gablonsky's program.
const SCIPY_MAX_DIVISIONS: usize = 5000;

/// Values that differ by at most this tie in the original DIRECT.
const TIE: f64 = 1e-13;

/// Classes that a selection handles on the stack. The tolerances leave 14 classes in the plane
/// (28 by diagonal).
const FEW_CLASSES: usize = 32;

/// Sides that a division handles on the stack.
const FEW_SIDES: usize = 8;

/// Largest depth of a side under `ScipyCompat`, whose own table may be longer.
const MAX_DEPTH: usize = u16::MAX as usize;

/// Best point so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best<'a> {
    /// The point, exactly as it was evaluated; `(dim)`, box coordinates.
    pub x: &'a [f64],
    /// Its value.
    pub value: f64,
    /// Number of its evaluation, counted from 0.
    pub evaluation: usize,
}

/// A DIRECT search that minimises.
///
/// The caller evaluates: [`ask`](Direct::ask) gives all points of a round, [`tell`](Direct::tell)
/// takes their values, until `ask` gives none. The same values lead to the same points, bit for
/// bit, on every machine, however the search was interrupted, cloned, or written down between
/// rounds (feature `serde`).
///
/// A value that is NaN or infinite marks an infeasible point: it never becomes the best, and the
/// box around it goes on being searched, as if it had the worst value seen so far.
///
/// The budget is a hard cap: the first rectangle, in the order of selection (sizes descending),
/// whose division does not fit into what is left ends the iteration, and the search once the
/// rest of that round is told. If not even the first division fits, only the centre is evaluated.
/// [`Selection::ScipyCompat`] keeps scipy's rules instead.
///
/// Bookkeeping, measured by `benches/direct.rs` on one core of a 2023 Xeon in the plane: about
/// 80 to 100 ns per evaluation with 1000 searches of 500 evaluations that take turns, 23 KiB of
/// heap each; 70 to 100 ns in one search of 10,000 to 100,000 evaluations. An iteration costs
/// O(classes + evaluations of the iteration * log) and allocates nothing once the store has
/// grown.
///
/// ```
/// use trisect::{Bounds, Direct, DirectOptions, StopReason};
///
/// let bounds = Bounds::symmetric(2, 1.0)?;
/// let mut search = Direct::new(bounds, DirectOptions::production())?;
/// while search.stop().is_none() {
///     let values: Vec<f64> = search
///         .ask()
///         .chunks(2)
///         .map(|x| (x[0] - 0.3).powi(2) + (x[1] + 0.1).powi(2))
///         .collect();
///     search.tell(&values)?;
/// }
/// assert_eq!(search.stop(), Some(StopReason::SideLength));
/// let best = search.best().unwrap();
/// assert!((best.x[0] - 0.3).abs() < 1e-5 && (best.x[1] + 0.1).abs() < 1e-5);
/// # Ok::<(), trisect::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Direct {
    bounds: Bounds,
    options: DirectOptions,
    /// Present under `ScipyCompat`.
    scipy: Option<Scipy>,
    /// `eps` as it stands, see [`DirectOptions::eps`].
    eps: f64,
    /// Number of the iteration that is planned or was the last; the first division is 1.
    iteration: usize,
    stop: Option<StopReason>,
    /// Ends the search when the planned round is told.
    ending: Option<StopReason>,
    /// Rectangle whose neighbourhood the stop tests look at.
    best: Option<u32>,
    /// `(dim)`, as evaluated.
    best_x: Vec<f64>,
    /// Largest finite value, 0 as long as there is none.
    worst: Option<f64>,
    /// `(rectangles, dim)`, those of the planned round included.
    centres: Vec<f64>,
    /// `(rectangles, dim)`.
    depths: Vec<u16>,
    classes: Classes,
    /// Rectangles that the planned round divides, in order.
    round: Vec<u32>,
    /// Axes cut, one per rectangle of the round; only with `OneLongest`.
    round_axes: Vec<u32>,
    /// Cuts per axis, `(dim)`; only with `OneLongest`.
    cuts: Vec<u32>,
    /// Asked points, `(points, dim)`, box coordinates.
    points: Vec<f64>,
    /// Scratch of a selection among more than [`FEW_CLASSES`].
    candidates: Vec<Candidate>,
    /// Scratch of a division along more than [`FEW_SIDES`].
    ranking: Vec<Side>,
    /// One of many that take turns: by its next turn its memory has left the cache.
    takes_turns: bool,
}

/// Any number of axes: what functions that take it as a constant are told where it is none.
const ANY: usize = 0;

/// One side of a rectangle that is being divided.
#[derive(Debug, Clone, Copy)]
struct Side {
    /// Better value of the pair.
    value: f64,
    axis: u32,
    /// Number of the pair, in order of the axes.
    pair: u32,
    /// Class of the pair whose number is this side's place in the ranking.
    level: u32,
}

impl Side {
    const EMPTY: Self = Self {
        value: 0.0,
        axis: 0,
        pair: 0,
        level: 0,
    };
}

/// What only scipy's rules need.
#[derive(Debug, Clone, Copy)]
struct Scipy {
    /// Rectangles that fit into the store; one slot of it is never usable.
    capacity: usize,
    /// The search stops at the end of an iteration with more evaluations than this.
    budget: usize,
    /// Number of levels in the tables.
    levels: usize,
    /// scipy's `minf`: may be NaN or infinite.
    value: f64,
    /// scipy's `minpos`.
    rect: u32,
}

impl Direct {
    /// A search that has evaluated nothing yet. Allocates for the first round only; the store
    /// grows with the evaluations, up to `max_evaluations`.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], see [`DirectOptions::check`].
    pub fn new(bounds: Bounds, options: DirectOptions) -> Result<Self, Error> {
        options.check()?;
        let dim = bounds.dim();
        let mut search = Self {
            scipy: (options.selection == Selection::ScipyCompat).then(|| Scipy::new(dim, &options)),
            eps: options.eps.abs(),
            iteration: 1,
            stop: None,
            ending: None,
            best: None,
            best_x: vec![0.0; dim],
            worst: None,
            centres: Vec::new(),
            depths: Vec::new(),
            classes: Classes::default(),
            round: Vec::new(),
            round_axes: Vec::new(),
            cuts: match options.division {
                Division::AllLongest => Vec::new(),
                Division::OneLongest => vec![0; dim],
            },
            points: Vec::new(),
            candidates: Vec::new(),
            ranking: Vec::new(),
            takes_turns: true,
            bounds,
            options,
        };
        search.plan_first();
        Ok(search)
    }

    /// Goes back to the beginning and keeps the memory: for many searches in a row.
    pub fn restart(&mut self) {
        let (dim, options) = (self.dim(), &self.options);
        let compat = options.selection == Selection::ScipyCompat;
        self.scipy = compat.then(|| Scipy::new(dim, options));
        self.eps = options.eps.abs();
        self.iteration = 1;
        self.stop = None;
        self.ending = None;
        self.best = None;
        self.best_x.fill(0.0);
        self.worst = None;
        self.centres.clear();
        self.depths.clear();
        self.classes.clear();
        self.round.clear();
        self.round_axes.clear();
        self.cuts.fill(0);
        self.points.clear();
        self.candidates.clear();
        self.ranking.clear();
        self.takes_turns = false;
        self.plan_first();
    }

    /// All points of the round, `(points, dim)`, row-major, in box coordinates; empty when the
    /// search has stopped. The same points until their values are told.
    ///
    /// The first round is the centre and the points of the first division (`2 * dim` of them).
    pub fn ask(&self) -> &[f64] {
        &self.points
    }

    /// Takes the values of the asked points, in their order, and plans the next round. NaN and
    /// infinite values mark infeasible points.
    ///
    /// # Errors
    /// [`Error::ValueCount`] if there is not one value per asked point; nothing changes then.
    pub fn tell(&mut self, values: &[f64]) -> Result<(), Error> {
        let expected = self.points.len() / self.dim();
        if values.len() != expected {
            return Err(Error::ValueCount {
                expected,
                got: values.len(),
            });
        }
        if self.stop.is_none() {
            // PERF: the usual number of axes as a constant.
            match self.dim() {
                2 => self.replay::<2>(values),
                _ => self.replay::<ANY>(values),
            }
        }
        Ok(())
    }

    /// Why the search has ended; `None` while it goes on. Known as soon as the last round is
    /// told.
    pub fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// Ends the search; the round that was asked is forgotten. For reasons the search cannot
    /// see, the clock and the observer. Does nothing if the search has ended already.
    pub fn stop_now(&mut self, reason: StopReason) {
        if self.stop.is_none() {
            self.iteration -= 1;
            self.finish(reason);
        }
    }

    /// The best feasible point so far; the earliest of equals.
    pub fn best(&self) -> Option<Best<'_>> {
        self.best.map(|rect| Best {
            x: &self.best_x,
            value: self.classes.value(rect),
            evaluation: rect as usize,
        })
    }

    /// Number of values told.
    pub fn evaluations(&self) -> usize {
        self.classes.len()
    }

    /// Iterations, counted as scipy counts them (`nit`): the first division is one, and a search
    /// stopped by [`StopReason::Iterations`] counts the iteration it did not make.
    pub fn iterations(&self) -> usize {
        match self.stop {
            Some(_) => self.iteration,
            None => self.iteration - 1,
        }
    }

    /// Number of axes.
    pub fn dim(&self) -> usize {
        self.bounds.dim()
    }

    /// The box.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Rules and limits, as given.
    pub fn options(&self) -> &DirectOptions {
        &self.options
    }

    /// Heap memory held, in bytes.
    pub fn bytes(&self) -> usize {
        self.bounds.bytes()
            + self.classes.bytes()
            + size_of::<f64>()
                * (self.best_x.capacity() + self.centres.capacity() + self.points.capacity())
            + size_of::<u16>() * self.depths.capacity()
            + size_of::<u32>()
                * (self.round.capacity() + self.round_axes.capacity() + self.cuts.capacity())
            + size_of::<Candidate>() * self.candidates.capacity()
            + size_of::<Side>() * self.ranking.capacity()
    }
}

impl Scipy {
    fn new(dim: usize, options: &DirectOptions) -> Self {
        let wanted = options.max_evaluations + 1000 + options.max_evaluations / 2;
        let slots = wanted.min((1 << 30) / (12 * dim + 20));
        Self {
            capacity: slots - 1,
            budget: 2 * (slots - 1000) / 3,
            levels: match options.max_iterations {
                Some(iterations) => iterations.saturating_add(1000),
                None => slots / 5,
            }
            .min(MAX_DEPTH),
            value: 0.0,
            rect: 0,
        }
    }
}

/// Geometry of one rectangle.
impl Direct {
    /// Least depth of a rectangle's sides, and how many sides have it.
    #[inline]
    fn sides<const DIM: usize>(&self, rect: u32) -> (u16, usize) {
        let dim = self.axes::<DIM>();
        let row = rect as usize * dim;
        let depths = &self.depths[row..row + dim];
        let depth = depths.iter().copied().min().unwrap_or(0);
        (depth, depths.iter().filter(|&&d| d == depth).count())
    }

    #[inline]
    fn level<const DIM: usize>(&self, rect: u32) -> usize {
        let (depth, longest) = self.sides::<DIM>(rect);
        self.level_of::<DIM>(depth, longest)
    }

    #[inline]
    fn level_of<const DIM: usize>(&self, depth: u16, longest: usize) -> usize {
        let half_diagonal = self.options.size_measure == SizeMeasure::HalfDiagonal;
        level_of(half_diagonal, self.axes::<DIM>(), depth, longest)
    }

    /// Number of axes, where `DIM` is that or [`ANY`].
    #[inline]
    fn axes<const DIM: usize>(&self) -> usize {
        if DIM == ANY { self.dim() } else { DIM }
    }
}

/// Size class of a rectangle with `longest` sides of `depth`, the others cut once more.
#[inline]
fn level_of(half_diagonal: bool, dim: usize, depth: u16, longest: usize) -> usize {
    let depth = usize::from(depth);
    if half_diagonal {
        depth * dim + dim - longest
    } else {
        depth + usize::from(longest == 0)
    }
}

/// Unit cube to box on one axis.
#[inline]
fn place(bounds: &Bounds, unclamped: bool, axis: usize, c: f64) -> f64 {
    if unclamped {
        bounds.scale(axis, c)
    } else {
        bounds.scale_inside(axis, c)
    }
}

/// `3^-depth`.
#[inline]
fn third(depth: usize) -> f64 {
    THIRD.get(depth).copied().unwrap_or(0.0)
}

/// Half of the diagonal at a level: `level % dim` sides are cut once more than the others.
/// Computed as in Gablonsky's program.
fn half_diagonal_of(dim: usize, level: usize) -> f64 {
    let (depth, cut) = (level / dim, level % dim);
    let width = 0.5 * ((dim - cut) as f64 + cut as f64 / 9.0).sqrt();
    let mut power = 1.0;
    for _ in 0..depth.min(SIDES) {
        power *= 3.0;
    }
    width / power
}

/// Room for `extra` more elements, but not beyond `limit` unless needed. The searches of a batch
/// live at the same time, so what a `Vec` would overshoot adds up.
#[inline]
fn grow<T>(vec: &mut Vec<T>, extra: usize, limit: usize) {
    let needed = vec.len() + extra;
    let capacity = vec.capacity();
    if needed > capacity {
        // Few reallocations where they are most of the work, little excess where they are not.
        let wanted = if capacity < 1024 {
            (4 * capacity).max(64)
        } else {
            2 * capacity
        };
        vec.reserve_exact(wanted.min(limit).max(needed) - vec.len());
    }
}

/// `len` elements: on the caller's stack if they fit, else in a `Vec` that keeps its memory.
/// PERF: scratch of its own would be a few cache misses per search and round.
#[inline]
fn scratch<'a, T: Copy, const N: usize>(
    few: &'a mut [T; N],
    many: &'a mut Vec<T>,
    len: usize,
    fill: T,
) -> &'a mut [T] {
    if len <= N {
        &mut few[..len]
    } else {
        many.clear();
        many.resize(len, fill);
        many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small enough for an interpreter that checks every access.
    #[test]
    fn small_searches_keep_their_promises_under_every_rule() {
        let objectives: [fn(f64, f64) -> f64; 4] = [
            |x, y| (x - 0.3) * (x - 0.3) + y * y,
            |_, _| 1.0,
            |x, y| ((4.0 * x).floor() - y).abs(),
            |x, y| if x > y { f64::NAN } else { x },
        ];
        let selections = [
            Selection::ConvexHull,
            Selection::ScipyCompat,
            Selection::Aggressive,
        ];
        let mut searches = 0;
        for selection in selections {
            for size_measure in [SizeMeasure::LongestSide, SizeMeasure::HalfDiagonal] {
                for division in [Division::AllLongest, Division::OneLongest] {
                    if selection == Selection::ScipyCompat && division == Division::OneLongest {
                        continue;
                    }
                    let options = DirectOptions {
                        selection,
                        size_measure,
                        division,
                        max_evaluations: 41,
                        ..DirectOptions::production()
                    };
                    let bounds = Bounds::symmetric(2, 1.0).unwrap();
                    let mut search = Direct::new(bounds, options).unwrap();
                    for objective in objectives {
                        search.restart();
                        let mut lowest = f64::INFINITY;
                        while search.stop().is_none() {
                            let points = search.ask().chunks(2);
                            let values: Vec<f64> = points.map(|x| objective(x[0], x[1])).collect();
                            lowest = values.iter().copied().fold(lowest, f64::min);
                            search.tell(&values).unwrap();
                        }
                        let best = search.best().unwrap();
                        assert_eq!(best.value, lowest);
                        assert_eq!(objective(best.x[0], best.x[1]), lowest);
                        let hard = selection != Selection::ScipyCompat;
                        assert!(!hard || search.evaluations() <= 41);
                        searches += 1;
                    }
                }
            }
        }
        assert_eq!(searches, 40);
    }
}
