//! What holds for the exact optimum beyond its value: published suprema, bits, hard inputs, caps.

use rayon::prelude::*;
use serde_json::Value;
use trisect::{
    Bar, Batch, EQUITY_FEE, Error, ExactOptions, ExactSolver, ExitRule, Fields, Multipliers, OnCap,
    Weights, exact, exact_profit, profit_f64,
};

use crate::exact::{Terms, draw_batch, magnitude, plain_profit, positions};
use crate::golden::read_json;
use crate::support::{Columns, Kind, Rng, package};

const BOX: (f32, f32) = (-0.03, 0.03);

fn floats(case: &Value, name: &str) -> Vec<f32> {
    let values = case[name].as_array().unwrap().iter();
    values.map(|x| x.as_f64().unwrap() as f32).collect()
}

/// Whether the exact optimum leads to the published supremum: in real arithmetic it lies at the
/// gates next to the f32 ones that were found, or at the ends of the real box.
fn reaches_supremum(case: &Value, position_names: &[&str]) -> Result<(), String> {
    let [close, high, low, high_pred, low_pred] = [
        "close",
        "high_actual",
        "low_actual",
        "high_pred",
        "low_pred",
    ]
    .map(|name| floats(case, name));
    let columns: Vec<Vec<f32>> = position_names
        .iter()
        .map(|name| floats(case, name))
        .collect();
    let weights = match &columns[..] {
        [position] if position_names == ["pos"] => Weights::EntryExit(&position[..]),
        [buy] => Weights::AlwaysOn {
            buy: &buy[..],
            sell: None,
        },
        [buy, sell] => Weights::AlwaysOn {
            buy: &buy[..],
            sell: Some(&sell[..]),
        },
        _ => return Err("one or two columns".into()),
    };
    let fields = Fields {
        close: &close[..],
        high: &high,
        low: &low,
        high_pred: &high_pred,
        low_pred: &low_pred,
        weights,
    };
    let batch = Batch::from_slices(&[close.len()], fields).map_err(|error| error.to_string())?;
    let fee = case["fee"].as_f64().unwrap();
    let rule = match case["close_at_eod"].as_bool().unwrap() {
        true => ExitRule::AtClose,
        false => ExitRule::Intraday,
    };
    let axis = |axis: usize| {
        let end = |end: usize| case["bounds"][axis][end].as_f64().unwrap();
        (end(0), end(1))
    };
    let narrow = |(least, greatest): (f64, f64)| (least as f32, greatest as f32);
    let (high_ends, low_ends) = (axis(0), axis(1));
    let options = ExactOptions::default();
    let (high_box, low_box) = (narrow(high_ends), narrow(low_ends));
    let found = exact(&batch, &[0], fee, rule, high_box, low_box, &options)
        .map_err(|error| error.to_string())?;

    let bars = positions(&batch, &[0]);
    let gates = |found: f32, gate: fn(&Bar) -> f64, inward: f64, ends: (f64, f64)| {
        let mut near = vec![f64::from(found), ends.0, ends.1];
        for (bar, _) in &bars {
            near.extend([gate(bar), gate(bar) + inward]);
        }
        near.retain(|x| (x - f64::from(found)).abs() < 1e-8 && (ends.0..=ends.1).contains(x));
        near
    };
    let high = |bar: &Bar| f64::from(bar.high) - f64::from(bar.high_pred);
    let low = |bar: &Bar| f64::from(bar.low) - f64::from(bar.low_pred);
    let mut greatest = f64::NEG_INFINITY;
    for &h in &gates(found.multipliers.high, high, -1e-13, high_ends) {
        for &l in &gates(found.multipliers.low, low, 1e-13, low_ends) {
            let terms = bars.iter();
            let terms = terms.map(|(bar, position)| profit_f64(bar, *position, (h, l), fee, rule));
            greatest = greatest.max(terms.sum());
        }
    }
    let supremum = case["exact"]["sup"].as_f64().unwrap();
    if (greatest - supremum).abs() <= 1e-9 {
        Ok(())
    } else {
        Err(format!("found {greatest} at {found:?}, not {supremum}"))
    }
}

#[test]
fn published_suprema_are_reached() {
    let dir = package().join("tests/golden");
    let mut failures = Vec::new();
    let mut check = |id: &Value, reached: Result<(), String>| {
        if let Err(error) = reached {
            failures.push(format!("{id}: {error}"));
        }
    };
    let root = read_json(&dir, "entry_exit_direct.json").unwrap();
    let simulations = root["sims"].as_array().unwrap();
    for case in simulations {
        check(&case["id"], reaches_supremum(case, &["pos"]));
    }
    let root = read_json(&dir, "always_on.json").unwrap();
    let cases = root["cases"].as_array().unwrap();
    for case in cases {
        let names: &[&str] = match case["is_crypto"].as_bool().unwrap() {
            true => &["buy"],
            false => &["buy", "sell"],
        };
        check(&case["id"], reaches_supremum(case, names));
    }
    assert!(simulations.len() + cases.len() >= 48);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn threads_and_the_order_of_legs_and_simulations_change_no_bit() {
    let mut rng = Rng::new(91);
    for _ in 0..12 {
        let longest = [9, 300][rng.below(2)];
        let columns: Vec<Columns> = (0..20)
            .map(|_| {
                let bars = 1 + rng.below(longest);
                Columns::draw(&mut rng, Kind::Skilled, bars)
            })
            .collect();
        let build = |columns: &[Columns]| {
            let mut builder = Batch::builder();
            for columns in columns {
                builder.push(columns.entry_exit()).unwrap();
            }
            builder.build().unwrap()
        };
        let batch = build(&columns);
        let mut turned: Vec<Columns> = columns.clone();
        turned.reverse();
        for columns in &mut turned {
            let Columns {
                close,
                high,
                low,
                high_pred,
                low_pred,
                position,
                sell,
            } = columns;
            for column in [close, high, low, high_pred, low_pred, position, sell] {
                column.reverse();
            }
        }
        let turned = build(&turned);
        let terms = Terms::draw(&mut rng);
        let solve = |batch: &Batch, members: &[u32]| {
            let found = terms.solve(&mut ExactSolver::new(), batch, members);
            (
                found.profit.to_bits(),
                found.multipliers.high.to_bits(),
                found.multipliers.low.to_bits(),
            )
        };
        let groups: Vec<Vec<u32>> = (0..20)
            .map(|s| vec![s])
            .chain([(0..20).collect(), (3..11).collect()])
            .collect();
        let one: Vec<_> = groups.iter().map(|group| solve(&batch, group)).collect();
        for (group, expected) in groups.iter().zip(&one) {
            let members: Vec<u32> = group.iter().map(|s| 19 - s).collect();
            assert_eq!(&solve(&turned, &members), expected);
        }
        for threads in [2, 7] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let many: Vec<_> = pool.install(|| {
                groups
                    .par_iter()
                    .map(|group| solve(&batch, group))
                    .collect()
            });
            assert_eq!(many, one, "{threads} threads");
        }
    }
}

/// A batch of one simulation of `bars` equal bars.
fn equal_bars(bars: usize, bar: Bar, position: f32) -> Batch {
    let column = |x: f32| vec![x; bars];
    let fields = Fields {
        close: &column(bar.close)[..],
        high: &column(bar.high),
        low: &column(bar.low),
        high_pred: &column(bar.high_pred),
        low_pred: &column(bar.low_pred),
        weights: Weights::EntryExit(&column(position)),
    };
    Batch::from_slices(&[bars], fields).unwrap()
}

fn solve(batch: &Batch, high: (f32, f32), low: (f32, f32)) -> trisect::Exact {
    let options = ExactOptions::default();
    exact(
        batch,
        &[0],
        EQUITY_FEE,
        ExitRule::Intraday,
        high,
        low,
        &options,
    )
    .unwrap()
}

#[test]
fn hard_inputs_have_the_answer_that_is_known() {
    let bar = Bar {
        close: 0.001,
        high: 0.02,
        low: -0.02,
        high_pred: 0.01,
        low_pred: -0.01,
    };
    for bars in [1, 50_000] {
        // All gates equal: buys just above the low, sells at the high.
        let found = solve(&equal_bars(bars, bar, 1.0), BOX, BOX);
        assert!(found.is_proved());
        let expected = bars as f64 * (0.04 - EQUITY_FEE);
        assert!((found.profit / expected - 1.0).abs() < 1e-6, "{found:?}");
        assert!((found.multipliers.high - 0.01).abs() < 1e-8);
        assert!((found.multipliers.low + 0.01).abs() < 1e-8);
    }
    // No leg at all, and no gate inside the box: nothing to gain, so nothing changes.
    let found = solve(&equal_bars(5, bar, 0.0), BOX, BOX);
    assert_eq!(found.multipliers, Multipliers::BASELINE);
    assert_eq!((found.profit, found.upper_bound), (0.0, 0.0));
    let far = Bar {
        low_pred: -0.9,
        ..bar
    };
    let found = solve(&equal_bars(5, far, 1.0), BOX, BOX);
    assert_eq!(
        (found.multipliers, found.profit),
        (Multipliers::BASELINE, 0.0)
    );
    // The forecasts lie outside the box.
    let found = solve(&equal_bars(5, bar, 0.0), (0.01, 0.02), (-0.02, -0.01));
    assert_eq!(found.multipliers, Multipliers::new(0.01, -0.01));
    // One point.
    let batch = equal_bars(5, bar, 1.0);
    let found = solve(&batch, (0.005, 0.005), (-0.004, -0.004));
    let at = Multipliers::new(0.005, -0.004);
    assert_eq!(found.multipliers, at);
    let value = exact_profit(&batch, &[0], EQUITY_FEE, ExitRule::Intraday, at).unwrap();
    assert_eq!((found.profit, found.upper_bound), (value, value));
    // Huge positions, levels and multipliers.
    let wild = Bar {
        close: 1e6,
        high: 1e6,
        low: -0.5,
        high_pred: 1e6,
        low_pred: -1e6,
    };
    let batch = equal_bars(1000, wild, 1e6);
    let found = solve(&batch, (-1e6, 1e6), (-1e6, 1e6));
    assert!(found.is_proved());
    // Ten units bought at the f32 above a fall of one half, sold at the greatest level.
    let expected = 1000.0 * 10.0 * (10.0 + 0.4375 - EQUITY_FEE);
    assert!((found.profit / expected - 1.0).abs() < 1e-12, "{found:?}");
}

#[test]
fn what_cannot_be_solved_is_refused_with_its_name() {
    let batch = equal_bars(3, Bar::default(), 1.0);
    let rule = ExitRule::Intraday;
    let options = ExactOptions::default();
    let refused = |members: &[u32], fee: f64, high: (f32, f32), low: (f32, f32)| {
        exact(&batch, members, fee, rule, high, low, &options)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&[], 0.0, BOX, BOX).starts_with("members"));
    assert!(refused(&[1], 0.0, BOX, BOX).starts_with("members"));
    assert!(refused(&[0], 1.0, BOX, BOX).starts_with("fee"));
    assert!(refused(&[0], f64::NAN, BOX, BOX).starts_with("fee"));
    assert!(refused(&[0], 0.0, (0.1, 0.0), BOX).starts_with("high_bounds"));
    assert!(refused(&[0], 0.0, BOX, (f32::NAN, 0.0)).starts_with("low_bounds"));
    assert!(refused(&[0], 0.0, BOX, (0.0, f32::INFINITY)).starts_with("low_bounds"));
    let nan = Multipliers::new(f32::NAN, 0.0);
    assert!(exact_profit(&batch, &[0], 0.0, rule, nan).is_err());
    let tight = ExactOptions {
        max_bytes: Some(1000),
        ..options
    };
    let large = equal_bars(10_000, Bar::default(), 1.0);
    let error = exact(&large, &[0], 0.0, rule, BOX, BOX, &tight).unwrap_err();
    assert!(
        matches!(error, Error::Memory { needed, limit: Some(1000), .. } if needed >= 240_000),
        "{error}"
    );
}

/// Bars whose profit is the same at every pair of gates, to the bit: what a rise of h gains on one
/// leg is what the next gate loses. No bound can tell one cell from another.
fn comb(teeth: usize) -> (Batch, (f32, f32), (f32, f32)) {
    let step = 0.75 / 16.0 / teeth as f64;
    let mut columns = Columns::default();
    let mut push =
        |close: f64, high: f64, low: f64, high_pred: f64, low_pred: f64, position: f64| {
            columns.close.push(close as f32);
            columns.high.push(high as f32);
            columns.low.push(low as f32);
            columns.high_pred.push(high_pred as f32);
            columns.low_pred.push(low_pred as f32);
            columns.position.push(position as f32);
        };
    push(0.0, 9.0, -0.9, 0.125, -0.5, 1.0);
    let mut ends = (f64::NEG_INFINITY, f64::INFINITY);
    for tooth in 0..teeth {
        let x = (tooth as f64 - teeth as f64 / 2.0) * step;
        let x = f64::from(x as f32);
        push(-1.0 / 16.0, 0.0, -0.9, -x, 1.0, step * 16.0);
        push(1.0 / 16.0, 9.0, 0.0, -1.0, -x, -step * 16.0);
        ends = (ends.0.max(x), ends.1.min(x));
    }
    let mut builder = Batch::builder();
    builder.push(columns.entry_exit()).unwrap();
    let batch = builder.build().unwrap();
    (batch, (-0.03, ends.0 as f32), (ends.1 as f32, 0.03))
}

#[test]
fn a_flat_comb_ends_at_the_cap_with_the_gap_or_the_proof() {
    let (batch, high, low) = comb(2048);
    let mut solver = ExactSolver::new();
    let mut run = |work_cap, on_cap| {
        let options = ExactOptions {
            work_cap,
            on_cap,
            ..ExactOptions::default()
        };
        let rule = ExitRule::Intraday;
        solver
            .solve(&batch, &[0], 0.0, rule, high, low, &options)
            .unwrap()
    };
    let gap = run(Some(50_000), OnCap::Gap);
    assert!(gap.work < 500_000, "{gap:?}");
    assert!(gap.upper_bound > gap.profit, "{gap:?}");
    let proved = run(Some(50_000), OnCap::Prove);
    // All cells tie, so the tree leaves at most its rounding.
    assert!(proved.upper_bound - proved.profit <= 1e-9, "{proved:?}");
    assert!(proved.profit >= gap.profit);
    assert!(gap.upper_bound >= proved.profit);
    let full = run(Some(u64::MAX), OnCap::Prove);
    assert!(full.is_proved());
    assert!(proved.upper_bound >= full.profit && full.profit >= proved.profit);
}

#[test]
fn the_tree_finds_what_branch_and_bound_finds() {
    let mut rng = Rng::new(92);
    let mut solver = ExactSolver::new();
    for case in 0..40 {
        let (batch, _) = draw_batch(&mut rng, 1, 1200);
        let mut terms = Terms::draw(&mut rng);
        terms.rule = ExitRule::Intraday;
        let full = terms.solve(&mut solver, &batch, &[0]);
        let options = ExactOptions {
            work_cap: Some(0),
            on_cap: OnCap::Prove,
            ..ExactOptions::default()
        };
        let tree = solver
            .solve(
                &batch,
                &[0],
                terms.fee,
                terms.rule,
                terms.high,
                terms.low,
                &options,
            )
            .unwrap();
        assert_eq!(
            (tree.profit, tree.multipliers, tree.upper_bound),
            (full.profit, full.multipliers, full.upper_bound),
            "case {case}"
        );
    }
}

#[test]
fn two_million_legs_differ_from_the_plain_sum_by_less_than_1e_11() {
    let bars = 2_000_000;
    let mut rng = Rng::new(93);
    let columns = Columns::draw(&mut rng, Kind::Skilled, bars);
    let mut builder = Batch::builder();
    builder.push(columns.entry_exit()).unwrap();
    let skilled = builder.build().unwrap();
    let bar = Bar {
        close: 0.001_234_5,
        high: 0.021_3,
        low: -0.019_7,
        high_pred: 0.013_1,
        low_pred: -0.011_7,
    };
    // A constant that all legs share rounds the same way each time.
    let equal = equal_bars(bars, bar, 0.3);
    for (name, batch) in [("skilled", skilled), ("equal", equal)] {
        let all = positions(&batch, &[0]);
        for rule in [ExitRule::Intraday, ExitRule::AtClose] {
            let terms = Terms {
                fee: EQUITY_FEE,
                rule,
                high: BOX,
                low: BOX,
            };
            let at = Multipliers::new(0.001_7, -0.002_3);
            let value = terms.value(&batch, &[0], at);
            let plain = plain_profit(&all, 1, &terms, at);
            let error = (value - plain).abs();
            let scale = magnitude(&all, 1);
            println!(
                "{name}: {:e} of the profit, {:e} of the sum of magnitudes",
                error / plain.abs(),
                error / scale
            );
            assert!(error <= 1e-11 * plain.abs(), "{name}: {value}, not {plain}");
        }
    }
}
