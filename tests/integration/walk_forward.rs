//! Folds, and what a walk-forward run may and may not see.

use std::ops::{ControlFlow, Range};

use proptest::prelude::*;
use trisect::{
    BarReturn, Batch, DirectOptions, Error, EvaluateOptions, Evaluator, EvolutionOptions,
    ExactOptions, ExitChoice, ExitRule, Fold, FoldOptions, Method, Metrics, Multipliers,
    OptimizeOptions, Series, Sharing, WalkForward, WalkForwardOptions, WalkForwardOutcome,
    WalkForwardPart, Weights, exact_profit, optimize, profit, walk_forward,
};

use crate::support::{Columns, KINDS, Kind, Rng};

const DAY: i64 = 86_400;

fn series(name: &str, columns: &Columns) -> Series {
    Series {
        symbol: name.to_owned(),
        times: (0..columns.close.len() as i64)
            .map(|day| day * DAY)
            .collect(),
        close: columns.close.clone(),
        high: columns.high.clone(),
        low: columns.low.clone(),
        high_pred: columns.high_pred.clone(),
        low_pred: columns.low_pred.clone(),
        weights: Weights::EntryExit(columns.position.clone()),
    }
}

fn draw(seed: u64, kind: Kind, symbols: usize, bars: usize) -> Vec<Series> {
    let mut rng = Rng::new(seed);
    let draw = |symbol| series(&format!("S{symbol}"), &Columns::draw(&mut rng, kind, bars));
    (0..symbols).map(draw).collect()
}

/// The series without the bars for which `leaves_out` holds.
fn without(series: &Series, leaves_out: impl Fn(usize) -> bool) -> Series {
    fn keep<T: Copy>(column: &[T], leaves_out: &impl Fn(usize) -> bool) -> Vec<T> {
        let kept = column
            .iter()
            .enumerate()
            .filter(|(bar, _)| !leaves_out(*bar));
        kept.map(|(_, value)| *value).collect()
    }
    Series {
        symbol: series.symbol.clone(),
        times: keep(&series.times, &leaves_out),
        close: keep(&series.close, &leaves_out),
        high: keep(&series.high, &leaves_out),
        low: keep(&series.low, &leaves_out),
        high_pred: keep(&series.high_pred, &leaves_out),
        low_pred: keep(&series.low_pred, &leaves_out),
        weights: match &series.weights {
            Weights::EntryExit(positions) => Weights::EntryExit(keep(positions, &leaves_out)),
            Weights::AlwaysOn { .. } => unreachable!("not drawn"),
        },
    }
}

const FOLDS: FoldOptions = FoldOptions {
    train: 30,
    test: 10,
    step: 10,
    purge: 2,
    embargo: 0,
    anchored: false,
};

fn options(sharing: Sharing, method: Method) -> WalkForwardOptions {
    let mut options = WalkForwardOptions::new(FOLDS);
    options.optimize.sharing = sharing;
    options.optimize.method = method;
    options.evaluate.threads = Some(2);
    options
}

fn run(series: &[Series], options: &WalkForwardOptions) -> WalkForwardOutcome {
    let outcome = walk_forward(series, options, |_| ControlFlow::Continue(()));
    let outcome = outcome.expect("options in range");
    assert!(outcome.is_complete());
    outcome
}

fn exact() -> Method {
    Method::Exact(ExactOptions::default())
}

/// A batch of one simulation, of these bars of a series.
fn alone(series: &Series, bars: &[Range<usize>]) -> Batch {
    let inside = |bar: usize| bars.iter().any(|range| range.contains(&bar));
    let series = without(series, |bar| !inside(bar));
    let Weights::EntryExit(positions) = &series.weights else {
        unreachable!("not drawn");
    };
    let fields = trisect::Fields {
        close: &series.close[..],
        high: &series.high,
        low: &series.low,
        high_pred: &series.high_pred,
        low_pred: &series.low_pred,
        weights: Weights::EntryExit(&positions[..]),
    };
    Batch::from_slices(&[series.len()], fields).expect("checked bars")
}

fn fold_options() -> impl Strategy<Value = (FoldOptions, usize)> {
    let lengths = (
        1_usize..30,
        1_usize..10,
        0_usize..10,
        0_usize..6,
        0_usize..8,
    );
    (lengths, any::<bool>(), 0_usize..120).prop_map(
        |((train, test, beyond, purge, embargo), anchored, more)| {
            let options = FoldOptions {
                train,
                test,
                step: test + beyond,
                purge,
                embargo,
                anchored,
            };
            (options, train + purge + test + more)
        },
    )
}

proptest! {
    #[test]
    fn folds_keep_their_rules((options, bars) in fold_options()) {
        let folds = match options.folds(bars) {
            Ok(folds) => folds,
            Err(Error::InvalidOption { name, .. }) => {
                // The only reason left: nothing to train on.
                prop_assert_eq!(name, "embargo");
                prop_assert!(options.embargo > 0);
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        // What each bar of each fold is, said one by one.
        let mut is_used = vec![false; bars];
        for (k, fold) in folds.iter().enumerate() {
            let start = options.train + options.purge + k * options.step;
            prop_assert_eq!(fold.test.clone(), start..start + options.test);
            prop_assert!(fold.test.end <= bars);
            let parts = fold.train_parts();
            prop_assert!(!parts.is_empty());
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            prop_assert!(parts.windows(2).all(|pair| pair[0].end < pair[1].start));
            for (bar, is_used) in is_used.iter_mut().enumerate() {
                let end = start - options.purge;
                let is_in_window =
                    bar < end && (options.anchored || bar >= end - options.train);
                let is_embargoed = folds[..k].iter().any(|earlier| {
                    bar >= earlier.test.end && bar < earlier.test.end + options.embargo
                });
                let trains = parts.iter().any(|part| part.contains(&bar));
                let tests = fold.test.contains(&bar);
                prop_assert_eq!(trains, is_in_window && !is_embargoed, "fold {}, bar {}", k, bar);
                prop_assert!(!(trains && tests));
                *is_used |= trains || tests;
            }
        }
        // No further fold fits.
        let next = folds.last().unwrap().test.start + options.step + options.test;
        prop_assert!(next > bars);
        // Every bar is used or stated to be unused.
        let unused = Fold::unused(&folds, bars);
        prop_assert!(unused.iter().all(|range| !range.is_empty() && range.end <= bars));
        prop_assert!(unused.windows(2).all(|pair| pair[0].end < pair[1].start));
        for (bar, is_used) in is_used.iter().enumerate() {
            let is_listed = unused.iter().any(|range| range.contains(&bar));
            prop_assert_eq!(is_listed, !is_used, "bar {}", bar);
        }
        // No bar is tested twice.
        prop_assert!(folds.windows(2).all(|pair| pair[0].test.end <= pair[1].test.start));
    }
}

#[test]
fn folds_that_make_no_sense_are_refused() {
    let name = |options: FoldOptions, bars| match options.folds(bars) {
        Err(Error::InvalidOption { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(name(FoldOptions { train: 0, ..FOLDS }, 100), "train");
    assert_eq!(name(FoldOptions { test: 0, ..FOLDS }, 100), "test");
    assert_eq!(name(FoldOptions { step: 9, ..FOLDS }, 100), "step");
    assert_eq!(name(FOLDS, 41), "bars");
    assert_eq!(FOLDS.folds(42).unwrap().len(), 1);
    let huge = usize::MAX;
    let all_huge = FoldOptions {
        train: huge,
        test: huge,
        step: huge,
        purge: huge,
        embargo: huge,
        anchored: false,
    };
    assert_eq!(name(all_huge, 100), "bars");
    let one_fold = FoldOptions {
        step: huge,
        embargo: huge,
        ..FOLDS
    };
    assert_eq!(one_fold.folds(1000).unwrap().len(), 1);
    // Fold 5 would train on bars after the first test window only.
    let starved = FoldOptions {
        embargo: huge,
        ..FOLDS
    };
    assert_eq!(name(starved, 1000), "embargo");
}

#[test]
fn no_test_bar_influences_what_was_trained() {
    let methods = [
        exact(),
        Method::Direct(DirectOptions::fast()),
        Method::Evolution(EvolutionOptions::fast()),
        Method::Grid { high: 5, low: 7 },
    ];
    let sharings = [
        Sharing::PerSimulation,
        Sharing::All,
        Sharing::Groups(["a", "b", "a"].map(str::to_owned).to_vec()),
    ];
    let before = draw(1, Kind::Skilled, 3, 100);
    let later = draw(2, Kind::Wild, 3, 100);
    for method in methods {
        for sharing in &sharings {
            let mut options = options(sharing.clone(), method.clone());
            options.optimize.exit_rule = ExitChoice::Both;
            let kept = run(&before, &options);
            for (fold, window) in kept.folds.iter().enumerate() {
                // From the end of the train window on, the purged bars too, everything differs.
                let mut changed = before.clone();
                for (series, later) in changed.iter_mut().zip(&later) {
                    let from = window.train.end;
                    series.close[from..].copy_from_slice(&later.close[from..]);
                    series.high[from..].copy_from_slice(&later.high[from..]);
                    series.low[from..].copy_from_slice(&later.low[from..]);
                    series.high_pred[from..].copy_from_slice(&later.high_pred[from..]);
                    series.low_pred[from..].copy_from_slice(&later.low_pred[from..]);
                    let (Weights::EntryExit(kept), Weights::EntryExit(later)) =
                        (&mut series.weights, &later.weights)
                    else {
                        unreachable!("drawn so");
                    };
                    kept[from..].copy_from_slice(&later[from..]);
                }
                let changed = run(&changed, &options);
                let mut differ = 0;
                for (row, other) in kept.rows.iter().zip(&changed.rows) {
                    assert_eq!((row.symbol, row.fold), (other.symbol, other.fold));
                    if row.fold <= fold {
                        let trained = |row: &trisect::WalkForwardRow| {
                            let Multipliers { high, low } = row.multipliers;
                            let profits = [row.in_sample.profit, row.in_sample.baseline];
                            (
                                [high, low].map(f32::to_bits),
                                profits.map(f64::to_bits),
                                (row.exit_rule, row.baseline_rule),
                                (row.in_sample.bars, row.candidates, row.stop),
                            )
                        };
                        assert_eq!(trained(row), trained(other), "{method:?}, fold {fold}");
                    }
                    if row.fold == fold {
                        differ += usize::from(row.out_of_sample != other.out_of_sample);
                    }
                }
                // The change was one: the tests see it.
                assert_eq!(differ, 3, "{method:?}, fold {fold}");
            }
        }
    }
}

#[test]
fn every_value_is_that_of_its_windows_alone() {
    let sizes_and_kinds = KINDS.into_iter().flat_map(|kind| [(1, kind), (2, kind)]);
    for (seed, (size, kind)) in (10..).zip(sizes_and_kinds) {
        let series = draw(seed, kind, 4, 140);
        let sharing = match size {
            1 => Sharing::PerSimulation,
            _ => Sharing::Chunks(size),
        };
        let mut options = options(sharing, exact());
        options.folds.embargo = 3;
        options.folds.step = 12;
        options.optimize.exit_rule = ExitChoice::Both;
        options.part_bars = 100;
        let outcome = run(&series, &options);
        assert_eq!(outcome.rows.len(), 4 * outcome.folds.len());
        let fee = options.evaluate.fee;
        for (index, row) in outcome.rows.iter().enumerate() {
            let fold = &outcome.folds[row.fold];
            assert_eq!(row.group, row.symbol / size);

            // The pair is the one that a batch of the group's train windows alone gives.
            let mut builder = Batch::builder();
            for series in &series[row.group * size..][..size] {
                let batch = alone(series, &fold.train_parts());
                builder.push(batch.simulation(0).unwrap()).unwrap();
            }
            let batch = builder.build().unwrap();
            let mut evaluator = Evaluator::cpu(&batch, &EvaluateOptions::default()).unwrap();
            let again = WalkForward::new(&series, &options).unwrap();
            let again = again.train_batch(row.fold, row.group).unwrap();
            assert!(again.simulations().eq(batch.simulations()));
            let tuned = OptimizeOptions {
                sharing: Sharing::All,
                ..options.optimize.clone()
            };
            let tuned = optimize(&mut evaluator, &tuned, ()).unwrap();
            assert_eq!(row.multipliers, tuned.groups[0].multipliers);
            assert_eq!(row.exit_rule, tuned.groups[0].exit_rule);
            let members = &[0, 1][..size];
            let of_baseline =
                |rule| exact_profit(&batch, members, fee, rule, Multipliers::BASELINE).unwrap();
            assert_eq!(of_baseline(row.baseline_rule), tuned.groups[0].baseline);
            let legs = batch.simulations().flat_map(|simulation| {
                let positions: Vec<_> = simulation.positions().collect();
                positions
            });
            let legs = legs.filter(|(_, position)| *position != 0.0).count() as u64;
            assert_eq!(row.candidates, 2 * (legs + 1) * (legs + 1));

            // Profits are those of the windows alone.
            let train = alone(&series[row.symbol], &fold.train_parts());
            let test = alone(&series[row.symbol], std::slice::from_ref(&fold.test));
            for (window, batch) in [(row.in_sample, &train), (row.out_of_sample, &test)] {
                let profit = |rule, pair| exact_profit(batch, &[0], fee, rule, pair).unwrap();
                assert_eq!(window.bars, batch.bars());
                assert_eq!(window.profit, profit(row.exit_rule, row.multipliers));
                assert_eq!(
                    window.baseline,
                    profit(row.baseline_rule, Multipliers::BASELINE)
                );
            }

            // Returns are those of the bars, and add up to the profit.
            let simulation = test.simulation(0).unwrap();
            let returns = outcome.returns_of(index);
            assert_eq!(returns.len(), simulation.bars());
            for ((bar, position), of_bar) in simulation.positions().zip(returns) {
                let value = profit(&bar, position, row.multipliers, fee, row.exit_rule);
                assert_eq!(of_bar.tuned, value);
                let baseline = Multipliers::BASELINE;
                let value = profit(&bar, position, baseline, fee, row.baseline_rule);
                assert_eq!(of_bar.baseline, value);
                // A leg that entered pays its fee, which nothing else changes.
                let fees = |pair, rule| {
                    let with = profit(&bar, position, pair, 0.5, rule);
                    (profit(&bar, position, pair, 0.0, rule) - with) / 0.5
                };
                let traded = fees(row.multipliers, row.exit_rule);
                assert!((of_bar.traded - traded).abs() < 1e-6, "{bar:?}");
                let traded = fees(baseline, row.baseline_rule);
                assert!((of_bar.baseline_traded - traded).abs() < 1e-6, "{bar:?}");
            }
            let sum: f64 = returns.iter().map(|bar| bar.tuned).sum();
            assert!((sum - row.out_of_sample.profit).abs() < 1e-9);
        }
    }
}

#[test]
fn both_weights_of_an_always_on_bar_are_in_its_return() {
    let mut rng = Rng::new(5);
    let columns = Columns::draw(&mut rng, Kind::Skilled, 60);
    let mut both = series("both", &columns);
    both.weights = Weights::AlwaysOn {
        buy: columns.position.iter().map(|weight| weight.abs()).collect(),
        sell: Some(columns.sell.clone()),
    };
    let options = options(Sharing::PerSimulation, exact());
    let outcome = run(&[both], &options);
    assert_eq!(outcome.folds.len(), 2);
    for (index, row) in outcome.rows.iter().enumerate() {
        let mut sum = 0.0;
        for (bar, of_bar) in outcome.returns_of(index).iter().enumerate() {
            let at = outcome.folds[row.fold].test.start + bar;
            let bar = trisect::Bar {
                close: columns.close[at],
                high: columns.high[at],
                low: columns.low[at],
                high_pred: columns.high_pred[at],
                low_pred: columns.low_pred[at],
            };
            let fee = options.evaluate.fee;
            let weights = [columns.position[at].abs(), columns.sell[at]];
            let profits =
                weights.map(|weight| profit(&bar, weight, row.multipliers, fee, row.exit_rule));
            assert_eq!(of_bar.tuned, profits[0] + profits[1]);
            sum += of_bar.tuned;
        }
        assert!((sum - row.out_of_sample.profit).abs() < 1e-12);
    }
}

/// Rows, returns and summaries, without the times that the stages took.
fn content(mut outcome: WalkForwardOutcome) -> WalkForwardOutcome {
    outcome.times = Default::default();
    outcome
}

#[test]
fn parts_and_threads_change_no_bit() {
    let series = draw(3, Kind::Skilled, 5, 120);
    for sharing in [Sharing::PerSimulation, Sharing::All] {
        let mut options = options(sharing, Method::Direct(DirectOptions::fast()));
        let whole = WalkForward::new(&series, &options).unwrap();
        assert_eq!(whole.parts(), 1);
        let expected = content(run(&series, &options));
        options.part_bars = 70;
        options.evaluate.threads = Some(1);
        let divided = WalkForward::new(&series, &options).unwrap();
        assert!(divided.parts() >= divided.folds().len());
        // The last first, and made twice: the same.
        let mut parts: Vec<WalkForwardPart> = Vec::new();
        for part in (0..divided.parts()).rev() {
            let made = divided.run_part(part).unwrap();
            let again = divided.run_part(part).unwrap();
            assert_eq!((&made.rows, &made.returns), (&again.rows, &again.returns));
            parts.push(made);
        }
        assert_eq!(content(divided.finish(parts).unwrap()), expected);
    }
}

#[test]
fn symbols_of_other_calendars_take_part_where_they_have_bars() {
    let all = draw(4, Kind::Skilled, 3, 80);
    // One has holidays, one is listed late and gone early.
    let series = [
        all[0].clone(),
        without(&all[1], |bar| bar % 7 == 3),
        without(&all[2], |bar| !(45..66).contains(&bar)),
    ];
    let mut options = options(Sharing::PerSimulation, exact());
    options.least_train = 5;
    let outcome = run(&series, &options);
    assert_eq!(outcome.calendar, all[0].times);
    // Folds test 32..42, 42..52, 52..62, 62..72; the third symbol trains up to 50 and 60.
    let folds_of = |symbol| {
        let rows = outcome.rows.iter().filter(|row| row.symbol == symbol);
        rows.map(|row| row.fold).collect::<Vec<_>>()
    };
    assert_eq!(folds_of(0), [0, 1, 2, 3]);
    assert_eq!(folds_of(1), [0, 1, 2, 3]);
    assert_eq!(folds_of(2), [2, 3]);
    let mut next = 0;
    for (index, row) in outcome.rows.iter().enumerate() {
        let fold = &outcome.folds[row.fold];
        let of_symbol = |at: usize| match row.symbol {
            0 => true,
            1 => at % 7 != 3,
            _ => (45..66).contains(&at),
        };
        let trained: usize = fold.train.clone().filter(|&at| of_symbol(at)).count();
        assert_eq!(row.in_sample.bars, trained);
        let tested: Vec<u32> = fold
            .test
            .clone()
            .filter(|&at| of_symbol(at))
            .map(|at| at as u32)
            .collect();
        let returns = outcome.returns_of(index);
        assert_eq!(outcome.return_times[next..next + returns.len()], tested);
        next += returns.len();
    }
    // The portfolio is the mean of who is there.
    assert_eq!(outcome.portfolio_times, (32..72).collect::<Vec<u32>>());
    for (bar, time) in outcome.portfolio.iter().zip(&outcome.portfolio_times) {
        let there = outcome.returns.iter().zip(&outcome.return_times);
        let there: Vec<&BarReturn> = there
            .filter(|(_, at)| *at == time)
            .map(|(bar, _)| bar)
            .collect();
        let mean = there.iter().map(|bar| bar.tuned).sum::<f64>() / there.len() as f64;
        assert_eq!(bar.tuned, mean);
    }
    // Alone, a symbol comes to the same in the folds of the same windows.
    let alone = run(&series[..1], &options);
    assert_eq!(alone.rows[..], outcome.rows[..4]);
}

#[test]
fn summaries_are_those_of_their_rows() {
    let series = draw(6, Kind::Skilled, 3, 120);
    let outcome = run(&series, &options(Sharing::PerSimulation, exact()));
    let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{a}, {b}");
    let mut gains = 0;
    for (symbol, summary) in outcome.per_symbol.iter().enumerate() {
        let rows: Vec<_> = outcome
            .rows
            .iter()
            .filter(|row| row.symbol == symbol)
            .collect();
        assert_eq!(summary.rows, rows.len());
        let sum =
            |of: fn(&trisect::WalkForwardRow) -> f64| rows.iter().map(|row| of(row)).sum::<f64>();
        close(summary.in_sample.profit, sum(|row| row.in_sample.profit));
        close(
            summary.in_sample.baseline,
            sum(|row| row.in_sample.baseline),
        );
        close(
            summary.out_of_sample.profit,
            sum(|row| row.out_of_sample.profit),
        );
        close(
            summary.out_of_sample.baseline,
            sum(|row| row.out_of_sample.baseline),
        );
        assert_eq!(
            (summary.in_sample.bars, summary.out_of_sample.bars),
            (8 * 30, 8 * 10)
        );
        let gained = rows
            .iter()
            .filter(|row| row.out_of_sample.gain() > 0.0)
            .count();
        assert_eq!(summary.gain_share, Some(gained as f64 / 8.0));
        gains += gained;
        let trained = summary.in_sample.profit / 240.0;
        let tested = summary.out_of_sample.profit / 80.0;
        close(summary.degradation().unwrap(), 1.0 - tested / trained);

        let highs: Vec<f64> = rows
            .iter()
            .map(|row| f64::from(row.multipliers.high))
            .collect();
        let mean = highs.iter().sum::<f64>() / 8.0;
        let variance = highs.iter().map(|high| (high - mean).powi(2)).sum::<f64>() / 7.0;
        let change = highs
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .sum::<f64>()
            / 7.0;
        let stability = summary.stability.unwrap();
        close(stability.high_deviation, variance.sqrt());
        close(stability.high_change, change);
        assert!(stability.high_change > 0.0 && stability.low_change > 0.0);
        assert!(stability.low_deviation != stability.high_deviation);

        let returns: Vec<usize> = (0..outcome.rows.len())
            .filter(|&row| outcome.rows[row].symbol == symbol)
            .collect();
        let bars = returns.iter().flat_map(|&row| outcome.returns_of(row));
        let bars: Vec<BarReturn> = bars.copied().collect();
        let column = |of: fn(&BarReturn) -> f64| bars.iter().map(of).collect::<Vec<_>>();
        let trials = rows.iter().map(|row| row.candidates).max().unwrap();
        let metrics = Metrics::new(
            &column(|bar| bar.tuned),
            &column(|bar| bar.traded),
            252.0,
            trials,
        );
        assert_eq!(summary.metrics, metrics.unwrap());
        let metrics = Metrics::new(
            &column(|bar| bar.baseline),
            &column(|bar| bar.baseline_traded),
            252.0,
            1,
        );
        assert_eq!(summary.baseline_metrics, metrics.unwrap());
    }
    assert_eq!(outcome.run.gain_share, Some(gains as f64 / 24.0));
    assert_eq!((outcome.run.rows, outcome.run.metrics.bars), (24, 80));
    for (fold, summary) in outcome.per_fold.iter().enumerate() {
        let rows = outcome.rows.iter().filter(|row| row.fold == fold);
        close(
            summary.out_of_sample.profit,
            rows.map(|row| row.out_of_sample.profit).sum(),
        );
        assert_eq!(
            (summary.rows, summary.metrics.bars, summary.stability),
            (3, 10, None)
        );
        let returns: Vec<f64> = outcome.portfolio[10 * fold..][..10]
            .iter()
            .map(|bar| bar.tuned)
            .collect();
        let expected = trisect::Returns::new(&returns, 252.0).unwrap();
        assert_eq!(summary.metrics.sharpe, expected.sharpe());
    }
}

#[test]
fn a_cancelled_run_gives_what_there_is() {
    let series = draw(7, Kind::Skilled, 2, 120);
    let mut options = options(Sharing::All, exact());
    options.part_bars = 1;
    let all = run(&series, &options);
    let mut seen = Vec::new();
    let outcome = walk_forward(&series, &options, |progress| {
        seen.push((progress.parts, progress.simulations));
        if seen.len() == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let outcome = outcome.unwrap();
    assert_eq!(
        seen,
        [((1, 8), (2, 16)), ((2, 8), (4, 16)), ((3, 8), (6, 16))]
    );
    assert_eq!(outcome.missing_parts, [3, 4, 5, 6, 7]);
    assert!(!outcome.is_complete());
    let kept: Vec<_> = all
        .rows
        .iter()
        .filter(|row| row.fold < 3)
        .cloned()
        .collect();
    assert_eq!(outcome.rows, kept);
    assert_eq!(outcome.per_fold[3].rows, 0);
    assert_eq!(outcome.per_fold[3].metrics.sharpe, None);
}

#[test]
fn parts_of_another_run_are_refused() {
    let series = draw(8, Kind::Skilled, 2, 120);
    let mut options = options(Sharing::PerSimulation, exact());
    options.part_bars = 1;
    let this = WalkForward::new(&series, &options).unwrap();
    let part = this.run_part(1).unwrap();
    let refuses = |parts: Vec<WalkForwardPart>| {
        let error = this.finish(parts).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    };
    refuses(vec![part.clone(), part.clone()]);
    refuses(vec![WalkForwardPart {
        part: 2,
        ..part.clone()
    }]);
    refuses(vec![WalkForwardPart {
        part: this.parts(),
        ..part.clone()
    }]);
    let mut short = part.clone();
    short.returns.pop();
    refuses(vec![short]);
    let mut empty = part.clone();
    empty.rows.clear();
    empty.returns.clear();
    refuses(vec![empty]);
    let mut broken = part.clone();
    broken.returns[0].tuned = f64::NAN;
    refuses(vec![broken]);
    assert!(this.run_part(this.parts()).is_err());
    assert!(this.train_batch(8, 0).is_err() && this.train_batch(0, 2).is_err());
    assert!(this.finish(vec![part]).is_ok());
    let none = this.finish(Vec::new()).unwrap();
    assert_eq!((none.rows.len(), none.run.gain_share), (0, None));
}

#[test]
fn what_cannot_be_run_is_refused_before_any_work() {
    let good = draw(9, Kind::Skilled, 2, 60);
    let good_options = options(Sharing::PerSimulation, exact());
    let error = |series: &[Series], options: &WalkForwardOptions| {
        WalkForward::new(series, options).map(|_| ()).unwrap_err()
    };
    let option = |series: &[Series], change: &dyn Fn(&mut WalkForwardOptions)| {
        let mut options = good_options.clone();
        change(&mut options);
        match error(series, &options) {
            Error::InvalidOption { name, .. } => name,
            other => panic!("{other}"),
        }
    };
    assert!(WalkForward::new(&good, &good_options).is_ok());
    assert_eq!(
        option(&good, &|o| o.periods_per_year = f64::NAN),
        "periods_per_year"
    );
    assert_eq!(option(&good, &|o| o.least_train = 0), "least_train");
    assert_eq!(option(&good, &|o| o.least_train = 31), "least_train");
    assert_eq!(option(&good, &|o| o.part_bars = 0), "part_bars");
    assert_eq!(option(&good, &|o| o.evaluate.threads = Some(0)), "threads");
    let limit = |o: &mut WalkForwardOptions| o.optimize.time_limit = Some(Default::default());
    assert_eq!(option(&good, &limit), "time_limit");
    let chunks = |o: &mut WalkForwardOptions| o.optimize.sharing = Sharing::Chunks(0);
    assert_eq!(option(&good, &chunks), "Sharing::Chunks");
    assert_eq!(error(&[], &good_options), Error::EmptyBatch);

    let mut same = good.clone();
    same[1].symbol = same[0].symbol.clone();
    assert_eq!(option(&same, &|_| ()), "symbol");
    let mut bad = good.clone();
    bad[1].close[7] = f32::NAN;
    let found = error(&bad, &good_options);
    assert!(
        matches!(
            found,
            Error::NotFinite {
                simulation: 1,
                bar: 7,
                ..
            }
        ),
        "{found}"
    );
    let mut mixed = good.clone();
    mixed[1].weights = Weights::AlwaysOn {
        buy: vec![1.0; 60],
        sell: None,
    };
    let found = error(&mixed, &good_options);
    assert!(
        matches!(found, Error::MixedWeights { simulation: 1, .. }),
        "{found}"
    );
    let mut empty = good.clone();
    empty[1] = without(&empty[1], |_| true);
    let found = error(&empty, &good_options);
    assert_eq!(found, Error::EmptySimulation { simulation: 1 });
    // Two symbols that are never there at the same time: neither trains and tests.
    let apart = [
        without(&good[0], |bar| bar >= 32),
        without(&good[1], |bar| bar < 32),
    ];
    let mut one_fold = good_options.clone();
    one_fold.folds.test = 20;
    one_fold.folds.step = 20;
    let found = error(&apart, &one_fold);
    assert!(
        matches!(
            found,
            Error::InvalidOption {
                name: "least_train",
                ..
            }
        ),
        "{found}"
    );
    // What the search refuses, the first part does.
    let mut unbounded = good_options.clone();
    unbounded.optimize.high_bounds = (0.1, -0.1);
    let run = WalkForward::new(&good, &unbounded).unwrap();
    assert!(matches!(run.run_part(0), Err(Error::Bounds { .. })));
}

#[test]
fn a_fixed_exit_rule_is_that_of_the_baseline_too() {
    let series = draw(12, Kind::Skilled, 2, 60);
    for rule in [ExitRule::Intraday, ExitRule::AtClose] {
        let mut options = options(Sharing::All, exact());
        options.optimize.exit_rule = ExitChoice::Fixed(rule);
        for row in run(&series, &options).rows {
            assert_eq!((row.exit_rule, row.baseline_rule), (rule, rule));
        }
    }
}

#[cfg(feature = "serde")]
#[test]
fn parts_and_options_are_the_same_when_read_back() {
    let series = draw(13, Kind::Skilled, 3, 120);
    let mut methods = vec![exact(), Method::Grid { high: 5, low: 7 }];
    methods.push(Method::Direct(DirectOptions::production()));
    methods.push(Method::Evolution(EvolutionOptions::production()));
    for method in methods {
        let labels = ["a", "b", "a"].map(str::to_owned).to_vec();
        let mut options = options(Sharing::Groups(labels), method);
        options.optimize.exit_rule = ExitChoice::Both;
        let text = serde_json::to_string(&options).unwrap();
        let read: WalkForwardOptions = serde_json::from_str(&text).unwrap();
        assert_eq!(read, options);

        let run = WalkForward::new(&series, &options).unwrap();
        let part = run.run_part(0).unwrap();
        let text = serde_json::to_string(&part).unwrap();
        let read: WalkForwardPart = serde_json::from_str(&text).unwrap();
        assert_eq!(read, part);
        let resumed = WalkForward::new(&series, &options)
            .unwrap()
            .finish(vec![read]);
        assert_eq!(
            content(resumed.unwrap()),
            content(run.finish(vec![part]).unwrap())
        );
    }
}
