//! Which rectangles an iteration divides.
//!
//! The rule for a class's head `j`, sizes descending with the index (Jones, Perttunen and
//! Stuckman 1993, in the form of Gablonsky's `dirchoose`), from the smallest class to the
//! largest: with `s(i) = (f_i - f_j) / (size_i - size_j)`,
//!
//! * `j` is dropped if any `s(i) <= 0`; `lo` is the least `s(i)` of the larger classes, `hi` the
//!   largest of the smaller classes that survived;
//! * `hi <= lo` (on the hull): `j` stays unless
//!   `f_j - lo * size_j > min(best - eps * |best|, best)`;
//! * `hi > lo` (above the hull): dropped, but kept by `ScipyCompat`.
//!
//! Said of all K classes this costs K^2. But `s(i) <= 0` for a larger `i` says `f_i <= f_j`, so
//! only strict prefix minima of f survive, and `lo` is attained on one of them (a larger class
//! with a smaller value has the smaller slope, rounding included, since subtraction and
//! division round monotonically). So one pass leaves F classes, and F^2 slopes follow. With
//! NaN or infinite heads, or sizes that underflowed to 0, the shortcut does not hold; the same
//! function then gets all classes.

/// The head of one class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) rect: u32,
    pub(super) level: u32,
    pub(super) value: f64,
    pub(super) size: f64,
}

impl Candidate {
    pub(super) const EMPTY: Self = Self {
        rect: 0,
        level: 0,
        value: 0.0,
        size: 0.0,
    };
}

/// Threshold of the `eps` test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise {
    pub(super) best: f64,
    pub(super) eps: f64,
}

impl Promise {
    fn threshold(self) -> f64 {
        (self.best - self.eps * self.best.abs()).min(self.best)
    }
}

/// The candidates that are to be divided, in their order (sizes descending). They are moved to
/// the end of the slice.
pub(super) fn hull(
    candidates: &mut [Candidate],
    promise: Promise,
    keep_above_hull: bool,
) -> &[Candidate] {
    let threshold = promise.threshold();
    // Survivors gather at the end, from the smallest class on.
    let mut survivors = candidates.len();
    for j in (0..candidates.len()).rev() {
        let c = candidates[j];
        let Some(lo) = least_slope(&candidates[..j], c) else {
            continue;
        };
        let Some(hi) = largest_slope(&candidates[survivors..], c) else {
            continue;
        };
        let keep = if hi <= lo {
            // Written as scipy's test so that a NaN keeps the rectangle.
            !matches!(
                (c.value - lo * c.size).partial_cmp(&threshold),
                Some(std::cmp::Ordering::Greater)
            )
        } else {
            keep_above_hull
        };
        if keep {
            survivors -= 1;
            candidates[survivors] = c;
        }
    }
    &candidates[survivors..]
}

/// Least slope to the larger classes; `None` if one of them is at least as good.
#[inline]
fn least_slope(larger: &[Candidate], c: Candidate) -> Option<f64> {
    let mut lo = f64::INFINITY;
    for other in larger {
        let slope = (other.value - c.value) / (other.size - c.size);
        if slope <= 0.0 {
            return None;
        }
        if slope < lo {
            lo = slope;
        }
    }
    Some(lo)
}

/// Largest slope to the smaller classes; `None` if one of them is as good or worse.
#[inline]
fn largest_slope(smaller: &[Candidate], c: Candidate) -> Option<f64> {
    let mut hi = 0.0;
    for other in smaller {
        let slope = (other.value - c.value) / (other.size - c.size);
        if slope <= 0.0 {
            return None;
        }
        if slope > hi {
            hi = slope;
        }
    }
    Some(hi)
}
