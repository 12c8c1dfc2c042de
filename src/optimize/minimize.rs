//! The same search on a caller's own function, of any dimension.

use std::time::Instant;

use crate::direct::{Bounds, Direct, DirectOptions, StopReason};
use crate::error::Error;
use crate::evaluate::Threads;

use super::lockstep::{Points, lockstep};
use super::observe::{Clock, Observer, Report};

/// The lowest value of a caller's own function, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The point exactly as it was evaluated, `[dim]`; `None` when no value was finite.
    pub point: Option<Vec<f64>>,
    /// Its value; infinite when no value was finite.
    pub value: f64,
    /// Points evaluated.
    pub evaluations: u64,
    /// Iterations.
    pub iterations: u64,
    /// Why the search ended.
    pub stop: StopReason,
}

/// Minimises a caller's own batched function of any dimension with DIRECT.
///
/// `objective` gets `(points, dim)`, points `(n, dim)` row-major, and returns `n` values. Values
/// that are not finite mark infeasible points.
///
/// ```
/// use trisect::{Bounds, DirectOptions, minimize};
///
/// let bounds = Bounds::new(&[(-1.0, 2.0), (-1.0, 2.0)])?;
/// let paraboloid = |points: &[f64], dim: usize| {
///     let square = |x: &[f64]| x.iter().map(|x| (x - 0.5) * (x - 0.5)).sum();
///     points.chunks(dim).map(square).collect()
/// };
/// let minimum = minimize(bounds, &DirectOptions::production(), paraboloid, ())?;
/// assert!(minimum.value < 1e-9);
/// # Ok::<(), trisect::Error>(())
/// ```
///
/// # Errors
/// Options out of range; [`Error::ValueCount`] when `objective` returns another number of values.
pub fn minimize(
    bounds: Bounds,
    options: &DirectOptions,
    mut objective: impl FnMut(&[f64], usize) -> Vec<f64>,
    observer: impl Observer,
) -> Result<Minimum, Error> {
    let evaluate = |points: &Points<'_>| Ok(objective(points.all(), points.dim()));
    let minima = minimize_groups(1, bounds, options, evaluate, observer)?;
    minima
        .into_iter()
        .next()
        .ok_or_else(|| Error::option("groups", 0, "at least 1"))
}

/// Minimises `groups` functions of the same box at once, all searches in lockstep.
///
/// Each round `objective` gets the points of all searches and returns their values in the same
/// order.
///
/// # Errors
/// Options out of range; [`Error::ValueCount`] when `objective` returns another number of values;
/// whatever `objective` returns.
pub fn minimize_groups(
    groups: usize,
    bounds: Bounds,
    options: &DirectOptions,
    mut objective: impl FnMut(&Points<'_>) -> Result<Vec<f64>, Error>,
    mut observer: impl Observer,
) -> Result<Vec<Minimum>, Error> {
    let template = Direct::new(bounds, *options)?;
    if groups == 0 {
        return Err(Error::option("groups", groups, "at least 1"));
    }
    let clock = Clock {
        start: Instant::now(),
        limit: None,
    };
    let mut report = Report {
        observer: &mut observer,
        groups,
        rules: None,
        agree: None,
    };
    let evaluate = |points: &Points<'_>, values: &mut [f64]| {
        let got = objective(points)?;
        if got.len() != values.len() {
            return Err(Error::ValueCount {
                expected: values.len(),
                got: got.len(),
            });
        }
        values.copy_from_slice(&got);
        Ok(())
    };
    let searches = vec![template; groups];
    let search = lockstep(searches, &Threads::default(), clock, &mut report, evaluate)?;
    let minima = search.found.into_iter().map(|found| Minimum {
        point: found.point,
        value: found.value,
        evaluations: found.evaluations,
        iterations: found.iterations,
        stop: found.stop,
    });
    Ok(minima.collect())
}
