//! The drivers: lockstep over groups, both exit rules, grid, observers, callers' own objectives.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use proptest::prelude::*;
use trisect::{
    Batch, Bounds, Candidates, Direct, DirectOptions, Error, Evaluate, EvaluateGroup,
    EvaluateOptions, Evaluator, EvolutionOptions, ExitChoice, ExitRule, GroupOutcome, Groups,
    Method, Multipliers, OptimizeOptions, Outcome, Path, Progress, Selection, Sharing, SizeMeasure,
    StopReason, Threads, exact_profit, minimize, minimize_groups, optimize,
};

use crate::support::{KINDS, Kind, Rng, ragged};

const FEE: f64 = 0.001;

fn evaluator(batch: &Batch, threads: usize) -> Evaluator<'_> {
    let options = EvaluateOptions {
        fee: FEE,
        threads: Some(threads),
        ..EvaluateOptions::default()
    };
    Evaluator::cpu(batch, &options).unwrap()
}

fn run(batch: &Batch, options: &OptimizeOptions, threads: usize) -> Outcome {
    optimize(&mut evaluator(batch, threads), options, ()).unwrap()
}

fn with_sharing(sharing: Sharing) -> OptimizeOptions {
    OptimizeOptions {
        sharing,
        method: Method::Direct(DirectOptions::fast()),
        ..OptimizeOptions::default()
    }
}

/// The same with each method that keeps step, or does not.
fn searches(sharing: Sharing) -> [OptimizeOptions; 2] {
    let direct = with_sharing(sharing);
    let method = Method::Evolution(EvolutionOptions::fast());
    let evolution = OptimizeOptions {
        method,
        ..direct.clone()
    };
    [direct, evolution]
}

/// An outcome without its wall time, which nobody can reproduce, and without the way it took.
fn timeless(mut outcome: Outcome) -> Outcome {
    outcome.wall_time = Duration::ZERO;
    outcome.path = Path::Lockstep;
    outcome
}

fn labels(n: usize) -> Sharing {
    Sharing::Groups((0..n).map(|s| format!("g{}", s * s % 4)).collect())
}

#[test]
fn an_outcome_adds_up() {
    let batch = ragged(&mut Rng::new(1), Kind::Skilled, 20, 120);
    let mut options = with_sharing(Sharing::Chunks(6));
    options.exit_rule = ExitChoice::Both;
    let outcome = run(&batch, &options, 2);
    assert_eq!(outcome.groups.len(), 4);
    let mut bars = 0;
    for (g, group) in outcome.groups.iter().enumerate() {
        let members = outcome.membership.members(g);
        assert_eq!(group.simulations, members.len());
        let mean =
            |pair: Multipliers, rule| exact_profit(&batch, members, FEE, rule, pair).unwrap();
        assert_eq!(group.profit, mean(group.multipliers, group.exit_rule));
        let baselines =
            [ExitRule::Intraday, ExitRule::AtClose].map(|rule| mean(Multipliers::BASELINE, rule));
        assert_eq!(group.baseline, baselines[0].max(baselines[1]));
        assert!(group.profit >= group.baseline);
        assert!(group.evaluations > 100 && group.evaluations <= 200);
        let group_bars: usize = members
            .iter()
            .map(|&s| batch.simulation(s as usize).unwrap().bars())
            .sum();
        bars += group_bars as u64 * group.evaluations;
        for &s in members {
            let simulation = batch.simulation(s as usize).unwrap();
            let profit = simulation.profit(group.multipliers, FEE, group.exit_rule);
            assert_abs_diff_eq!(outcome.profits[s as usize], profit, epsilon = 1e-12);
        }
    }
    let evaluations: u64 = outcome.groups.iter().map(|group| group.evaluations).sum();
    assert_eq!(outcome.evaluations, evaluations);
    assert_eq!(outcome.bar_candidates, bars);
    assert!(outcome.wall_time > Duration::ZERO);
    let mean = outcome.profits.iter().sum::<f64>() / 20.0;
    assert_eq!(outcome.mean_profit(), mean);
}

#[test]
fn the_search_scores_what_a_plain_loop_over_the_reference_scores() {
    // One group, one simulation: DIRECT on the f64 reference finds nearly the same optimum.
    let batch = ragged(&mut Rng::new(2), Kind::Skilled, 1, 200);
    let outcome = run(&batch, &OptimizeOptions::default(), 1);
    let simulation = batch.simulation(0).unwrap();
    let bounds = Bounds::new(&[(-0.03, 0.03), (-0.03, 0.03)]).unwrap();
    let reference = minimize(
        bounds,
        &DirectOptions::production(),
        |points, _| {
            let profit = |x: &[f64]| {
                let pair = Multipliers::new(x[0] as f32, x[1] as f32);
                -simulation.profit(pair, FEE, ExitRule::Intraday)
            };
            points.chunks(2).map(profit).collect()
        },
        (),
    )
    .unwrap();
    let group = &outcome.groups[0];
    assert_eq!(group.evaluations, reference.evaluations);
    assert_abs_diff_eq!(group.profit, -reference.value, epsilon = 1e-5);
    assert!(group.profit > group.baseline + 0.01);
}

#[test]
fn both_exit_rules_are_as_good_as_the_better_one_alone() {
    for (seed, kind) in (3..).zip(KINDS) {
        let batch = ragged(&mut Rng::new(seed), kind, 15, 60);
        let with = |exit_rule| {
            let mut options = with_sharing(Sharing::PerSimulation);
            options.exit_rule = exit_rule;
            run(&batch, &options, 2)
        };
        let intraday = with(ExitChoice::Fixed(ExitRule::Intraday));
        let at_close = with(ExitChoice::Fixed(ExitRule::AtClose));
        let both = with(ExitChoice::Both);
        for g in 0..batch.len() {
            let [a, b, c] = [&intraday, &at_close, &both].map(|outcome| &outcome.groups[g]);
            assert_eq!(c.profit, a.profit.max(b.profit));
            let better = if b.profit > a.profit { b } else { a };
            assert_eq!(
                (c.exit_rule, c.multipliers),
                (better.exit_rule, better.multipliers)
            );
            assert_eq!(c.evaluations, a.evaluations + b.evaluations);
        }
    }
}

#[test]
fn a_grid_finds_the_best_of_its_pairs() {
    let batch = ragged(&mut Rng::new(7), Kind::Skilled, 5, 50);
    let mut options = with_sharing(Sharing::PerSimulation);
    options.method = Method::Grid { high: 7, low: 5 };
    let outcome = run(&batch, &options, 2);
    for (s, group) in outcome.groups.iter().enumerate() {
        assert_eq!((group.evaluations, group.stop), (35, StopReason::Complete));
        let simulation = batch.simulation(s).unwrap();
        let mut best = simulation.profit(Multipliers::BASELINE, FEE, ExitRule::Intraday);
        for h in 0..7 {
            for l in 0..5 {
                let high = -0.03 + 0.01 * f64::from(h);
                let low = -0.03 + 0.015 * f64::from(l);
                let pair = Multipliers::new(high as f32, low as f32);
                best = best.max(simulation.profit(pair, FEE, ExitRule::Intraday));
            }
        }
        assert_abs_diff_eq!(group.profit, best, epsilon = 1e-6);
    }
    // One value per axis is the middle of the interval.
    options.method = Method::Grid { high: 1, low: 1 };
    options.high_bounds = (0.01, 0.02);
    options.low_bounds = (-0.02, 0.0);
    let outcome = run(&batch, &options, 1);
    for (s, group) in outcome.groups.iter().enumerate() {
        let at = |pair| exact_profit(&batch, &[s as u32], FEE, ExitRule::Intraday, pair).unwrap();
        let middle = Multipliers::new(0.015, -0.01);
        assert_eq!(group.profit, at(middle).max(at(Multipliers::BASELINE)));
        assert_eq!(group.evaluations, 1);
    }
}

#[test]
fn the_baseline_competes_even_outside_the_bounds() {
    // A perfect forecast: every change makes it worse.
    let bars = 30;
    let column = |x: f32| vec![x; bars];
    let mut builder = Batch::builder();
    builder
        .push(trisect::Fields {
            close: &column(0.0)[..],
            high: &column(0.02),
            low: &column(-0.02),
            high_pred: &column(0.02),
            low_pred: &column(-0.019),
            weights: trisect::Weights::EntryExit(&column(1.0)),
        })
        .unwrap();
    let batch = builder.build().unwrap();
    let mut options = with_sharing(Sharing::All);
    options.high_bounds = (0.001, 0.03);
    options.low_bounds = (0.001, 0.03);
    let group = &run(&batch, &options, 1).groups[0];
    assert_eq!(group.multipliers, Multipliers::BASELINE);
    assert_eq!(group.profit, group.baseline);
    assert!(group.profit > 1.0);
}

#[test]
fn an_observer_sees_every_round_and_can_cancel() {
    let batch = ragged(&mut Rng::new(8), Kind::Skilled, 12, 80);
    let options = with_sharing(Sharing::Chunks(3));
    let mut seen = Vec::new();
    let mut last = [f64::NEG_INFINITY; 4];
    let outcome = optimize(
        &mut evaluator(&batch, 2),
        &options,
        |progress: &Progress<'_>| {
            for (g, last) in last.iter_mut().enumerate() {
                let best = progress.best(g).unwrap();
                assert_eq!(best.exit_rule, Some(ExitRule::Intraday));
                assert!(best.value >= *last, "the best got worse");
                assert!(best.point.iter().all(|x| x.abs() <= 0.03));
                *last = best.value;
            }
            assert!(progress.best(4).is_none());
            assert_eq!(progress.groups, 4);
            seen.push((progress.rounds, progress.evaluations, progress.running));
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(seen.len() as u64, outcome.rounds);
    assert!(
        seen.windows(2)
            .all(|w| w[0].0 + 1 == w[1].0 && w[0].1 < w[1].1)
    );
    assert!(seen.windows(2).all(|w| w[0].2 >= w[1].2));
    assert_eq!(seen[0].2, 4);
    assert_eq!(seen.last().unwrap().2, 0);
    assert_eq!(seen.last().unwrap().1, outcome.evaluations);

    // Cancelled after 3 rounds: the best of 3 rounds, no worse than the baseline.
    let cancel = |progress: &Progress<'_>| match progress.rounds {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let cut = optimize(&mut evaluator(&batch, 1), &options, cancel).unwrap();
    assert_eq!((cut.rounds, cut.evaluations), (3, seen[2].1));
    for (group, full) in cut.groups.iter().zip(&outcome.groups) {
        assert_eq!(group.stop, StopReason::Cancelled);
        assert!(group.profit >= group.baseline && group.profit <= full.profit + 1e-6);
    }
    assert!(cut.groups.iter().any(|group| group.profit > group.baseline));
}

/// Sets a flag when it scores a single group for the `raised_at`-th time.
struct Raising<'a> {
    inner: Evaluator<'a>,
    flag: &'a AtomicBool,
    calls: AtomicUsize,
    raised_at: usize,
}

impl Evaluate for Raising<'_> {
    fn batch(&self) -> &Batch {
        self.inner.batch()
    }

    fn fee(&self) -> f64 {
        FEE
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        self.inner.means(groups, candidates, exit_rule, means)
    }

    fn threads(&self) -> Threads {
        self.inner.threads()
    }

    fn per_group(&self) -> Option<&dyn EvaluateGroup> {
        Some(self)
    }
}

impl EvaluateGroup for Raising<'_> {
    fn group_means(
        &self,
        groups: &Groups,
        group: usize,
        pairs: &[Multipliers],
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.raised_at {
            self.flag.store(true, Ordering::Relaxed);
        }
        let scorer = self.inner.per_group().unwrap();
        scorer.group_means(groups, group, pairs, exit_rule, means)
    }
}

#[test]
fn a_flag_cancels_searches_that_do_not_keep_step() {
    let batch = ragged(&mut Rng::new(14), Kind::Skilled, 30, 80);
    for options in searches(Sharing::PerSimulation) {
        let search = |raised_at: usize| {
            let flag = AtomicBool::new(raised_at == 0);
            let mut raising = Raising {
                inner: evaluator(&batch, 1),
                flag: &flag,
                calls: AtomicUsize::new(0),
                raised_at,
            };
            let outcome = optimize(&mut raising, &options, &flag).unwrap();
            (outcome, raising.calls.into_inner())
        };
        let (whole, calls) = search(usize::MAX);
        assert_eq!(whole.path, Path::OneByOne);
        assert_eq!(timeless(whole.clone()), timeless(run(&batch, &options, 1)));
        let (cut, done) = search(calls / 2);
        assert_eq!((cut.path, done), (Path::OneByOne, calls / 2));
        let mut unfinished = 0;
        for (group, whole) in cut.groups.iter().zip(&whole.groups) {
            assert!(group.profit >= group.baseline);
            if group.stop == StopReason::Cancelled {
                unfinished += usize::from(group.evaluations > 0);
            } else {
                assert_eq!(group, whole);
            }
        }
        let cancelled = |group: &&GroupOutcome| group.stop == StopReason::Cancelled;
        let cancelled = cut.groups.iter().filter(cancelled).count();
        assert!(cancelled > 5 && cancelled < 25, "{cancelled}");
        assert!(unfinished <= 1, "{unfinished}");
        assert_eq!(search(0).0.evaluations, 0);
    }
}

#[test]
fn a_flag_cancels_searches_that_keep_step() {
    let batch = ragged(&mut Rng::new(15), Kind::Skilled, 3, 80);
    let flag = AtomicBool::new(true);
    for method in [
        Method::Direct(DirectOptions::fast()),
        Method::Grid { high: 9, low: 9 },
    ] {
        let options = OptimizeOptions {
            method,
            exit_rule: ExitChoice::Both,
            ..with_sharing(Sharing::All)
        };
        let outcome = optimize(&mut evaluator(&batch, 2), &options, &flag).unwrap();
        assert_eq!(outcome.rounds, 1);
        assert_eq!(outcome.groups[0].stop, StopReason::Cancelled);
    }
}

#[test]
fn cancelling_a_grid_keeps_what_was_scored() {
    let batch = ragged(&mut Rng::new(9), Kind::Skilled, 4, 40);
    let mut options = with_sharing(Sharing::All);
    options.method = Method::Grid { high: 9, low: 9 };
    options.exit_rule = ExitChoice::Both;
    let stop = |_: &Progress<'_>| ControlFlow::Break(());
    let outcome = optimize(&mut evaluator(&batch, 1), &options, stop).unwrap();
    let group = &outcome.groups[0];
    // Intraday was scored, AtClose was not.
    assert_eq!((group.evaluations, outcome.rounds), (81, 1));
    assert_eq!(group.stop, StopReason::Cancelled);
    assert!(group.profit > group.baseline);
}

#[test]
fn a_time_limit_of_nothing_still_scores_one_round() {
    let batch = ragged(&mut Rng::new(10), Kind::Skilled, 6, 40);
    let mut options = with_sharing(Sharing::PerSimulation);
    options.time_limit = Some(Duration::ZERO);
    let outcome = run(&batch, &options, 1);
    assert_eq!((outcome.rounds, outcome.evaluations), (1, 6 * 5));
    for group in &outcome.groups {
        assert_eq!(group.stop, StopReason::TimeLimit);
    }
}

#[test]
fn the_budgets_are_hard_caps() {
    let batch = ragged(&mut Rng::new(11), Kind::Ties, 10, 100);
    for budget in [1, 4, 5, 6, 100, 500] {
        let mut options = with_sharing(Sharing::PerSimulation);
        let direct = Method::Direct(DirectOptions {
            max_evaluations: budget,
            ..DirectOptions::production()
        });
        let evolution = Method::Evolution(EvolutionOptions {
            max_evaluations: Some(budget),
            ..EvolutionOptions::production()
        });
        for method in [direct, evolution] {
            options.method = method;
            for group in run(&batch, &options, 2).groups {
                assert!(group.evaluations as usize <= budget, "{budget}: {group:?}");
            }
        }
    }
}

#[test]
fn every_method_and_sharing_survives_wild_bars() {
    let methods = [
        Method::Direct(DirectOptions::fast()),
        Method::Direct(DirectOptions {
            selection: Selection::ScipyCompat,
            size_measure: SizeMeasure::HalfDiagonal,
            ..DirectOptions::fast()
        }),
        Method::Direct(DirectOptions {
            selection: Selection::Aggressive,
            ..DirectOptions::fast()
        }),
        Method::Evolution(EvolutionOptions::production()),
        Method::Grid { high: 3, low: 4 },
    ];
    let batch = ragged(&mut Rng::new(12), Kind::Wild, 11, 70);
    for method in methods {
        for sharing in [Sharing::All, Sharing::Chunks(4), labels(11)] {
            let mut options = with_sharing(sharing);
            options.method = method.clone();
            options.exit_rule = ExitChoice::Both;
            let outcome = run(&batch, &options, 2);
            assert!(
                outcome
                    .groups
                    .iter()
                    .all(|group| group.profit >= group.baseline)
            );
            assert!(
                outcome
                    .groups
                    .iter()
                    .any(|group| group.profit > group.baseline)
            );
        }
    }
}

/// A caller's own evaluator: the f64 reference, one at a time, counting its calls.
struct Slow<'a> {
    batch: &'a Batch,
    calls: usize,
    fail_at: usize,
}

impl Evaluate for Slow<'_> {
    fn batch(&self) -> &Batch {
        self.batch
    }

    fn fee(&self) -> f64 {
        FEE
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        self.calls += 1;
        if self.calls == self.fail_at {
            return Err(Error::Objective("the machine is on fire".to_owned()));
        }
        let mut next = means.iter_mut();
        for g in 0..groups.len() {
            for &pair in candidates.of_group(g) {
                let members = groups.members(g);
                let profit = |&s: &u32| {
                    let simulation = self.batch.simulation(s as usize).unwrap();
                    simulation.profit(pair, FEE, exit_rule)
                };
                let mean = members.iter().map(profit).sum::<f64>() / members.len() as f64;
                *next.next().unwrap() = mean;
            }
        }
        assert!(next.next().is_none());
        Ok(())
    }
}

#[test]
fn a_callers_own_evaluator_drives_the_same_search() {
    let batch = ragged(&mut Rng::new(13), Kind::Skilled, 8, 60);
    let mut options = with_sharing(Sharing::Chunks(3));
    options.exit_rule = ExitChoice::Both;
    let mut slow = Slow {
        batch: &batch,
        calls: 0,
        fail_at: 0,
    };
    let own = optimize(&mut slow, &options, ()).unwrap();
    // One call per round and exit rule, for all groups at once.
    assert!(slow.calls as u64 <= 2 * own.rounds && slow.calls as u64 > own.rounds);
    let ours = run(&batch, &options, 2);
    for (a, b) in own.groups.iter().zip(&ours.groups) {
        assert_relative_eq!(a.profit, b.profit, max_relative = 0.01);
    }

    slow.calls = 0;
    slow.fail_at = 4;
    let error = optimize(&mut slow, &options, ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the objective failed: the machine is on fire"
    );
}

#[test]
fn an_objective_of_any_dimension_is_minimised() {
    for dim in 1..=5 {
        let bounds = Bounds::cube(dim, -1.0, 2.0).unwrap();
        let options = DirectOptions {
            max_evaluations: 4000,
            ..DirectOptions::production()
        };
        let mut calls = 0;
        let sphere = |points: &[f64], d: usize| {
            assert_eq!(d, dim);
            calls += points.len() / d;
            let value = |x: &[f64]| x.iter().map(|x| (x - 0.3) * (x - 0.3)).sum();
            points.chunks(d).map(value).collect()
        };
        let minimum = minimize(bounds, &options, sphere, ()).unwrap();
        assert_eq!(minimum.evaluations as usize, calls);
        let point = minimum.point.unwrap();
        assert_eq!(point.len(), dim);
        assert!(minimum.value < 1e-4, "{dim}: {}", minimum.value);
        let again: f64 = point.iter().map(|x| (x - 0.3) * (x - 0.3)).sum();
        assert_eq!(again, minimum.value, "x returned is x evaluated");
    }
}

#[test]
fn an_objective_without_finite_values_has_no_minimum() {
    let bounds = Bounds::cube(2, 0.0, 1.0).unwrap();
    let nothing = |points: &[f64], dim: usize| vec![f64::NAN; points.len() / dim];
    let minimum = minimize(bounds, &DirectOptions::fast(), nothing, ()).unwrap();
    assert_eq!((minimum.point, minimum.value), (None, f64::INFINITY));
    assert_eq!(minimum.stop, StopReason::Evaluations);
}

#[test]
fn groups_of_objectives_run_as_if_alone() {
    let bounds = || Bounds::cube(2, -1.0, 1.0).unwrap();
    let options = DirectOptions::fast();
    let value = |g: usize, x: &[f64]| {
        let target = 0.1 * g as f64;
        (x[0] - target).powi(2) + (x[1] + target).powi(2)
    };
    let mut rounds = 0;
    let together = minimize_groups(
        5,
        bounds(),
        &options,
        |points| {
            assert_eq!(points.groups(), 5);
            rounds += 1;
            let mut values = Vec::new();
            for g in 0..5 {
                for x in points.of_group(g).chunks(points.dim()) {
                    values.push(value(g, x));
                }
            }
            assert!(points.of_group(5).is_empty());
            Ok(values)
        },
        (),
    )
    .unwrap();
    for (g, minimum) in together.iter().enumerate() {
        let mut direct = Direct::new(bounds(), options).unwrap();
        while direct.stop().is_none() {
            let values: Vec<f64> = direct.ask().chunks(2).map(|x| value(g, x)).collect();
            direct.tell(&values).unwrap();
        }
        let best = direct.best().unwrap();
        assert_eq!(minimum.point.as_deref(), Some(best.x));
        assert_eq!(minimum.evaluations as usize, direct.evaluations());
        assert_eq!(Some(minimum.stop), direct.stop());
    }
    assert!(rounds < 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_sharing_equals_its_groups_run_alone(seed in any::<u64>(), kind in 0..3_usize) {
        let n = 13;
        let batch = ragged(&mut Rng::new(seed), KINDS[kind], n, 60);
        let sharings = [Sharing::All, Sharing::PerSimulation, Sharing::Chunks(4), labels(n)];
        for mut options in sharings.into_iter().flat_map(searches) {
            options.exit_rule = ExitChoice::Both;
            let together = run(&batch, &options, 2);
            for (g, group) in together.groups.iter().enumerate() {
                prop_assert!(group.profit >= group.baseline);
                let mut builder = Batch::builder();
                for &s in together.membership.members(g) {
                    builder.push(batch.simulation(s as usize).unwrap()).unwrap();
                }
                let alone = builder.build().unwrap();
                options.sharing = Sharing::All;
                let alone = run(&alone, &options, 1);
                let mut alone = alone.groups[0].clone();
                alone.name.clone_from(&group.name);
                prop_assert_eq!(group, &alone);
            }
        }
    }

    #[test]
    fn a_search_that_is_watched_finds_the_same(seed in any::<u64>(), kind in 0..3_usize) {
        let n = 17;
        let batch = ragged(&mut Rng::new(seed), KINDS[kind], n, 60);
        let sharings = [Sharing::All, Sharing::PerSimulation, Sharing::Chunks(4), labels(n)];
        for mut options in sharings.into_iter().flat_map(searches) {
            options.exit_rule = ExitChoice::Both;
            for threads in [1, 2] {
                let watch = |_: &Progress<'_>| ControlFlow::Continue(());
                let watched = optimize(&mut evaluator(&batch, threads), &options, watch).unwrap();
                let alone = run(&batch, &options, threads);
                prop_assert_eq!(timeless(watched), timeless(alone));
            }
        }
    }

    #[test]
    fn threads_do_not_change_an_outcome(seed in any::<u64>(), kind in 0..3_usize) {
        let batch = ragged(&mut Rng::new(seed), KINDS[kind], 40, 50);
        let sharings = [Sharing::All, Sharing::PerSimulation, Sharing::Chunks(7)];
        for options in sharings.into_iter().flat_map(searches) {
            let one = timeless(run(&batch, &options, 1));
            for threads in [2, 7] {
                prop_assert_eq!(&one, &timeless(run(&batch, &options, threads)));
            }
        }
    }
}
