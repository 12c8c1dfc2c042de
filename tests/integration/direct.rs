//! DIRECT: against the literal reference, and its promises.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use trisect::{
    Bounds, Direct, DirectOptions, Division, Error, Selection, SizeMeasure, StopReason, Target,
};

use crate::direct_objectives as objectives;
use crate::direct_reference as reference;

/// Points and values in order of evaluation.
pub type Trace = Vec<(Vec<f64>, f64)>;

/// The same cases in every run.
pub fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(20_251_103),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Drives a search to its end.
pub fn drive(search: &mut Direct, objective: &dyn Fn(&[f64]) -> f64) -> Trace {
    let mut trace = Trace::new();
    while search.stop().is_none() {
        round(search, objective, &mut trace);
    }
    trace
}

/// One round.
pub fn round(search: &mut Direct, objective: &dyn Fn(&[f64]) -> f64, trace: &mut Trace) {
    let points: Vec<Vec<f64>> = search
        .ask()
        .chunks(search.dim())
        .map(<[f64]>::to_vec)
        .collect();
    assert!(!points.is_empty(), "a search that goes on must ask");
    let values: Vec<f64> = points.iter().map(|x| objective(x)).collect();
    search.tell(&values).unwrap();
    trace.extend(points.into_iter().zip(values));
}

/// Bits, so that NaN equals itself and -0 is not 0.
fn bits(trace: &Trace) -> Vec<(Vec<u64>, u64)> {
    trace
        .iter()
        .map(|(x, f)| (x.iter().map(|v| v.to_bits()).collect(), f.to_bits()))
        .collect()
}

/// Everything observable of a search: reason, evaluations, iterations, best in bits.
type Observed = (
    Option<StopReason>,
    usize,
    usize,
    Option<(Vec<u64>, u64, usize)>,
);

fn observed(search: &Direct) -> Observed {
    (
        search.stop(),
        search.evaluations(),
        search.iterations(),
        search.best().map(|best| {
            (
                best.x.iter().map(|v| v.to_bits()).collect(),
                best.value.to_bits(),
                best.evaluation,
            )
        }),
    )
}

/// Objectives that stress ties, plateaus and infeasible points.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Random, one of few values per point.
    Noise {
        levels: u64,
    },
    /// Smooth with its minimum off the grid.
    Bowl,
    /// Piecewise constant.
    Steps,
    /// A bowl where random points are NaN, inf or -inf.
    Holes {
        percent: u64,
    },
    /// Few values, with infeasible ones among them.
    NoiseWithHoles {
        levels: u64,
        percent: u64,
    },
    /// Values near the ends of the range of f64.
    Huge,
    Constant,
}

fn hash(x: &[f64]) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for v in x {
        state ^= v.to_bits();
        state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 32;
    }
    state.wrapping_mul(0xc4ce_b9fe_1a85_ec53) >> 16
}

impl Shape {
    pub fn value(self, x: &[f64]) -> f64 {
        let bowl = || {
            x.iter().enumerate().fold(-0.4, |sum, (i, v)| {
                sum + (i as f64 + 1.0) * (v - 0.17) * (v - 0.17)
            })
        };
        let hole = |percent: u64| {
            (hash(x) % 100 < percent)
                .then(|| [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][(hash(x) / 100 % 3) as usize])
        };
        match self {
            Self::Noise { levels } => (hash(x) % levels) as f64 - 1.0,
            Self::Bowl => bowl(),
            Self::Steps => (3.0 * bowl()).floor(),
            Self::Holes { percent } => hole(percent).unwrap_or_else(bowl),
            Self::NoiseWithHoles { levels, percent } => {
                hole(percent).unwrap_or((hash(x) % levels) as f64)
            }
            Self::Huge => (hash(x) % 7) as f64 * 2.8e307 - 8e307,
            Self::Constant => 1.5,
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        (1_u64..5).prop_map(|levels| Shape::Noise { levels }),
        Just(Shape::Noise { levels: 1_000_000 }),
        Just(Shape::Bowl),
        Just(Shape::Steps),
        (1_u64..60).prop_map(|percent| Shape::Holes { percent }),
        Just(Shape::Holes { percent: 100 }),
        (1_u64..4, 1_u64..60)
            .prop_map(|(levels, percent)| Shape::NoiseWithHoles { levels, percent }),
        Just(Shape::Huge),
        Just(Shape::Constant),
    ]
}

fn selections() -> impl Strategy<Value = Selection> {
    prop_oneof![
        Just(Selection::ConvexHull),
        Just(Selection::ScipyCompat),
        Just(Selection::Aggressive),
    ]
}

fn options() -> impl Strategy<Value = DirectOptions> {
    (
        selections(),
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just(1e-4), Just(0.0), Just(0.3), Just(-1e-4), Just(-0.01)],
        prop_oneof![1_usize..40, 40_usize..500],
        prop_oneof![Just(None), (1_usize..30).prop_map(Some)],
        prop_oneof![Just(0.0), Just(1e-16), Just(1e-3)],
        prop_oneof![Just(0.0), Just(1e-6), Just(0.01)],
        prop_oneof![
            3 => Just(None),
            1 => Just(Some(Target { value: -0.4, relative_tolerance: 1e-3 })),
            1 => Just(Some(Target { value: 0.0, relative_tolerance: 0.0 })),
        ],
    )
        .prop_map(
            |(selection, original, one, eps, evaluations, iterations, volume, side, target)| {
                DirectOptions {
                    selection,
                    size_measure: if original {
                        SizeMeasure::HalfDiagonal
                    } else {
                        SizeMeasure::LongestSide
                    },
                    division: if one {
                        Division::OneLongest
                    } else {
                        Division::AllLongest
                    },
                    eps,
                    max_evaluations: evaluations,
                    max_iterations: iterations,
                    volume_tolerance: volume,
                    side_tolerance: side,
                    target,
                }
            },
        )
}

fn boxes() -> impl Strategy<Value = Bounds> {
    prop_oneof![
        4 => prop::collection::vec((-10.0_f64..10.0, 0.01_f64..20.0), 1..=6)
            .prop_map(|axes| axes.iter().map(|&(low, width)| (low, low + width)).collect()),
        1 => (1_usize..4).prop_map(|dim| vec![(-0.03, 0.03); dim]),
        // Boxes of a few hundred and of a few representable numbers: new points coincide.
        1 => (1_usize..3).prop_map(|dim| vec![(1.0, 1.0 + 300.0 * f64::EPSILON); dim]),
        1 => Just(vec![(1e9, 1e9 + 1e-6), (0.0, 1.0)]),
    ]
    .prop_map(|intervals: Vec<(f64, f64)>| Bounds::new(&intervals).unwrap())
}

proptest! {
    #![proptest_config(config(600))]

    /// The pairing heaps, the ages, the prefix minima and the batching change nothing.
    #[test]
    fn a_search_equals_the_literal_reference(
        bounds in boxes(),
        options in options(),
        shape in shapes(),
    ) {
        let wanted = reference::run(&bounds, &options, &mut |x| shape.value(x));
        let mut search = Direct::new(bounds, options).unwrap();
        let trace = drive(&mut search, &|x| shape.value(x));
        prop_assert_eq!(bits(&trace), bits(&wanted.trace));
        prop_assert_eq!(search.stop(), Some(wanted.stop));
        prop_assert_eq!(search.iterations(), wanted.iterations);
        prop_assert_eq!(search.best().map(|best| best.evaluation), wanted.best);
    }

    /// Stopping anywhere, by clone or by (with `serde`) JSON, and going on changes no bit.
    #[test]
    fn an_interrupted_search_equals_one_that_was_not(
        bounds in boxes(),
        options in options(),
        shape in shapes(),
    ) {
        let objective = |x: &[f64]| shape.value(x);
        let mut whole = Direct::new(bounds.clone(), options).unwrap();
        let wanted = drive(&mut whole, &objective);
        let mut search = Direct::new(bounds, options).unwrap();
        let mut trace = Trace::new();
        while search.stop().is_none() {
            let mut resumed = interrupt(&search, trace.len());
            prop_assert_eq!(observed(&resumed), observed(&search));
            round(&mut resumed, &objective, &mut trace);
            search = resumed;
        }
        prop_assert_eq!(bits(&trace), bits(&wanted));
        prop_assert_eq!(observed(&search), observed(&whole));
        prop_assert_eq!(observed(&interrupt(&search, 0)), observed(&whole));
    }

    /// Whatever went on before, `restart` leads to the search that `new` leads to.
    #[test]
    fn a_restarted_search_equals_a_new_one(
        bounds in boxes(),
        options in options(),
        first in shapes(),
        second in shapes(),
        rounds in 0_usize..20,
    ) {
        let mut fresh = Direct::new(bounds.clone(), options).unwrap();
        let mut search = Direct::new(bounds, options).unwrap();
        let mut trace = Trace::new();
        for _ in 0..rounds {
            if search.stop().is_none() {
                round(&mut search, &|x| first.value(x), &mut trace);
            }
        }
        search.restart();
        prop_assert_eq!(observed(&search), observed(&fresh));
        let wanted = drive(&mut fresh, &|x| second.value(x));
        prop_assert_eq!(bits(&drive(&mut search, &|x| second.value(x))), bits(&wanted));
        prop_assert_eq!(observed(&search), observed(&fresh));
    }

    /// A smaller budget asks for a prefix of what a larger one asks for, and no point more than
    /// it allows.
    #[test]
    fn the_budget_is_a_hard_cap_and_cuts_the_same_search(
        bounds in boxes(),
        options in options(),
        shape in shapes(),
        part in 0.0_f64..1.0,
    ) {
        prop_assume!(options.selection != Selection::ScipyCompat);
        let objective = |x: &[f64]| shape.value(x);
        let mut large = Direct::new(bounds.clone(), options).unwrap();
        let whole = drive(&mut large, &objective);
        let cap = 1 + (part * options.max_evaluations as f64) as usize;
        let mut small = Direct::new(bounds, DirectOptions { max_evaluations: cap, ..options }).unwrap();
        let cut = drive(&mut small, &objective);
        prop_assert!(whole.len() <= options.max_evaluations);
        prop_assert!(cut.len() <= cap);
        prop_assert!(cut.len() <= whole.len());
        prop_assert_eq!(bits(&cut), bits(&whole[..cut.len()].to_vec()));
    }

    /// The best point is the first of the smallest finite values, at the very x it was asked at;
    /// points of the default selection lie in the box.
    #[test]
    fn the_best_is_the_first_smallest_finite_value(
        bounds in boxes(),
        options in options(),
        shape in shapes(),
    ) {
        let mut search = Direct::new(bounds.clone(), options).unwrap();
        let mut trace = Trace::new();
        while search.stop().is_none() {
            round(&mut search, &|x| shape.value(x), &mut trace);
            let mut best: Option<usize> = None;
            for (i, (_, value)) in trace.iter().enumerate() {
                if value.is_finite() && best.is_none_or(|b| *value < trace[b].1) {
                    best = Some(i);
                }
            }
            let found = search.best();
            prop_assert_eq!(found.map(|b| b.evaluation), best);
            if let Some(found) = found {
                let (x, value) = &trace[found.evaluation];
                prop_assert_eq!(found.x, &x[..]);
                prop_assert_eq!(found.value, *value);
            }
            prop_assert_eq!(search.evaluations(), trace.len());
        }
        if options.selection != Selection::ScipyCompat {
            for (x, _) in &trace {
                for (axis, v) in x.iter().enumerate() {
                    prop_assert!(bounds.low(axis).unwrap() <= *v && *v <= bounds.high(axis).unwrap());
                }
            }
        }
    }
}

/// A copy of the search through one of the ways to interrupt it.
fn interrupt(search: &Direct, turn: usize) -> Direct {
    #[cfg(feature = "serde")]
    if turn.is_multiple_of(2) {
        let text = serde_json::to_string(search).unwrap();
        return serde_json::from_str(&text).unwrap();
    }
    let _ = turn;
    search.clone()
}

pub fn plain(intervals: &[(f64, f64)], options: DirectOptions) -> Direct {
    Direct::new(Bounds::new(intervals).unwrap(), options).unwrap()
}

/// A search with nothing but a budget to stop it.
pub fn budget_only(max_evaluations: usize) -> DirectOptions {
    DirectOptions {
        max_evaluations,
        volume_tolerance: 0.0,
        side_tolerance: 0.0,
        ..DirectOptions::default()
    }
}

pub fn bowl(x: &[f64]) -> f64 {
    Shape::Bowl.value(x)
}

#[test]
fn the_first_round_is_the_centre_and_two_points_per_axis() {
    let search = plain(&[(0.0, 3.0), (-3.0, 0.0)], DirectOptions::default());
    let wanted = [
        (1.5, -1.5),
        (2.5, -1.5),
        (0.5, -1.5),
        (1.5, -0.5),
        (1.5, -2.5),
    ];
    assert_eq!(search.ask().len(), 10);
    for (x, wanted) in search.ask().chunks(2).zip(wanted) {
        approx::assert_relative_eq!(x[0], wanted.0, max_relative = 1e-15);
        approx::assert_relative_eq!(x[1], wanted.1, max_relative = 1e-15);
    }
    let one = DirectOptions {
        division: Division::OneLongest,
        ..DirectOptions::default()
    };
    assert_eq!(plain(&[(0.0, 3.0), (-3.0, 0.0)], one).ask().len(), 6);
}

#[test]
fn a_budget_below_the_first_division_evaluates_the_centre() {
    for max_evaluations in 1..=7 {
        let options = budget_only(max_evaluations);
        let mut search = plain(&[(0.0, 1.0), (0.0, 1.0), (0.0, 1.0)], options);
        let trace = drive(&mut search, &bowl);
        assert_eq!(search.stop(), Some(StopReason::Evaluations));
        let wanted = if max_evaluations < 7 { 1 } else { 7 };
        assert_eq!(trace.len(), wanted, "budget {max_evaluations}");
        assert_eq!(search.iterations(), usize::from(wanted == 7));
        assert!(search.best().is_some());
    }
}

#[test]
fn asking_twice_gives_the_same_points_and_a_wrong_count_changes_nothing() {
    let mut search = plain(&[(-1.0, 2.0), (-1.0, 1.0)], budget_only(100));
    let mut trace = Trace::new();
    while search.stop().is_none() {
        let asked = search.ask().to_vec();
        let before = observed(&search);
        for got in [0, 1, asked.len() / 2 + 1, asked.len() / 2 - 1] {
            let expected = asked.len() / 2;
            if got != expected {
                let error = search.tell(&vec![0.5; got]).unwrap_err();
                assert_eq!(error, Error::ValueCount { expected, got });
            }
        }
        assert_eq!(search.ask(), asked);
        assert_eq!(observed(&search), before);
        round(&mut search, &bowl, &mut trace);
    }
    assert!(search.ask().is_empty());
    assert_eq!(search.tell(&[]), Ok(()));
    assert!(search.tell(&[1.0]).is_err());
}

#[test]
fn a_search_without_feasible_points_has_no_best_and_covers_the_box() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for selection in [Selection::ConvexHull, Selection::Aggressive] {
            let options = DirectOptions {
                selection,
                ..budget_only(500)
            };
            let mut search = plain(&[(0.0, 1.0), (0.0, 1.0)], options);
            let trace = drive(&mut search, &|_| value);
            assert_eq!(search.best(), None);
            assert!(trace.len() > 490, "{value}: {} evaluations", trace.len());
            // Every cell of a 9 by 9 grid is visited: largest boxes first.
            let visited: std::collections::BTreeSet<_> = trace
                .iter()
                .map(|(x, _)| ((x[0] * 9.0) as u8, (x[1] * 9.0) as u8))
                .collect();
            if selection == Selection::ConvexHull {
                assert_eq!(visited.len(), 81, "{value}");
            }
        }
    }
}

#[test]
fn the_optimum_is_found_beside_infeasible_halves() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for selection in [
            Selection::ConvexHull,
            Selection::ScipyCompat,
            Selection::Aggressive,
        ] {
            // The centre is infeasible, the optimum close to the edge.
            let objective = |x: &[f64]| {
                if x[0] < 0.61 {
                    value
                } else {
                    (x[0] - 0.63).abs() + (x[1] - 0.2).abs()
                }
            };
            let options = DirectOptions {
                selection,
                ..budget_only(2000)
            };
            let mut search = plain(&[(0.0, 1.0), (0.0, 1.0)], options);
            drive(&mut search, &objective);
            let best = search.best().unwrap();
            assert_eq!(best.value, objective(best.x));
            // scipy's rules take -inf for the minimum and a NaN centre for good; ours do not.
            if selection != Selection::ScipyCompat {
                assert!(best.value < 0.01, "{value}, {selection:?}: {best:?}");
            }
        }
    }
}

#[test]
fn a_box_of_few_numbers_ends_without_progress() {
    let low = 1.0;
    let high = 1.0 + 6.0 * f64::EPSILON;
    for selection in [Selection::ConvexHull, Selection::Aggressive] {
        let options = DirectOptions {
            selection,
            ..budget_only(100_000)
        };
        let mut search = plain(&[(low, high)], options);
        let trace = drive(&mut search, &|x| (x[0] - high).abs());
        assert_eq!(search.stop(), Some(StopReason::NoProgress));
        assert!(trace.len() < 100, "{} evaluations", trace.len());
        let best = search.best().unwrap();
        assert!((high - best.x[0]) <= 2.0 * f64::EPSILON, "{best:?}");
    }
    // scipy goes on with identical points until its tables end.
    let options = DirectOptions {
        selection: Selection::ScipyCompat,
        ..budget_only(3000)
    };
    let mut search = plain(&[(low, high)], options);
    drive(&mut search, &|x| x[0]);
    assert_ne!(search.stop(), Some(StopReason::NoProgress));
}

/// Without the clamp these boxes are left: the first three above, the others below.
#[test]
fn rounding_never_leads_out_of_the_box() {
    let boxes = [
        (-0.18, 2.07),
        (6.06, 10.01),
        (-10.85, -6.12),
        (10.49, 10.51),
        (-13.08, -10.33),
        (11.91, 14.5),
    ];
    for (i, (low, high)) in boxes.into_iter().enumerate() {
        let sign = if i < 3 { -1.0 } else { 1.0 };
        let outside = |selection| {
            let options = DirectOptions {
                selection,
                eps: 0.0,
                ..budget_only(5000)
            };
            let mut search = plain(&[(low, high)], options);
            let trace = drive(&mut search, &|x| sign * x[0]);
            trace
                .iter()
                .filter(|(x, _)| x[0] < low || x[0] > high)
                .count()
        };
        assert!(outside(Selection::ScipyCompat) > 0, "[{low}, {high}]");
        assert_eq!(outside(Selection::ConvexHull), 0, "[{low}, {high}]");
        assert_eq!(outside(Selection::Aggressive), 0, "[{low}, {high}]");
    }
}

/// Small budgets in six dimensions: one iteration on a plateau overruns scipy's store.
#[test]
fn scipys_store_runs_out_at_the_same_division_as_in_the_reference() {
    let bounds = Bounds::cube(6, -1.0, 1.0).unwrap();
    let mut reasons = std::collections::BTreeMap::new();
    for max_evaluations in 1..120 {
        let options = DirectOptions {
            selection: Selection::ScipyCompat,
            size_measure: SizeMeasure::HalfDiagonal,
            ..budget_only(10 * max_evaluations)
        };
        let mut objective = |x: &[f64]| (x[0] + 0.5 * x[1]).floor();
        let wanted = reference::run(&bounds, &options, &mut objective);
        let mut search = Direct::new(bounds.clone(), options).unwrap();
        let trace = drive(&mut search, &|x| (x[0] + 0.5 * x[1]).floor());
        assert_eq!(trace.len(), wanted.trace.len());
        assert_eq!(search.stop(), Some(wanted.stop), "{options:?}");
        *reasons.entry(wanted.stop.to_string()).or_insert(0) += 1;
    }
    assert!(
        reasons.contains_key(&StopReason::Slots.to_string()),
        "{reasons:?}"
    );
}

/// 5000 entries, of which scipy counts the heads it drops: 4545 cells of one value are the fewest
/// that are too many here.
#[test]
fn scipys_list_of_candidates_runs_out_at_the_same_tie_as_in_the_reference() {
    let value = |x: &[f64]| {
        let cell = (x[0] * 81.0).floor() * 81.0 + (x[1] * 81.0).floor();
        f64::from(cell >= 4545.0)
    };
    let options = DirectOptions {
        selection: Selection::ScipyCompat,
        size_measure: SizeMeasure::HalfDiagonal,
        ..budget_only(8000)
    };
    let bounds = Bounds::cube(2, 0.0, 1.0).unwrap();
    let wanted = reference::run(&bounds, &options, &mut |x| value(x));
    let mut search = Direct::new(bounds, options).unwrap();
    drive(&mut search, &value);
    assert_eq!(wanted.stop, StopReason::Levels);
    assert_eq!(search.stop(), Some(wanted.stop));
    assert_eq!(search.evaluations(), wanted.trace.len());
}

#[test]
fn a_plateau_does_not_abort_the_search() {
    for size_measure in [SizeMeasure::LongestSide, SizeMeasure::HalfDiagonal] {
        let options = DirectOptions {
            size_measure,
            ..budget_only(30_000)
        };
        let mut search = plain(&[(0.0, 1.0), (0.0, 1.0)], options);
        drive(&mut search, &|_| 1.5);
        assert_eq!(search.stop(), Some(StopReason::Evaluations));
        // scipy ends with status -6 where too many rectangles tie.
        assert!(search.evaluations() > 29_990);
    }
}

#[test]
fn each_limit_stops_and_says_so() {
    let base = budget_only(5000);
    let cases = [
        (
            StopReason::Iterations,
            DirectOptions {
                max_iterations: Some(5),
                ..base
            },
        ),
        (
            StopReason::Volume,
            DirectOptions {
                volume_tolerance: 1e-3,
                ..base
            },
        ),
        (
            StopReason::SideLength,
            DirectOptions {
                side_tolerance: 0.02,
                ..base
            },
        ),
        (
            StopReason::Target,
            DirectOptions {
                target: Some(Target {
                    value: -0.4,
                    relative_tolerance: 1e-3,
                }),
                ..base
            },
        ),
        (StopReason::Evaluations, base),
    ];
    let mut counts = Vec::new();
    for (reason, options) in cases {
        let mut search = plain(&[(0.0, 1.0), (0.0, 1.0)], options);
        drive(&mut search, &bowl);
        assert_eq!(search.stop(), Some(reason));
        counts.push((reason.scipy_status(), search.iterations()));
    }
    assert_eq!(counts[0], (Some(2), 5));
    assert_eq!(
        counts.iter().map(|c| c.0).collect::<Vec<_>>(),
        [Some(2), Some(4), Some(5), Some(3), Some(1)]
    );
}

#[test]
fn stopping_by_hand_keeps_the_best_and_the_first_reason() {
    let mut search = plain(&[(0.0, 1.0), (0.0, 1.0)], budget_only(500));
    let mut trace = Trace::new();
    for _ in 0..3 {
        round(&mut search, &bowl, &mut trace);
    }
    let best = observed(&search).3;
    search.stop_now(StopReason::TimeLimit);
    search.stop_now(StopReason::Cancelled);
    assert!(search.ask().is_empty());
    let wanted = (Some(StopReason::TimeLimit), trace.len(), 3, best);
    assert_eq!(observed(&search), wanted);
    assert_eq!(observed(&interrupt(&search, 0)), wanted);
    let mut unused = plain(&[(0.0, 1.0)], budget_only(500));
    unused.stop_now(StopReason::Cancelled);
    assert_eq!(observed(&unused), (Some(StopReason::Cancelled), 0, 0, None));
}

#[test]
fn a_search_of_500_evaluations_in_the_plane_holds_26_kib_at_most() {
    for selection in [Selection::ConvexHull, Selection::Aggressive] {
        for size_measure in [SizeMeasure::LongestSide, SizeMeasure::HalfDiagonal] {
            let options = DirectOptions {
                selection,
                size_measure,
                ..budget_only(500)
            };
            let mut search = plain(&[(-3.0, 3.0), (-2.0, 2.0)], options);
            assert!(search.bytes() < 1024, "fresh: {} bytes", search.bytes());
            drive(&mut search, &objectives::camel6);
            assert!(search.evaluations() > 490);
            let bytes = search.bytes();
            assert!(bytes > 500 * 40 && bytes <= 26 * 1024, "{bytes} bytes");
        }
    }
}

#[test]
fn an_unlimited_budget_costs_nothing_before_it_is_used() {
    let options = budget_only(DirectOptions::MAX_EVALUATIONS);
    let search = plain(&[(0.0, 1.0), (0.0, 1.0)], options);
    assert!(search.bytes() < 1024);
}

#[test]
fn options_outside_their_range_are_refused_by_name() {
    let good = DirectOptions::default();
    let target = |value, relative_tolerance| DirectOptions {
        target: Some(Target {
            value,
            relative_tolerance,
        }),
        ..good
    };
    let cases = [
        (
            "eps",
            DirectOptions {
                eps: f64::NAN,
                ..good
            },
        ),
        (
            "eps",
            DirectOptions {
                eps: f64::INFINITY,
                ..good
            },
        ),
        (
            "max_evaluations",
            DirectOptions {
                max_evaluations: 0,
                ..good
            },
        ),
        (
            "max_evaluations",
            DirectOptions {
                max_evaluations: usize::MAX,
                ..good
            },
        ),
        (
            "max_iterations",
            DirectOptions {
                max_iterations: Some(0),
                ..good
            },
        ),
        (
            "volume_tolerance",
            DirectOptions {
                volume_tolerance: -1e-9,
                ..good
            },
        ),
        (
            "volume_tolerance",
            DirectOptions {
                volume_tolerance: f64::NAN,
                ..good
            },
        ),
        (
            "side_tolerance",
            DirectOptions {
                side_tolerance: 1.5,
                ..good
            },
        ),
        (
            "side_tolerance",
            DirectOptions {
                side_tolerance: f64::NAN,
                ..good
            },
        ),
        ("target.value", target(f64::NAN, 0.0)),
        ("target.value", target(f64::NEG_INFINITY, 0.0)),
        ("target.relative_tolerance", target(0.0, -1.0)),
        ("target.relative_tolerance", target(0.0, f64::NAN)),
    ];
    for (wanted, options) in cases {
        let bounds = Bounds::cube(2, 0.0, 1.0).unwrap();
        match Direct::new(bounds, options) {
            Err(Error::InvalidOption { name, .. }) => assert_eq!(name, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
}

#[test]
fn boxes_that_are_none_are_refused_with_their_axis() {
    for (low, high) in [
        (1.0, 1.0),
        (2.0, 1.0),
        (f64::NAN, 1.0),
        (0.0, f64::NAN),
        (f64::NEG_INFINITY, 0.0),
        (0.0, f64::INFINITY),
        (-f64::MAX, f64::MAX),
    ] {
        match Bounds::new(&[(0.0, 1.0), (low, high)]) {
            Err(Error::Bounds { axis: 1, .. }) => {}
            other => panic!("[{low}, {high}]: {other:?}"),
        }
    }
    for dim in [0, Bounds::MAX_DIM + 1, usize::MAX] {
        assert!(matches!(
            Bounds::cube(dim, 0.0, 1.0),
            Err(Error::InvalidOption { .. })
        ));
    }
    assert_eq!(Bounds::symmetric(2, 0.5).unwrap().low(1), Some(-0.5));
    assert_eq!(Bounds::symmetric(2, 0.5).unwrap().high(2), None);
}
