//! DIRECT against the literature and against what the docs say about scipy.

use trisect::{Bounds, Direct, DirectOptions, Selection, SizeMeasure, StopReason, Target};

use crate::direct::drive;
use crate::direct_objectives as objectives;

/// Table 4 of Gablonsky's DIRECT 2.0.4 user guide, and scipy's counts on the same functions.
#[test]
fn the_published_numbers_of_evaluations_are_met() {
    struct Row {
        name: &'static str,
        objective: fn(&[f64]) -> f64,
        intervals: &'static [(f64, f64)],
        minimum: f64,
        /// DIRECT, DIRECT-L.
        published: [usize; 2],
        /// Original, locally biased.
        scipy: [usize; 2],
    }
    const SHEKEL_BOX: &[(f64, f64)] = &[(0.0, 10.0); 4];
    let rows = [
        Row {
            name: "Branin",
            objective: objectives::branin,
            intervals: &[(-5.0, 10.0), (0.0, 15.0)],
            minimum: 0.397_887_357_729_738,
            published: [195, 159],
            scipy: [255, 175],
        },
        Row {
            name: "Shekel-5",
            objective: |x| objectives::shekel(x, 5),
            intervals: SHEKEL_BOX,
            minimum: -10.153_199_679_058_23,
            published: [155, 147],
            scipy: [1089, 231],
        },
        Row {
            name: "Shekel-7",
            objective: |x| objectives::shekel(x, 7),
            intervals: SHEKEL_BOX,
            minimum: -10.402_940_566_818_66,
            published: [145, 141],
            scipy: [761, 223],
        },
        Row {
            name: "Shekel-10",
            objective: |x| objectives::shekel(x, 10),
            intervals: SHEKEL_BOX,
            minimum: -10.536_409_816_692_05,
            published: [145, 139],
            scipy: [737, 223],
        },
        Row {
            name: "Hartman-3",
            objective: objectives::hartmann3,
            intervals: &[(0.0, 1.0); 3],
            minimum: -3.862_782_147_820_76,
            published: [199, 111],
            scipy: [355, 139],
        },
        Row {
            name: "Hartman-6",
            objective: objectives::hartmann6,
            intervals: &[(0.0, 1.0); 6],
            minimum: -3.322_368_011_415_51,
            published: [571, 295],
            scipy: [1485, 299],
        },
        Row {
            name: "Goldstein-Price",
            objective: objectives::goldstein_price,
            intervals: &[(-2.0, 2.0); 2],
            minimum: 3.0,
            published: [191, 115],
            scipy: [209, 117],
        },
        Row {
            name: "Six-hump camel",
            objective: objectives::camel6,
            intervals: &[(-3.0, 3.0), (-2.0, 2.0)],
            minimum: -1.031_628_453_489_877,
            published: [285, 191],
            scipy: [321, 211],
        },
        Row {
            name: "Shubert",
            objective: objectives::shubert2,
            intervals: &[(-10.0, 10.0); 2],
            minimum: -186.730_908_831_024,
            published: [2967, 2043],
            scipy: [1977, 2335],
        },
    ];
    let mut differences = Vec::new();
    for row in &rows {
        for (selection, counts) in [
            (Selection::ConvexHull, row.published),
            (Selection::ScipyCompat, row.scipy),
        ] {
            for (size_measure, wanted) in [SizeMeasure::HalfDiagonal, SizeMeasure::LongestSide]
                .into_iter()
                .zip(counts)
            {
                let options = DirectOptions {
                    selection,
                    size_measure,
                    max_evaluations: 20_000,
                    volume_tolerance: 0.0,
                    side_tolerance: 0.0,
                    target: Some(Target {
                        value: row.minimum,
                        relative_tolerance: 1e-4,
                    }),
                    ..DirectOptions::default()
                };
                let bounds = Bounds::new(row.intervals).unwrap();
                let mut search = Direct::new(bounds, options).unwrap();
                drive(&mut search, &row.objective);
                let ours = (search.stop(), search.evaluations());
                if ours != (Some(StopReason::Target), wanted) {
                    differences.push(format!(
                        "{}, {selection:?}, {size_measure:?}: {ours:?}, published {wanted}",
                        row.name
                    ));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The two rows of that table that have no relative error: DIRECT, DIRECT-L.
#[test]
fn the_published_numbers_for_constant_and_quadratic_are_met() {
    let quadratic = |x: &[f64]| x.iter().fold(10.0, |sum, v| sum + (v - 5.3) * (v - 5.3));
    let constant = |_: &[f64]| 100.0;
    type Row<'a> = (&'a dyn Fn(&[f64]) -> f64, f64, [usize; 2]);
    let rows: [Row; 2] = [(&constant, 100.0, [9, 7]), (&quadratic, 10.0, [139, 65])];
    for (objective, minimum, counts) in rows {
        for (size_measure, wanted) in [SizeMeasure::HalfDiagonal, SizeMeasure::LongestSide]
            .into_iter()
            .zip(counts)
        {
            let options = DirectOptions {
                size_measure,
                max_evaluations: 20_000,
                target: Some(Target {
                    value: minimum,
                    relative_tolerance: 1e-4,
                }),
                ..DirectOptions::default()
            };
            let bounds = Bounds::cube(2, 0.0, 10.0).unwrap();
            let mut search = Direct::new(bounds, options).unwrap();
            drive(&mut search, objective);
            assert_eq!(search.evaluations(), wanted, "{minimum}, {size_measure:?}");
        }
    }
}

/// The docs say so: scipy's defect is not always bad.
#[test]
fn scipys_defect_helps_on_rastrigin() {
    let best = |selection| {
        let options = DirectOptions {
            selection,
            size_measure: SizeMeasure::HalfDiagonal,
            ..DirectOptions::production()
        };
        let bounds = Bounds::cube(2, -5.12, 5.62).unwrap();
        let mut search = Direct::new(bounds, options).unwrap();
        drive(&mut search, &objectives::rastrigin);
        search.best().unwrap().value
    };
    let (scipy, textbook) = (best(Selection::ScipyCompat), best(Selection::ConvexHull));
    assert!(scipy < 5e-5, "{scipy}");
    assert!(textbook > 0.99, "{textbook}");
}
