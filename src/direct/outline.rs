//! What whoever runs searches elsewhere must know of them: tables, numbers of the rules, and bounds
//! on the memory that a search can come to need.

use super::{
    Bounds, DirectOptions, SIDES, Scipy, Selection, SizeMeasure, THIRD, half_diagonal_of, third,
};

/// Axes of the boxes described here.
const DIM: usize = 2;

/// Classes beyond what the tolerances let a search use: two for the division of the last rectangle
/// above them, the rest for safety.
const SPARE_CLASSES: usize = 4;

/// Depths at which f64 can still tell a centre from its neighbours, in a box that does not end near
/// 0, and some more.
const USUAL_DEPTHS: usize = 48;

/// A search in a box of two axes, in numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outline {
    /// `(low, high, range, offset)` per axis: a centre `c` stands for `(c + offset) * range`.
    pub(crate) axes: [[f64; 4]; DIM],
    /// Rectangles at most. A division that does not fit ends the search.
    pub(crate) capacity: usize,
    /// Evaluations at the end of an iteration with which a search ends.
    pub(crate) enough: usize,
    /// scipy's number of levels; without its rules, more than can be.
    pub(crate) levels: usize,
    /// Rectangles selected in one iteration at most.
    pub(crate) divisions: usize,
    /// Size by level, for as many classes as a search is likely to need. A search of unusual
    /// bounds and no tolerance can need more.
    pub(crate) sizes: Vec<f64>,
}

impl Outline {
    /// `None` for another number of axes.
    pub(crate) fn new(bounds: &Bounds, options: &DirectOptions) -> Option<Self> {
        if bounds.dim() != DIM {
            return None;
        }
        let scipy = options.selection == Selection::ScipyCompat;
        let scipy = scipy.then(|| Scipy::new(DIM, options));
        let capacity = scipy.map_or(options.max_evaluations, |scipy| scipy.capacity);
        let classes = classes(options, capacity);
        let half_diagonal = options.size_measure == SizeMeasure::HalfDiagonal;
        let size = |level| {
            if half_diagonal {
                half_diagonal_of(DIM, level)
            } else {
                third(level)
            }
        };
        Some(Self {
            axes: [bounds.numbers(0), bounds.numbers(1)],
            capacity,
            enough: scipy.map_or(options.max_evaluations, |scipy| scipy.budget + 1),
            levels: scipy.map_or(usize::MAX, |scipy| scipy.levels),
            // One per class, or all rectangles when all tie.
            divisions: match half_diagonal && options.selection != Selection::Aggressive {
                true => capacity,
                false => classes,
            },
            sizes: (0..classes).map(size).collect(),
        })
    }

    /// `3^-depth`; what comes behind is 0.
    pub(crate) fn thirds() -> &'static [f64; SIDES] {
        &THIRD
    }
}

/// How many classes a search of at most `capacity` rectangles is likely to need.
fn classes(options: &DirectOptions, capacity: usize) -> usize {
    let half_diagonal = options.size_measure == SizeMeasure::HalfDiagonal;
    let per_depth = if half_diagonal { DIM } else { 1 };
    // Every cut of a rectangle takes two evaluations.
    let by_evaluations = per_depth * (capacity / (2 * DIM)) + SPARE_CLASSES;
    if options.selection == Selection::Aggressive {
        // It cuts the smallest rectangles, too, until they cannot be cut.
        return by_evaluations.min(per_depth * USUAL_DEPTHS);
    }
    // Only rectangles at least as large as the best one are selected, and that one is above the
    // tolerances.
    let above = |level: usize| {
        let (size, cuts) = if half_diagonal {
            (half_diagonal_of(DIM, level), level)
        } else {
            (third(level), DIM * level)
        };
        size > options.side_tolerance && third(cuts) > options.volume_tolerance
    };
    let by_tolerances = (0..by_evaluations).take_while(|&level| above(level));
    let by_tolerances = by_tolerances.count() + SPARE_CLASSES;
    let without_scipy = match options.selection {
        Selection::ScipyCompat => usize::MAX,
        _ => per_depth * USUAL_DEPTHS,
    };
    by_evaluations.min(by_tolerances).min(without_scipy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direct::Direct;

    fn outline(options: DirectOptions) -> Outline {
        Outline::new(&Bounds::symmetric(2, 0.03).unwrap(), &options).unwrap()
    }

    #[test]
    fn the_defaults_leave_few_classes() {
        let outline = outline(DirectOptions::production());
        assert_eq!((outline.capacity, outline.enough), (500, 500));
        assert!(outline.sizes.len() <= 20, "{}", outline.sizes.len());
        assert_eq!(outline.divisions, outline.sizes.len());
    }

    #[test]
    fn other_numbers_of_axes_have_no_outline() {
        let bounds = Bounds::symmetric(3, 1.0).unwrap();
        assert_eq!(Outline::new(&bounds, &DirectOptions::production()), None);
    }

    /// The bounds hold for searches as they go.
    #[test]
    fn searches_stay_within_their_outline() {
        let objectives: [fn(f64, f64) -> f64; 3] = [
            |x, y| (x - 0.3) * (x - 0.3) + y * y,
            |_, _| 1.0,
            |x, y| (4.0 * x).floor() + (8.0 * y).floor(),
        ];
        let mut searches = 0;
        for selection in [
            Selection::ConvexHull,
            Selection::ScipyCompat,
            Selection::Aggressive,
        ] {
            for size_measure in [SizeMeasure::LongestSide, SizeMeasure::HalfDiagonal] {
                for (volume_tolerance, side_tolerance) in [(1e-16, 1e-6), (0.0, 0.0), (0.0, 1e-3)] {
                    let options = DirectOptions {
                        selection,
                        size_measure,
                        volume_tolerance,
                        side_tolerance,
                        max_evaluations: 400,
                        ..DirectOptions::production()
                    };
                    let bounds = Bounds::symmetric(2, 1.0).unwrap();
                    let outline = Outline::new(&bounds, &options).unwrap();
                    let mut search = Direct::new(bounds, options).unwrap();
                    for objective in objectives {
                        search.restart();
                        while search.stop().is_none() {
                            let points = search.ask().chunks(2);
                            let values: Vec<f64> = points.map(|x| objective(x[0], x[1])).collect();
                            search.tell(&values).unwrap();
                        }
                        assert!(search.evaluations() <= outline.capacity);
                        let classes = search.classes.classes();
                        assert!(classes.len() <= outline.sizes.len(), "{options:?}");
                        for (class, size) in classes.iter().zip(&outline.sizes) {
                            assert_eq!(class.size, *size);
                        }
                        searches += 1;
                    }
                }
            }
        }
        assert_eq!(searches, 54);
    }
}
