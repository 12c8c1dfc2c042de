//! Differential evolution: ask/tell, and as a method of the drivers.

use std::ops::ControlFlow;
use std::time::Duration;

use proptest::prelude::*;
use trisect::{
    Batch, Bounds, Error, EvaluateOptions, Evaluator, Evolution, EvolutionOptions, ExitChoice,
    Method, OptimizeOptions, Outcome, Progress, Sharing, StopReason, optimize,
};

use crate::support::{Kind, Rng, ragged};

const FEE: f64 = 0.001;

fn square() -> Bounds {
    Bounds::symmetric(2, 1.0).unwrap()
}

fn bowl(x: &[f64]) -> f64 {
    1.0 + x.iter().map(|x| (x - 0.3) * (x - 0.3)).sum::<f64>()
}

/// Runs a search to its end; gives the points it asked for, round by round.
fn minimise(search: &mut Evolution, objective: impl Fn(&[f64]) -> f64) -> Vec<Vec<f64>> {
    let mut rounds = Vec::new();
    while search.stop().is_none() {
        let points = search.ask().to_vec();
        let values: Vec<f64> = points.chunks(search.dim()).map(&objective).collect();
        search.tell(&values).unwrap();
        rounds.push(points);
    }
    rounds
}

fn evaluator(batch: &Batch, threads: usize) -> Evaluator<'_> {
    let options = EvaluateOptions {
        fee: FEE,
        threads: Some(threads),
        ..EvaluateOptions::default()
    };
    Evaluator::cpu(batch, &options).unwrap()
}

fn with(sharing: Sharing, evolution: EvolutionOptions) -> OptimizeOptions {
    OptimizeOptions {
        sharing,
        method: Method::Evolution(evolution),
        ..OptimizeOptions::default()
    }
}

fn run(batch: &Batch, options: &OptimizeOptions, threads: usize) -> Outcome {
    optimize(&mut evaluator(batch, threads), options, ()).unwrap()
}

#[test]
fn a_seed_is_a_search() {
    let rounds = |seed| {
        let options = EvolutionOptions {
            seed,
            ..EvolutionOptions::production()
        };
        minimise(&mut Evolution::new(square(), options).unwrap(), bowl)
    };
    let mut searches = Vec::new();
    for seed in [0, 1, 2, 3, u64::MAX] {
        let rounds_of_seed = rounds(seed);
        assert_eq!(rounds_of_seed, rounds(seed));
        assert!(!searches.contains(&rounds_of_seed[0]), "{seed}");
        searches.push(rounds_of_seed[0].clone());
    }
}

#[test]
fn a_restart_repeats_and_a_clone_goes_the_same_way() {
    let options = EvolutionOptions::production();
    let mut search = Evolution::new(square(), options).unwrap();
    let first = minimise(&mut search, bowl);
    let bytes = search.bytes();
    search.restart();
    assert_eq!((search.stop(), search.evaluations()), (None, 0));
    assert!(search.best().is_none());
    for points in &first[..first.len() / 2] {
        assert_eq!(search.ask(), points);
        let values: Vec<f64> = points.chunks(2).map(bowl).collect();
        search.tell(&values).unwrap();
    }
    let rest = &first[first.len() / 2..];
    assert_eq!(minimise(&mut search.clone(), bowl), rest);
    assert_eq!(minimise(&mut search, bowl), rest);
    assert_eq!(search.bytes(), bytes);
}

#[test]
fn a_search_adds_up() {
    for (dim, population, members) in [(1, 1, 5), (1, 7, 7), (2, 1, 5), (2, 15, 30), (5, 3, 15)] {
        let options = EvolutionOptions {
            population,
            max_iterations: 40,
            relative_tolerance: 1e-6,
            ..EvolutionOptions::production()
        };
        let bounds = Bounds::cube(dim, -1.0, 2.0).unwrap();
        let mut search = Evolution::new(bounds, options).unwrap();
        let rounds = minimise(&mut search, bowl);
        assert_eq!(search.iterations() + 1, rounds.len());
        assert_eq!(search.evaluations(), members * rounds.len());
        assert!(rounds.iter().all(|points| points.len() == members * dim));
        let points: Vec<&[f64]> = rounds.iter().flat_map(|round| round.chunks(dim)).collect();
        assert!(points.concat().iter().all(|x| (-1.0..=2.0).contains(x)));
        let lowest = points.iter().map(|x| bowl(x)).fold(f64::INFINITY, f64::min);
        let best = search.best().unwrap();
        assert_eq!(best.value, lowest);
        assert_eq!(best.x, points[best.evaluation]);
        let earlier = &points[..best.evaluation];
        assert!(earlier.iter().all(|x| bowl(x) > lowest));
        // Told after its end, a search takes nothing but no values.
        assert!(search.ask().is_empty());
        assert!(search.tell(&[]).is_ok() && search.tell(&[1.0]).is_err());
    }
}

#[test]
fn every_reason_to_stop_is_given() {
    let production = EvolutionOptions::production();
    let stop = |options, objective: fn(&[f64]) -> f64| {
        let mut search = Evolution::new(square(), options).unwrap();
        minimise(&mut search, objective);
        (
            search.stop().unwrap(),
            search.evaluations(),
            search.iterations(),
        )
    };
    // Values that agree end a search, but not before its first iteration.
    let flat = stop(production, |_| -3.0);
    assert_eq!(flat, (StopReason::Converged, 60, 1));
    assert_eq!(stop(production, bowl).0, StopReason::Converged);
    let strict = EvolutionOptions {
        relative_tolerance: 0.0,
        max_iterations: 12,
        ..production
    };
    assert_eq!(stop(strict, bowl), (StopReason::Iterations, 390, 12));
    let loose = EvolutionOptions {
        absolute_tolerance: 1e9,
        ..strict
    };
    assert_eq!(stop(loose, bowl), (StopReason::Converged, 60, 1));
    for (budget, iterations) in [(1, 0), (29, 0), (30, 0), (31, 1), (61, 2), (390, 12)] {
        let options = EvolutionOptions {
            max_evaluations: Some(budget),
            ..strict
        };
        let expected = (StopReason::Evaluations, budget, iterations);
        assert_eq!(stop(options, bowl), expected);
    }
    // Without a feasible value nothing converges and nothing is found.
    let mut search = Evolution::new(square(), strict).unwrap();
    minimise(&mut search, |_| f64::NAN);
    assert_eq!(search.stop(), Some(StopReason::Iterations));
    assert!(search.best().is_none());
}

#[test]
fn infeasible_points_are_left_behind() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut search = Evolution::new(square(), EvolutionOptions::production()).unwrap();
        minimise(&mut search, |x| if x[0] > 0.0 { bad } else { bowl(x) });
        assert_eq!(search.stop(), Some(StopReason::Converged));
        let best = search.best().unwrap();
        assert!(best.x[0] <= 0.0 && best.value < 1.11, "{best:?}");
    }
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let check = |change: fn(&mut EvolutionOptions)| {
        let mut options = EvolutionOptions::production();
        change(&mut options);
        let error = Evolution::new(square(), options).unwrap_err();
        // The drivers check before they evaluate.
        let batch = ragged(&mut Rng::new(1), Kind::Skilled, 1, 5);
        let options = with(Sharing::All, options);
        let refused = optimize(&mut evaluator(&batch, 1), &options, ()).unwrap_err();
        assert_eq!(refused, error);
        match error {
            Error::InvalidOption { name, value, .. } => format!("{name} = {value}"),
            other => panic!("{other}"),
        }
    };
    assert_eq!(check(|o| o.population = 0), "population = 0");
    assert_eq!(check(|o| o.population = 65_537), "population = 65537");
    assert_eq!(check(|o| o.max_iterations = 0), "max_iterations = 0");
    assert_eq!(
        check(|o| o.max_iterations = (1 << 30) + 1),
        "max_iterations = 1073741825"
    );
    assert_eq!(
        check(|o| o.max_evaluations = Some(0)),
        "max_evaluations = 0"
    );
    for value in [-1.0, f64::NAN, f64::INFINITY] {
        let mut options = EvolutionOptions::production();
        options.relative_tolerance = value;
        let text = options.check().unwrap_err().to_string();
        assert_eq!(
            text,
            format!("relative_tolerance = {value}: must be finite and at least 0")
        );
        options.relative_tolerance = 0.0;
        options.absolute_tolerance = value;
        let text = options.check().unwrap_err().to_string();
        assert!(text.starts_with("absolute_tolerance = "), "{text}");
    }
    let nan = f64::NAN;
    for mutation in [(-0.1, 1.0), (1.0, 0.5), (0.5, 2.0), (nan, 1.0), (0.5, nan)] {
        let mut options = EvolutionOptions::production();
        options.mutation = mutation;
        let text = options.check().unwrap_err().to_string();
        let expected = format!("mutation = ({}, {}): must be", mutation.0, mutation.1);
        assert!(text.starts_with(&expected), "{text}");
    }
    assert_eq!(check(|o| o.recombination = -0.1), "recombination = -0.1");
    assert_eq!(check(|o| o.recombination = 1.5), "recombination = 1.5");
    // In range, but not on so many axes.
    let options = EvolutionOptions {
        population: 65_536,
        ..EvolutionOptions::production()
    };
    let large = Bounds::cube(1024, 0.0, 1.0).unwrap();
    let error = Evolution::new(large, options).unwrap_err().to_string();
    assert!(error.starts_with("population = 65536: must be"), "{error}");
}

#[test]
fn odd_options_still_search() {
    let production = EvolutionOptions::production();
    let odd = [
        EvolutionOptions {
            mutation: (0.0, 0.0),
            ..production
        },
        EvolutionOptions {
            mutation: (0.0, 1.99),
            ..production
        },
        EvolutionOptions {
            recombination: 0.0,
            ..production
        },
        EvolutionOptions {
            recombination: 1.0,
            ..production
        },
        EvolutionOptions {
            population: 400,
            max_iterations: 5,
            ..production
        },
    ];
    for options in odd {
        let mut search = Evolution::new(square(), options).unwrap();
        minimise(&mut search, bowl);
        let best = search.best().unwrap();
        assert!(best.value < 1.1, "{options:?}: {best:?}");
    }
}

#[test]
fn an_observer_sees_whole_populations_and_can_cancel() {
    let batch = ragged(&mut Rng::new(8), Kind::Skilled, 12, 80);
    let mut options = with(Sharing::Chunks(3), EvolutionOptions::production());
    options.exit_rule = ExitChoice::Both;
    let mut seen = Vec::new();
    let watch = |progress: &Progress<'_>| {
        assert_eq!(progress.groups, 4);
        let best = (0..4).map(|g| progress.best(g).unwrap().value);
        seen.push((progress.evaluations, best.collect::<Vec<f64>>()));
        ControlFlow::Continue(())
    };
    let full = optimize(&mut evaluator(&batch, 2), &options, watch).unwrap();
    assert_eq!(seen.len() as u64, full.rounds);
    // 30 members, 4 groups, 2 exit rules.
    assert_eq!((seen[0].0, seen[1].0), (240, 480));
    let no_worse = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b);
    assert!(seen.windows(2).all(|w| no_worse(&w[0].1, &w[1].1)));

    let cancel = |progress: &Progress<'_>| match progress.rounds {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let cut = optimize(&mut evaluator(&batch, 1), &options, cancel).unwrap();
    assert_eq!((cut.rounds, cut.evaluations), (3, 720));
    for (group, full) in cut.groups.iter().zip(&full.groups) {
        // Two iterations of either exit rule; the third round is that of the second iteration.
        assert_eq!((group.stop, group.iterations), (StopReason::Cancelled, 4));
        assert!(group.profit >= group.baseline && group.profit <= full.profit + 1e-6);
    }
    assert!(cut.groups.iter().any(|group| group.profit > group.baseline));
}

#[test]
fn a_time_limit_of_nothing_still_scores_the_first_population() {
    let batch = ragged(&mut Rng::new(10), Kind::Skilled, 6, 40);
    let mut options = with(Sharing::PerSimulation, EvolutionOptions::production());
    options.time_limit = Some(Duration::ZERO);
    let outcome = run(&batch, &options, 1);
    assert_eq!((outcome.rounds, outcome.evaluations), (1, 6 * 30));
    for group in &outcome.groups {
        assert_eq!((group.stop, group.iterations), (StopReason::TimeLimit, 0));
    }
}

#[test]
fn a_polish_gains() {
    let batch = ragged(&mut Rng::new(5), Kind::Skilled, 40, 200);
    let mut options = with(Sharing::PerSimulation, EvolutionOptions::fast());
    let plain = run(&batch, &options, 2);
    options.polish = 4;
    let polished = run(&batch, &options, 2);
    assert!(polished.mean_profit() > plain.mean_profit() + 1e-6);
    assert!(polished.evaluations <= plain.evaluations + 40 * 24);
}

#[test]
fn most_of_what_is_attainable_is_found() {
    let mut rng = Rng::new(14);
    let batch = ragged(&mut rng, Kind::Skilled, 200, 200);
    let quality = |evolution: EvolutionOptions, sharing: &Sharing| {
        let mut total = 0.0;
        for seed in 0..3 {
            let mut options = with(sharing.clone(), EvolutionOptions { seed, ..evolution });
            options.quality = true;
            let groups = run(&batch, &options, 2).groups;
            let qualities = groups.iter().map(|group| group.quality().unwrap());
            total += qualities.sum::<f64>() / groups.len() as f64 / 3.0;
        }
        total
    };
    for sharing in [Sharing::PerSimulation, Sharing::Chunks(16)] {
        let production = quality(EvolutionOptions::production(), &sharing);
        let fast = quality(EvolutionOptions::fast(), &sharing);
        assert!(production >= 0.97, "{production}");
        assert!(fast >= 0.9, "{fast}");
        assert!(production > fast);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_group_finds_the_same_alone_and_among_others(seed in any::<u64>(), members in 1..4_usize) {
        // The same simulations, in other company and in another place.
        let mut rng = Rng::new(seed);
        let batch = ragged(&mut rng, Kind::Skilled, 12, 60);
        let evolution = EvolutionOptions { seed, ..EvolutionOptions::production() };
        let options = with(Sharing::Chunks(members), evolution);
        let together = run(&batch, &options, 2);
        let mut builder = Batch::builder();
        for s in (0..12).rev() {
            builder.push(batch.simulation(s).unwrap()).unwrap();
        }
        let turned = builder.build().unwrap();
        let labels = (0..12).map(|s| ((11 - s) / members).to_string()).collect();
        let options = with(Sharing::Groups(labels), evolution);
        let mut turned = run(&turned, &options, 1).groups;
        turned.reverse();
        prop_assert_eq!(turned.len(), together.groups.len());
        for (a, b) in together.groups.iter().zip(&turned) {
            prop_assert_eq!(
                (a.profit, a.multipliers, a.evaluations, a.stop),
                (b.profit, b.multipliers, b.evaluations, b.stop)
            );
        }
    }
}
