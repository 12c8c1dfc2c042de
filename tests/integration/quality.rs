//! The exact optimum as a method of the drivers, and as the yardstick of the others.

use std::ops::ControlFlow;

use proptest::prelude::*;
use trisect::{
    Batch, DirectOptions, EvaluateOptions, Evaluator, EvolutionOptions, ExactOptions, ExitChoice,
    ExitRule, Method, Multipliers, OnCap, OptimizeOptions, Outcome, Progress, Sharing, StopReason,
    exact_profit, optimize,
};

use crate::support::{KINDS, Kind, Rng, ragged};

const FEE: f64 = 0.001;

fn run(batch: &Batch, options: &OptimizeOptions, threads: usize) -> Outcome {
    let evaluate = EvaluateOptions {
        fee: FEE,
        threads: Some(threads),
        ..EvaluateOptions::default()
    };
    optimize(&mut Evaluator::cpu(batch, &evaluate).unwrap(), options, ()).unwrap()
}

fn with(sharing: Sharing, method: Method) -> OptimizeOptions {
    OptimizeOptions {
        sharing,
        method,
        exit_rule: ExitChoice::Both,
        ..OptimizeOptions::default()
    }
}

fn exact() -> Method {
    Method::Exact(ExactOptions::default())
}

fn sharings(n: usize) -> [Sharing; 4] {
    let labels = (0..n).map(|s| format!("g{}", s % 3)).collect();
    [
        Sharing::All,
        Sharing::PerSimulation,
        Sharing::Chunks(4),
        Sharing::Groups(labels),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_method_finds_more_than_the_exact_optimum(seed in any::<u64>(), kind in 0..3_usize) {
        let n = 11;
        let batch = ragged(&mut Rng::new(seed), KINDS[kind], n, 60);
        for sharing in sharings(n) {
            let best = run(&batch, &with(sharing.clone(), exact()), 2);
            let methods = [
                Method::Direct(DirectOptions::production()),
                Method::Direct(DirectOptions::fast()),
                Method::Evolution(EvolutionOptions { seed, ..EvolutionOptions::production() }),
                Method::Grid { high: 13, low: 13 },
            ];
            for method in methods {
                let other = run(&batch, &with(sharing.clone(), method), 2);
                for (best, other) in best.groups.iter().zip(&other.groups) {
                    prop_assert!(best.profit >= other.profit, "{:?} {:?}", best, other);
                    prop_assert_eq!(best.baseline, other.baseline);
                }
            }
            for (g, group) in best.groups.iter().enumerate() {
                prop_assert_eq!(group.upper_bound, Some(group.profit));
                prop_assert_eq!(group.quality(), Some(1.0));
                prop_assert_eq!(group.stop, StopReason::Complete);
                // Reported is what stands in the fixed point of the group, to the bit.
                let members = best.membership.members(g);
                let at = |rule, pair| exact_profit(&batch, members, FEE, rule, pair).unwrap();
                prop_assert_eq!(group.profit, at(group.exit_rule, group.multipliers));
                let other = group.other_rule.unwrap();
                prop_assert_ne!(other.exit_rule, group.exit_rule);
                prop_assert!(other.profit <= group.profit);
                prop_assert_eq!(other.profit, at(other.exit_rule, other.multipliers));
            }
        }
    }

    #[test]
    fn quality_is_a_share_of_the_attainable(seed in any::<u64>(), kind in 0..3_usize) {
        let batch = ragged(&mut Rng::new(seed), KINDS[kind], 9, 80);
        for polish in [0, 5] {
            let mut options = with(Sharing::Chunks(2), Method::Direct(DirectOptions::fast()));
            options.quality = true;
            options.polish = polish;
            let outcome = run(&batch, &options, 2);
            let best = run(&batch, &with(Sharing::Chunks(2), exact()), 1);
            for (group, best) in outcome.groups.iter().zip(&best.groups) {
                let quality = group.quality().unwrap();
                prop_assert!((0.0..=1.0).contains(&quality), "{:?}", group);
                prop_assert_eq!(group.upper_bound, Some(best.profit));
                if group.profit == best.profit {
                    prop_assert_eq!(quality, 1.0);
                }
            }
            options.quality = false;
            let plain = run(&batch, &options, 1);
            for (group, plain) in outcome.groups.iter().zip(&plain.groups) {
                prop_assert_eq!(plain.quality(), None);
                prop_assert_eq!(plain.profit, group.profit);
            }
        }
    }

    #[test]
    fn threads_and_watching_do_not_change_the_exact_outcome(seed in any::<u64>()) {
        let batch = ragged(&mut Rng::new(seed), Kind::Ties, 150, 20);
        let options = with(Sharing::PerSimulation, exact());
        let one = run(&batch, &options, 1);
        for threads in [2, 7] {
            prop_assert_eq!(&one.groups, &run(&batch, &options, threads).groups);
        }
        let evaluate = EvaluateOptions { fee: FEE, threads: Some(1), ..EvaluateOptions::default() };
        let mut evaluator = Evaluator::cpu(&batch, &evaluate).unwrap();
        let mut running = Vec::new();
        let watch = |progress: &Progress<'_>| {
            running.push(progress.running);
            ControlFlow::Continue(())
        };
        let watched = optimize(&mut evaluator, &options, watch).unwrap();
        prop_assert_eq!(&one.groups, &watched.groups);
        prop_assert!(running.len() > 2 && running.is_sorted_by(|a, b| a >= b));
        prop_assert_eq!(running.last(), Some(&0));
    }
}

#[test]
fn a_polish_gains_and_never_loses() {
    let batch = ragged(&mut Rng::new(5), Kind::Skilled, 60, 200);
    let profits = |polish: usize| {
        let mut options = with(
            Sharing::PerSimulation,
            Method::Direct(DirectOptions::fast()),
        );
        options.polish = polish;
        let outcome = run(&batch, &options, 2);
        let evaluations = outcome.evaluations;
        let profits: Vec<f64> = outcome.groups.iter().map(|group| group.profit).collect();
        (profits, evaluations)
    };
    let (plain, plain_evaluations) = profits(0);
    let (polished, evaluations) = profits(4);
    let mut better = 0;
    for (plain, polished) in plain.iter().zip(&polished) {
        // Scores are f32: by their rounding a polish may prefer an equal.
        assert!(polished >= &(plain - 1e-6));
        better += usize::from(*polished > plain + 1e-6);
    }
    assert!(better > 30, "{better} of 60");
    // At most (4 + 1)^2 - 1 pairs more per search.
    let searches = 2 * 60;
    assert!(evaluations > plain_evaluations);
    assert!(evaluations <= plain_evaluations + searches * 24);
}

#[test]
fn where_nothing_is_attainable_the_quality_is_one() {
    // Flat: no position is ever entered.
    let column = |x: f32| vec![x; 5];
    let mut builder = Batch::builder();
    builder
        .push(trisect::Fields {
            close: &column(0.0)[..],
            high: &column(0.01),
            low: &column(-0.01),
            high_pred: &column(0.5),
            low_pred: &column(-0.5),
            weights: trisect::Weights::EntryExit(&column(1.0)),
        })
        .unwrap();
    let batch = builder.build().unwrap();
    let mut options = with(Sharing::All, Method::Grid { high: 3, low: 3 });
    options.quality = true;
    let group = &run(&batch, &options, 1).groups[0];
    assert_eq!((group.profit, group.baseline), (0.0, 0.0));
    assert_eq!(group.quality(), Some(1.0));
    let best = run(&batch, &with(Sharing::All, exact()), 1);
    assert_eq!(best.groups[0].multipliers, Multipliers::BASELINE);
}

#[test]
fn a_capped_search_says_so_and_bounds_what_it_missed() {
    let mut open = 0;
    for kind in KINDS {
        let batch = ragged(&mut Rng::new(6), kind, 150, 600);
        let mut options = with(Sharing::All, exact());
        options.exit_rule = ExitChoice::Fixed(ExitRule::Intraday);
        let proved = &run(&batch, &options, 1).groups[0];
        assert_eq!(proved.upper_bound, Some(proved.profit));
        for cap in [1, 10_000, 40_000, 60_000, 100_000, 200_000, 1_000_000] {
            options.method = Method::Exact(ExactOptions {
                work_cap: Some(cap),
                on_cap: OnCap::Gap,
                ..ExactOptions::default()
            });
            let capped = &run(&batch, &options, 1).groups[0];
            let bound = capped.upper_bound.unwrap();
            assert!(
                capped.profit <= proved.profit && proved.profit <= bound,
                "{kind:?} {cap}: {} {} {bound}",
                capped.profit,
                proved.profit
            );
            assert!(capped.quality().unwrap() <= 1.0);
            let expected = if bound > capped.profit {
                StopReason::WorkCap
            } else {
                StopReason::Complete
            };
            assert_eq!(capped.stop, expected);
            open += usize::from(expected == StopReason::WorkCap);
        }
    }
    assert!(open > 0, "no cap was met");
}

#[test]
fn a_cancelled_exact_search_keeps_what_is_proved() {
    let batch = ragged(&mut Rng::new(7), Kind::Skilled, 300, 20);
    let mut options = with(Sharing::PerSimulation, exact());
    options.exit_rule = ExitChoice::Fixed(ExitRule::Intraday);
    let evaluate = EvaluateOptions {
        fee: FEE,
        threads: Some(1),
        ..EvaluateOptions::default()
    };
    let mut evaluator = Evaluator::cpu(&batch, &evaluate).unwrap();
    let stop = |_: &Progress<'_>| ControlFlow::Break(());
    let outcome = optimize(&mut evaluator, &options, stop).unwrap();
    let proved = |reason| {
        outcome
            .groups
            .iter()
            .filter(move |group| group.stop == reason)
    };
    assert!(proved(StopReason::Complete).count() >= 64);
    assert!(proved(StopReason::Cancelled).count() > 100);
    for group in proved(StopReason::Cancelled) {
        assert_eq!(group.profit, group.baseline);
        assert_eq!(group.upper_bound, None);
    }
}
