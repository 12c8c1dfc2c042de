//! The Rust side of the comparison: the data, what is true of it, and the rows of `trisect` and basin.
//!
//! ```text
//! trisect-peers data SIMULATIONS BARS FILE      the batch as f32 (S, 6, T) into FILE; profits as JSON
//! trisect-peers time SIMULATIONS BARS THREADS   every row once, as JSON
//! trisect-peers sweep SIMULATIONS BARS MOST     basin beside trisect at equal evaluations, as JSON
//! ```
//!
//! `peers.py` calls it, once per round, so that all rows of a round see the same load of the machine.

#[path = "../synthetic.rs"]
mod synthetic;

use std::convert::Infallible;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use basin::{
    BoxBounds, ConstraintDescription, ConstraintSet, Constraints, CostFunction, Executor,
    PointState,
};
use serde_json::{Value, json};
use trisect::{
    Batch, Bounds, DirectOptions, EQUITY_FEE, EvaluateOptions, Evaluator, EvolutionOptions,
    ExactOptions, ExitRule, Fields, Method, Multipliers, OptimizeOptions, Outcome, Sharing,
    SizeMeasure, Weights, minimize, optimize,
};

/// Pairs at which every objective is compared with `trisect`'s before anything is timed.
const CHECKED: usize = 16;

/// Evaluations of the sweep.
const SWEEP: [usize; 6] = [500, 2_000, 5_000, 20_000, 50_000, 100_000];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (simulations, bars) = match words[..] {
        [_, simulations, bars, _] => (simulations.parse()?, bars.parse()?),
        _ => return Err("usage: trisect-peers data|time|sweep SIMULATIONS BARS LAST".into()),
    };
    let batch = synthetic::batch(simulations, bars);
    let report = match words[..] {
        ["data", .., file] => data(&batch, file)?,
        ["time", .., threads] => time(&batch, threads.parse()?)?,
        ["sweep", .., most] => sweep(&batch, most.parse()?)?,
        _ => return Err(format!("no command {}", words[0]).into()),
    };
    println!("{report}");
    Ok(())
}

// --- the data ---

/// Close, high, low, forecasts of both, position: a value per bar each.
type Columns<'a> = [&'a [f32]; 6];

/// The columns in the order of the file.
fn columns<'a>(simulation: &Fields<&'a [f32]>) -> Columns<'a> {
    let Weights::EntryExit(position) = simulation.weights else {
        unreachable!("as drawn");
    };
    let Fields {
        close,
        high,
        low,
        high_pred,
        low_pred,
        ..
    } = *simulation;
    [close, high, low, high_pred, low_pred, position]
}

/// Writes the batch; reports the pairs, every simulation's profits there, and its optimum.
fn data(batch: &Batch, file: &str) -> Result<Value, Box<dyn Error>> {
    let mut bytes = Vec::new();
    for simulation in batch.simulations() {
        for column in columns(&simulation) {
            bytes.extend(column.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    std::fs::write(file, bytes).map_err(|error| format!("{file}: {error}"))?;

    let mut pairs = synthetic::candidates(CHECKED);
    pairs[0] = Multipliers::BASELINE;
    let profits: Vec<Vec<f64>> = batch
        .simulations()
        .map(|simulation| {
            let of = |&pair| simulation.profit(pair, EQUITY_FEE, ExitRule::Intraday);
            pairs.iter().map(of).collect()
        })
        .collect();
    let mut evaluator = Evaluator::cpu(batch, &EvaluateOptions::default())?;
    let exact = optimize(
        &mut evaluator,
        &options(Sharing::PerSimulation, exact()),
        (),
    )?;
    let optima: Vec<f64> = exact.groups.iter().map(|group| group.profit).collect();
    check_objective(batch, &pairs, &profits)?;
    Ok(json!({
        "fee": EQUITY_FEE,
        "pairs": pairs.iter().map(|pair| [pair.high, pair.low]).collect::<Vec<_>>(),
        "profits": profits,
        "optima": optima,
    }))
}

// --- the rows of trisect ---

fn options(sharing: Sharing, method: Method) -> OptimizeOptions {
    OptimizeOptions {
        sharing,
        method,
        ..OptimizeOptions::default()
    }
}

fn exact() -> Method {
    Method::Exact(ExactOptions::default())
}

/// The median time of a few calls in milliseconds, after one that warms up, and its result.
fn timed<T, E>(tune: impl Fn() -> Result<T, E>) -> Result<(f64, T), E> {
    const REPEATS: usize = 5;
    let result = tune()?;
    let mut times = [0.0; REPEATS];
    for time in &mut times {
        let start = Instant::now();
        black_box(tune()?);
        *time = 1e3 * start.elapsed().as_secs_f64();
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok((times[REPEATS / 2], result))
}

/// One row of `trisect`, all in: from the batch in memory to the pairs.
fn row(
    name: &str,
    batch: &Batch,
    tune: impl Fn() -> Result<Outcome, trisect::Error>,
) -> Result<Value, trisect::Error> {
    let (milliseconds, outcome) = timed(tune)?;
    let mut pairs = vec![[0.0; 2]; batch.len()];
    for (g, group) in outcome.groups.iter().enumerate() {
        for &member in outcome.membership.members(g) {
            pairs[member as usize] = [group.multipliers.high, group.multipliers.low];
        }
    }
    Ok(json!({
        "name": format!("trisect, {name}"),
        "milliseconds": milliseconds / batch.len() as f64,
        "evaluations": outcome.evaluations as f64 / outcome.groups.len() as f64,
        "pairs": pairs,
    }))
}

fn time(batch: &Batch, threads: usize) -> Result<Value, Box<dyn Error>> {
    let direct = |options| Method::Direct(options);
    let production = || direct(DirectOptions::production());
    let alone = || Sharing::PerSimulation;
    let grid = Method::Grid { high: 22, low: 22 };
    let evolution = Method::Evolution(EvolutionOptions::production());
    let rows = [
        ("one thread, 500", 1, options(alone(), production())),
        (
            "one thread, fast (100)",
            1,
            options(alone(), direct(DirectOptions::fast())),
        ),
        ("threads, 500", threads, options(alone(), production())),
        (
            "threads, fast (100)",
            threads,
            options(alone(), direct(DirectOptions::fast())),
        ),
        (
            "threads, shared by chunks of 16, 500",
            threads,
            options(Sharing::Chunks(16), production()),
        ),
        ("threads, grid 22 x 22", threads, options(alone(), grid)),
        (
            "threads, differential evolution",
            threads,
            options(alone(), evolution),
        ),
        ("one thread, exact", 1, options(alone(), exact())),
        ("threads, exact", threads, options(alone(), exact())),
    ];
    let mut reports = Vec::new();
    for (name, threads, options) in rows {
        let evaluate = EvaluateOptions {
            threads: Some(threads),
            ..EvaluateOptions::default()
        };
        let tune = || optimize(&mut Evaluator::cpu(batch, &evaluate)?, &options, ());
        reports.push(row(name, batch, tune)?);
    }
    let evaluate = EvaluateOptions::default();
    for (name, options) in [
        ("GPU, 500", options(alone(), production())),
        ("GPU, exact", options(alone(), exact())),
    ] {
        reports.push(match Evaluator::cuda(batch, &[0], &evaluate) {
            Err(why) => {
                json!({ "name": format!("trisect, {name}"), "note": format!("no device: {why}") })
            }
            Ok(_) => {
                let tune = || {
                    let mut evaluator = Evaluator::cuda(batch, &[0], &evaluate)?;
                    optimize(&mut evaluator, &options, ())
                };
                row(name, batch, tune)?
            }
        });
    }
    reports.push(basin_row(batch)?);
    Ok(Value::Array(reports))
}

// --- the objective that minimize and basin are given ---

/// The profit of a simulation as a Rust user writes it who wants it fast: gates in f32, values in f64,
/// selections for branches, eight sums side by side so that it is compiled to vectors.
fn profit(columns: &Columns<'_>, high: f32, low: f32) -> f64 {
    const WIDTH: usize = 8;
    let mut sums = [0.0; WIDTH];
    let bars = columns[0].len();
    let whole = bars - bars % WIDTH;
    for start in (0..whole).step_by(WIDTH) {
        let chunk = columns.map(|column| &column[start..start + WIDTH]);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += profit_of_bar(chunk.map(|column| column[lane]), high, low);
        }
    }
    for t in whole..bars {
        sums[0] += profit_of_bar(columns.map(|column| column[t]), high, low);
    }
    sums.iter().sum()
}

#[inline(always)]
fn profit_of_bar(values: [f32; 6], high: f32, low: f32) -> f64 {
    let [close, bar_high, bar_low, high_pred, low_pred, position] = values;
    let gate_high = (high_pred + high).clamp(0.0, 10.0);
    let gate_low = (low_pred + low).clamp(-1.0, 0.0);
    let high_level = (f64::from(high_pred) + f64::from(high)).clamp(0.0, 10.0);
    let low_level = (f64::from(low_pred) + f64::from(low)).clamp(-1.0, 0.0);
    let close = f64::from(close);
    let long = f64::from(position.clamp(0.0, 10.0));
    let short = f64::from(position.clamp(-10.0, 0.0));
    let sold = if gate_high <= bar_high {
        high_level
    } else {
        close
    };
    let bought = if gate_low >= bar_low {
        low_level
    } else {
        close
    };
    let of_long = long * (sold - low_level - EQUITY_FEE);
    let of_short = short * (bought - high_level + EQUITY_FEE);
    let enters_long = if gate_low > bar_low { of_long } else { 0.0 };
    let enters_short = if gate_high < bar_high { of_short } else { 0.0 };
    enters_long + enters_short
}

/// The sums of one simulation in another order, so not to the bit.
fn agree(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * (1.0 + b.abs())
}

fn check_objective(
    batch: &Batch,
    pairs: &[Multipliers],
    profits: &[Vec<f64>],
) -> Result<(), Box<dyn Error>> {
    for (s, simulation) in batch.simulations().enumerate() {
        let columns = columns(&simulation);
        for (pair, &expected) in pairs.iter().zip(&profits[s]) {
            let got = profit(&columns, pair.high, pair.low);
            if !agree(got, expected) {
                let what = format!("the compiled objective gives {got}, trisect {expected}");
                return Err(format!("simulation {s} at {pair:?}: {what}").into());
            }
        }
    }
    Ok(())
}

// --- basin beside trisect ---

/// What basin minimizes.
struct Loss<'a> {
    columns: Columns<'a>,
    lower: Vec<f64>,
    upper: Vec<f64>,
}

impl Constraints for Loss<'_> {
    type Set = ConstraintSet<BoxBounds<Vec<f64>>>;

    fn constraints(&self) -> <Self::Set as ConstraintDescription>::Borrowed<'_> {
        let bounds = BoxBounds::new(Some(&self.lower), Some(&self.upper));
        ConstraintSet::new().with_bounds(bounds)
    }
}

impl CostFunction for Loss<'_> {
    type Param = Vec<f64>;
    type Output = f64;
    type Error = Infallible;

    fn cost(&self, x: &Vec<f64>) -> Result<f64, Infallible> {
        Ok(-profit(&self.columns, x[0] as f32, x[1] as f32))
    }
}

/// What a search found.
struct Found {
    pair: [f64; 2],
    profit: f64,
    evaluations: u64,
}

/// One search of basin. The budget is its only end.
fn with_basin(columns: Columns<'_>, evaluations: usize) -> Result<Found, Box<dyn Error>> {
    let loss = Loss {
        columns,
        lower: vec![-0.03; 2],
        upper: vec![0.03; 2],
    };
    let solver = basin::Direct::new().with_absolute_radius_tolerance(None);
    let found = Executor::new(loss, solver, PointState::new(vec![0.0; 2]))
        .max_cost_evals(evaluations as u64)
        .max_iter(u64::MAX)
        .run()?;
    Ok(Found {
        pair: [found.best_param()[0], found.best_param()[1]],
        profit: -found.best_cost(),
        evaluations: found.cost_evals(),
    })
}

/// The row of basin beside those of `trisect`: its defaults, one thread.
fn basin_row(batch: &Batch) -> Result<Value, Box<dyn Error>> {
    let search = || {
        let simulations = batch.simulations();
        simulations
            .map(|simulation| with_basin(columns(&simulation), 500))
            .collect::<Result<Vec<Found>, _>>()
    };
    let (milliseconds, found) = timed(search)?;
    let evaluations: u64 = found.iter().map(|found| found.evaluations).sum();
    Ok(json!({
        "name": "basin DIRECT, one thread, 500",
        "milliseconds": milliseconds / batch.len() as f64,
        "evaluations": evaluations as f64 / batch.len() as f64,
        "pairs": found.iter().map(|found| found.pair).collect::<Vec<_>>(),
    }))
}

/// `trisect`'s rules with the budget as the only end.
fn budget(evaluations: usize, size_measure: SizeMeasure) -> DirectOptions {
    DirectOptions {
        size_measure,
        max_evaluations: evaluations,
        volume_tolerance: 0.0,
        side_tolerance: 0.0,
        ..DirectOptions::production()
    }
}

/// One search of `trisect` by basin's rules on basin's objective.
fn with_minimize(columns: Columns<'_>, evaluations: usize) -> Result<Found, Box<dyn Error>> {
    let loss = |points: &[f64], dim: usize| {
        let points = points.chunks_exact(dim);
        points
            .map(|x| -profit(&columns, x[0] as f32, x[1] as f32))
            .collect()
    };
    let bounds = Bounds::symmetric(2, 0.03)?;
    let found = minimize(
        bounds,
        &budget(evaluations, SizeMeasure::HalfDiagonal),
        loss,
        (),
    )?;
    let point = found.point.ok_or("no finite value")?;
    Ok(Found {
        pair: [point[0], point[1]],
        profit: -found.value,
        evaluations: found.evaluations,
    })
}

/// All searches as `trisect` runs them: its own rules on its own objective, one thread.
fn with_optimize(batch: &Batch, evaluations: usize) -> Result<Vec<Found>, Box<dyn Error>> {
    let evaluate = EvaluateOptions {
        threads: Some(1),
        ..EvaluateOptions::default()
    };
    let method = Method::Direct(budget(evaluations, SizeMeasure::LongestSide));
    let mut evaluator = Evaluator::cpu(batch, &evaluate)?;
    let options = options(Sharing::PerSimulation, method);
    let outcome = optimize(&mut evaluator, &options, ())?;
    let found = outcome.groups.iter().map(|group| Found {
        pair: [group.multipliers.high.into(), group.multipliers.low.into()],
        profit: group.profit,
        evaluations: group.evaluations,
    });
    Ok(found.collect())
}

/// A search of every simulation, and what it took per search, once its profits are what its pairs score.
fn measured(
    batch: &Batch,
    search: impl FnOnce() -> Result<Vec<Found>, Box<dyn Error>>,
) -> Result<(f64, f64, f64), Box<dyn Error>> {
    let start = Instant::now();
    let found = search()?;
    let seconds = start.elapsed().as_secs_f64();
    for (simulation, found) in batch.simulations().zip(&found) {
        let [high, low] = found.pair.map(|value| value as f32);
        let scored = profit(&columns(&simulation), high, low);
        if !agree(scored, found.profit) {
            return Err(format!(
                "a profit of {} is reported, its pair scores {scored}",
                found.profit
            )
            .into());
        }
    }
    let count = found.len() as f64;
    let evaluations: u64 = found.iter().map(|found| found.evaluations).sum();
    let profit: f64 = found.iter().map(|found| found.profit).sum();
    Ok((
        1e3 * seconds / count,
        evaluations as f64 / count,
        profit / count,
    ))
}

/// Equal evaluations, one thread; as many simulations as make `most` evaluations, at least one. `trisect`
/// gets as many evaluations as basin took, which looks at its budget between iterations.
fn sweep(batch: &Batch, most: usize) -> Result<Value, Box<dyn Error>> {
    let mut rows = Vec::new();
    for evaluations in SWEEP.into_iter().filter(|&evaluations| evaluations <= most) {
        let count = (most / evaluations).clamp(1, batch.len());
        let mut part = Batch::builder();
        for simulation in batch.simulations().take(count) {
            part.push(simulation)?;
        }
        let part = part.build()?;
        let each = |search: fn(Columns<'_>, usize) -> Result<Found, Box<dyn Error>>,
                    evaluations| {
            let simulations = part.simulations();
            simulations
                .map(|simulation| search(columns(&simulation), evaluations))
                .collect()
        };
        let basin = measured(&part, || each(with_basin, evaluations))?;
        let equal = basin.1.round() as usize;
        let same = measured(&part, || each(with_minimize, equal))?;
        let own = measured(&part, || with_optimize(&part, equal))?;
        let all = [basin, same, own];
        rows.push(json!({
            "budget": evaluations,
            "simulations": count,
            "milliseconds": all.map(|(milliseconds, ..)| milliseconds),
            "evaluations": all.map(|(_, evaluations, _)| evaluations),
            "profits": all.map(|(.., profit)| profit),
        }));
    }
    Ok(Value::Array(rows))
}
