//! What a search is given (box, rules, limits) and why it ends.

use std::fmt;

use crate::Error;

/// One axis of the box, with the two numbers that scale it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    low: f64,
    high: f64,
    /// `high - low`.
    range: f64,
    /// `low / range`: a centre `c` in 0..1 stands for `(c + offset) * range`.
    offset: f64,
}

/// The box that is searched: one closed interval per axis.
///
/// A position `c` in the unit cube stands for `(c + low / range) * range` per axis, with
/// `range = high - low`, in f64 and in this order of operations: the formula of Gablonsky's
/// program, so that coordinates agree with `scipy.optimize.direct` to the last bit.
///
/// ```
/// use trisect::Bounds;
///
/// let bounds = Bounds::new(&[(-0.03, 0.03), (0.0, 2.0)])?;
/// assert_eq!(bounds.dim(), 2);
/// assert_eq!(bounds.high(1), Some(2.0));
/// assert!(Bounds::new(&[(0.0, f64::NAN)]).is_err());
/// # Ok::<(), trisect::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    axes: Box<[Axis]>,
}

impl Bounds {
    /// Largest number of axes. DIRECT is of little use beyond about 20; the first round of a
    /// search holds `2 * dim + 1` points of `dim` numbers, 16 MiB at this limit.
    pub const MAX_DIM: usize = 1024;

    /// A box from `(low, high)` per axis.
    ///
    /// # Errors
    /// * [`Error::Bounds`] for the first axis that is not `low < high` with both ends and
    ///   `high - low` finite
    /// * [`Error::InvalidOption`] for no axis or more than [`Bounds::MAX_DIM`]
    pub fn new(intervals: &[(f64, f64)]) -> Result<Self, Error> {
        if intervals.is_empty() || intervals.len() > Self::MAX_DIM {
            return Err(Error::option(
                "Bounds: number of axes",
                intervals.len(),
                "1 to 1024",
            ));
        }
        let axes = intervals
            .iter()
            .enumerate()
            .map(|(axis, &(low, high))| {
                let range = high - low;
                if low.is_finite() && high.is_finite() && low < high && range.is_finite() {
                    Ok(Axis {
                        low,
                        high,
                        range,
                        offset: low / range,
                    })
                } else {
                    Err(Error::Bounds { axis, low, high })
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { axes })
    }

    /// The same interval `low..=high` on each of `dim` axes.
    ///
    /// # Errors
    /// As [`Bounds::new`].
    pub fn cube(dim: usize, low: f64, high: f64) -> Result<Self, Error> {
        if dim > Self::MAX_DIM {
            return Err(Error::option("Bounds: number of axes", dim, "1 to 1024"));
        }
        Self::new(&vec![(low, high); dim])
    }

    /// `-half_width..=half_width` on each of `dim` axes.
    ///
    /// # Errors
    /// As [`Bounds::new`].
    pub fn symmetric(dim: usize, half_width: f64) -> Result<Self, Error> {
        Self::cube(dim, -half_width, half_width)
    }

    /// Number of axes.
    pub fn dim(&self) -> usize {
        self.axes.len()
    }

    /// Lower end of an axis; `None` when there is no such axis.
    pub fn low(&self, axis: usize) -> Option<f64> {
        self.axes.get(axis).map(|a| a.low)
    }

    /// Upper end of an axis; `None` when there is no such axis.
    pub fn high(&self, axis: usize) -> Option<f64> {
        self.axes.get(axis).map(|a| a.high)
    }

    /// `(low, high)` of every axis in order.
    pub fn intervals(&self) -> impl ExactSizeIterator<Item = (f64, f64)> + '_ {
        self.axes.iter().map(|a| (a.low, a.high))
    }

    /// Unit cube to box on one axis, exactly as Gablonsky's program: a rounding may leave the
    /// box by an ulp.
    #[inline]
    pub(super) fn scale(&self, axis: usize, c: f64) -> f64 {
        let a = &self.axes[axis];
        (c + a.offset) * a.range
    }

    /// [`Bounds::scale`], then clamped into the box.
    #[inline]
    pub(crate) fn scale_inside(&self, axis: usize, c: f64) -> f64 {
        let a = &self.axes[axis];
        ((c + a.offset) * a.range).max(a.low).min(a.high)
    }

    /// `(low, high, range, offset)` of an axis, see [`Bounds`].
    #[cfg(feature = "cuda")]
    pub(super) fn numbers(&self, axis: usize) -> [f64; 4] {
        let a = &self.axes[axis];
        [a.low, a.high, a.range, a.offset]
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.axes)
    }
}

/// Which rectangles an iteration divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Selection {
    /// The potentially optimal rectangles: the lower right convex hull of (size, value) that
    /// also passes the `eps` test (Jones, Perttunen and Stuckman 1993).
    #[default]
    ConvexHull,
    /// Bit for bit what `scipy.optimize.direct` 1.9 to 1.17 does, its defect included: a
    /// rectangle that fails the hull test is kept and skips the `eps` test.
    ///
    /// The defect came with a log statement that was commented out (`DIRsubrout.c`,
    /// `dirchoose`). It mostly costs evaluations: 0.01 % of Shekel-5's optimum takes 1089
    /// instead of 155 (original DIRECT). It is not always bad, though: with 500 evaluations on
    /// 2-D Rastrigin, both axes -5.12 to 5.62, original DIRECT with it reaches 4.2e-5 where the
    /// textbook rule has 0.995.
    ///
    /// This selection also takes over the rest of that program: the budget is tested at the
    /// end of an iteration only, slots and levels run out ([`StopReason::Slots`],
    /// [`StopReason::Levels`]), coordinates are not clamped, and NaN or infinite values steer
    /// the search as they do there (the best point reported is still a feasible one).
    ScipyCompat,
    /// The best rectangle of every size, without any test (the "aggressive" DIRECT of Baker
    /// and Watson 2000): more points per round, for machines with many cores.
    Aggressive,
}

/// What the size of a rectangle is. A *size class* holds the rectangles of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum SizeMeasure {
    /// The longest side, and one rectangle per class and iteration: DIRECT-L, biased to local
    /// search (Gablonsky and Kelley 2001).
    #[default]
    LongestSide,
    /// Half of the diagonal: the original DIRECT (Jones, Perttunen and Stuckman 1993).
    /// Rectangles that tie with their class's best within 1e-13 (absolute) are divided with it,
    /// except under [`Selection::Aggressive`], which takes one per class.
    HalfDiagonal,
}

/// Which sides a division cuts into three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Division {
    /// Every longest side, the side with the best new value first, so that the best values get
    /// the largest rectangles (1993).
    #[default]
    AllLongest,
    /// One longest side (Jones 2001): of the longest, the axis that this search has cut least
    /// often so far; of these, the first.
    OneLongest,
}

/// A known or wanted value: the search stops when it is close enough.
///
/// Tested at the end of an iteration:
/// `(best - value) / (|value| or 1 if value is 0) <= relative_tolerance`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Target {
    /// Value to reach, in units of the objective.
    pub value: f64,
    /// Fraction of `|value|` by which it may be missed; 0 asks for `best <= value`.
    pub relative_tolerance: f64,
}

/// Rules and limits of a search. [`Direct::new`](super::Direct::new) checks them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DirectOptions {
    /// Which rectangles an iteration divides.
    pub selection: Selection,
    /// What the size of a rectangle is.
    pub size_measure: SizeMeasure,
    /// Which sides a division cuts.
    pub division: Division,
    /// Least improvement a rectangle must promise, as a fraction of `|best|`; finite. Higher is
    /// more global. A negative value asks for Gablonsky's update: after each iteration it
    /// becomes `max(1e-4 * |best|, |eps|)`.
    pub eps: f64,
    /// Number of evaluations, 1 to [`DirectOptions::MAX_EVALUATIONS`]. Never exceeded, except
    /// under [`Selection::ScipyCompat`], which looks at it at the end of an iteration only.
    pub max_evaluations: usize,
    /// Iterations, counted as scipy counts them: the first division is number 1, and the search
    /// stops when number `max_iterations` is due, but not before the first division.
    /// At least 1; `None` for no limit.
    pub max_iterations: Option<usize>,
    /// Stops when the best rectangle's share of the volume is at most this; 0 to 1, 0 is off.
    pub volume_tolerance: f64,
    /// Stops when the size of the best rectangle is at most this: its longest side or half
    /// its diagonal, in the unit cube; 0 to 1, 0 is off.
    pub side_tolerance: f64,
    /// Stops when this value is reached.
    pub target: Option<Target>,
}

impl DirectOptions {
    /// Largest `max_evaluations`: 2^30. Rectangles have 32-bit numbers and ages.
    pub const MAX_EVALUATIONS: usize = 1 << 30;

    /// The defaults: 500 evaluations.
    pub const fn production() -> Self {
        Self {
            selection: Selection::ConvexHull,
            size_measure: SizeMeasure::LongestSide,
            division: Division::AllLongest,
            eps: 1e-4,
            max_evaluations: 500,
            max_iterations: None,
            volume_tolerance: 1e-16,
            side_tolerance: 1e-6,
            target: None,
        }
    }

    /// The defaults with 100 evaluations.
    pub const fn fast() -> Self {
        Self {
            max_evaluations: 100,
            ..Self::production()
        }
    }

    /// Whether every field is in its documented range.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for the first field that is not.
    pub fn check(&self) -> Result<(), Error> {
        if !self.eps.is_finite() {
            return Err(Error::option("eps", self.eps, "a finite number"));
        }
        if !(1..=Self::MAX_EVALUATIONS).contains(&self.max_evaluations) {
            return Err(Error::option(
                "max_evaluations",
                self.max_evaluations,
                "1 to 2^30 (1073741824)",
            ));
        }
        if self.max_iterations == Some(0) {
            return Err(Error::option(
                "max_iterations",
                0,
                "at least 1, or None for no limit",
            ));
        }
        for (name, value) in [
            ("volume_tolerance", self.volume_tolerance),
            ("side_tolerance", self.side_tolerance),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::option(name, value, "0 to 1 (0 is off)"));
            }
        }
        if let Some(target) = self.target {
            if !target.value.is_finite() {
                return Err(Error::option(
                    "target.value",
                    target.value,
                    "a finite number",
                ));
            }
            let tolerance = target.relative_tolerance;
            if !(0.0..f64::INFINITY).contains(&tolerance) {
                return Err(Error::option(
                    "target.relative_tolerance",
                    tolerance,
                    "finite and at least 0",
                ));
            }
        }
        Ok(())
    }
}

impl Default for DirectOptions {
    fn default() -> Self {
        Self::production()
    }
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum StopReason {
    /// `max_evaluations` is used up, or DIRECT's next division does not fit into it any more.
    Evaluations,
    /// `max_iterations` is reached.
    Iterations,
    /// The best rectangle's volume is at most `volume_tolerance`.
    Volume,
    /// The best rectangle's size is at most `side_tolerance`.
    SideLength,
    /// The target value is reached.
    Target,
    /// The driver's clock ran out.
    TimeLimit,
    /// Every rectangle is so small that its new points would round to its centre.
    NoProgress,
    /// The observer cancelled.
    Cancelled,
    /// The method has done all there is to do: a grid has scored all its pairs, the exact optimum
    /// is proved.
    Complete,
    /// The exact method reached its cap of work; its upper bound is proved, its result is not.
    WorkCap,
    /// [`Selection::ScipyCompat`] only: scipy's store of rectangles is full (status -4).
    Slots,
    /// [`Selection::ScipyCompat`] only: scipy's table of levels or its list of candidates is
    /// full (status -6).
    Levels,
    /// Differential evolution only: the values of the population agree within the tolerances.
    Converged,
}

impl StopReason {
    /// The status code of `scipy.optimize.direct` for this reason, `None` if it has none.
    pub const fn scipy_status(self) -> Option<i32> {
        match self {
            Self::Evaluations => Some(1),
            Self::Iterations => Some(2),
            Self::Target => Some(3),
            Self::Volume => Some(4),
            Self::SideLength => Some(5),
            Self::Slots => Some(-4),
            Self::Levels => Some(-6),
            Self::TimeLimit
            | Self::NoProgress
            | Self::Cancelled
            | Self::Complete
            | Self::WorkCap
            | Self::Converged => None,
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Evaluations => "the evaluations are used up",
            Self::Iterations => "the iterations are used up",
            Self::Volume => "the volume around the best point is below the tolerance",
            Self::SideLength => "the size around the best point is below the tolerance",
            Self::Target => "the target value is reached",
            Self::TimeLimit => "the time limit is reached",
            Self::NoProgress => "all rectangles are as small as numbers can tell apart",
            Self::Cancelled => "cancelled by the observer",
            Self::Complete => "complete",
            Self::WorkCap => "the cap of work is reached",
            Self::Slots => "scipy's store of rectangles is full",
            Self::Levels => "scipy's table of levels or candidates is full",
            Self::Converged => "the values of the population agree within the tolerance",
        })
    }
}
