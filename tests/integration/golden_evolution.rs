//! Differential evolution against SciPy's, in distribution.
//!
//! `evolution.json` holds what `scipy.optimize.differential_evolution` found with 200 seeds per
//! run; `evolution.py` beside it made it. The same runs with 200 seeds of ours must agree. Per run
//! four comparisons, of the best value and of the number of evaluations each
//!
//! * the means: no more than 4 standard errors of their difference apart. If both programs drew
//!   from one distribution, one comparison in 16,000 would fail,
//! * the distributions (Kolmogorov and Smirnov): at a level of 1 in 10,000.
//!
//! So new seeds would fail by chance once in about 350 times, all nine runs taken together. The
//! seeds are 0 to 199 and the numbers are the same everywhere: this test does not flicker.

use std::path::Path;

use serde_json::Value;
use trisect::{
    Batch, Bounds, EvaluateOptions, Evaluator, Evolution, EvolutionOptions, ExitChoice, ExitRule,
    Fields, Method, OptimizeOptions, Weights, optimize,
};

use crate::golden::{Checked, read_json};

/// Largest distance of two means, in standard errors.
const MEANS_LIMIT: f64 = 4.0;

/// `sqrt(-ln(level / 2) / 2)` at a level of 1e-4.
const KOLMOGOROV_LIMIT: f64 = 2.225;

/// Best value and evaluations of one search.
type Found = (f64, f64);

/// `evolution.json`: SciPy's runs, repeated.
pub fn check_evolution(dir: &Path) -> Checked {
    let file = read_json(dir, "evolution.json")?;
    let simulations = read_json(dir, "entry_exit_direct.json")?;
    let seeds = number(&file["meta"]["seeds"])? as u64;
    let mut counts = (0, 0);
    for run in list(&file["runs"])? {
        let found = repeat(run, &simulations, seeds)
            .map_err(|error| format!("evolution.json: {}: {error}", run["name"]))?;
        let (values, evaluations): (Vec<f64>, Vec<f64>) = found.into_iter().unzip();
        for (what, all, ours) in [
            ("value", "all_values", values),
            ("evaluations", "all_evaluations", evaluations),
        ] {
            for difference in [
                compare_means(&ours, &run[what])?,
                compare_distributions(&ours, &numbers(&run[all])?),
            ] {
                counts.0 += 1;
                if let Some(difference) = difference {
                    println!("evolution.json: {}: {what}: {difference}", run["name"]);
                    counts.1 += 1;
                }
            }
        }
    }
    Ok(counts)
}

fn repeat(run: &Value, simulations: &Value, seeds: u64) -> Result<Vec<Found>, String> {
    let intervals: Vec<(f64, f64)> = list(&run["bounds"])?
        .iter()
        .map(|ends| Ok((number(&ends[0])?, number(&ends[1])?)))
        .collect::<Result<_, String>>()?;
    let template = options(&run["options"])?;
    let with_seed = |seed| EvolutionOptions { seed, ..template };
    if let Some(members) = run.get("profit") {
        let members: Vec<&Value> = list(members)?
            .iter()
            .map(|member| Ok(&simulations["sims"][number(member)? as usize]))
            .collect::<Result<_, String>>()?;
        return tune(&members, &intervals, seeds, with_seed);
    }
    let function = match run["polynomial"].as_str() {
        Some("styblinski") => styblinski,
        Some("goldstein") => goldstein,
        Some("corner") => corner,
        other => return Err(format!("{other:?} is no known polynomial")),
    };
    let bounds = Bounds::new(&intervals).map_err(|error| error.to_string())?;
    let minimise = |seed| -> Result<Found, trisect::Error> {
        let mut search = Evolution::new(bounds.clone(), with_seed(seed))?;
        while search.stop().is_none() {
            let values: Vec<f64> = search.ask().chunks(bounds.dim()).map(function).collect();
            search.tell(&values)?;
        }
        let best = search.best().map_or(f64::NAN, |best| best.value);
        Ok((best, search.evaluations() as f64))
    };
    let found: Result<_, _> = (0..seeds).map(minimise).collect();
    found.map_err(|error| error.to_string())
}

/// Through the drivers: what a user gets.
fn tune(
    members: &[&Value],
    intervals: &[(f64, f64)],
    seeds: u64,
    with_seed: impl Fn(u64) -> EvolutionOptions,
) -> Result<Vec<Found>, String> {
    let mut builder = Batch::builder();
    for member in members {
        let column = |name: &str| -> Result<Vec<f32>, String> {
            let values = numbers(&member[name]).map_err(|error| format!("{name}: {error}"))?;
            Ok(values.iter().map(|&value| value as f32).collect())
        };
        let columns = [
            "close",
            "high_actual",
            "low_actual",
            "high_pred",
            "low_pred",
            "pos",
        ];
        let columns: Vec<Vec<f32>> = columns.into_iter().map(column).collect::<Result<_, _>>()?;
        let simulation = Fields {
            close: &columns[0][..],
            high: &columns[1],
            low: &columns[2],
            high_pred: &columns[3],
            low_pred: &columns[4],
            weights: Weights::EntryExit(&columns[5]),
        };
        builder
            .push(simulation)
            .map_err(|error| error.to_string())?;
    }
    let batch = builder.build().map_err(|error| error.to_string())?;
    let evaluate = EvaluateOptions {
        fee: number(&members[0]["fee"])?,
        threads: Some(1),
        ..EvaluateOptions::default()
    };
    let mut evaluator = Evaluator::cpu(&batch, &evaluate).map_err(|error| error.to_string())?;
    let exit_rule = match members[0]["close_at_eod"].as_bool() {
        Some(true) => ExitRule::AtClose,
        Some(false) => ExitRule::Intraday,
        None => return Err("close_at_eod is no bool".to_owned()),
    };
    let mut found = Vec::new();
    for seed in 0..seeds {
        let options = OptimizeOptions {
            method: Method::Evolution(with_seed(seed)),
            exit_rule: ExitChoice::Fixed(exit_rule),
            high_bounds: intervals[0],
            low_bounds: intervals[1],
            ..OptimizeOptions::default()
        };
        let outcome = optimize(&mut evaluator, &options, ()).map_err(|error| error.to_string())?;
        let group = &outcome.groups[0];
        found.push((-group.profit, group.evaluations as f64));
    }
    Ok(found)
}

/// SciPy's names; what is not given is SciPy's default.
fn options(given: &Value) -> Result<EvolutionOptions, String> {
    let mut options = EvolutionOptions::production();
    for (name, value) in given.as_object().ok_or("options are no object")? {
        match name.as_str() {
            "popsize" => options.population = number(value)? as usize,
            "maxiter" => options.max_iterations = number(value)? as usize,
            "maxfun" => options.max_evaluations = Some(number(value)? as usize),
            "tol" => options.relative_tolerance = number(value)?,
            "atol" => options.absolute_tolerance = number(value)?,
            "mutation" => options.mutation = (number(&value[0])?, number(&value[1])?),
            "recombination" => options.recombination = number(value)?,
            _ => return Err(format!("{name} is no known option")),
        }
    }
    Ok(options)
}

fn styblinski(x: &[f64]) -> f64 {
    let term = |t: &f64| 0.5 * (t * t * t * t - 16.0 * t * t + 5.0 * t);
    x.iter().map(term).sum()
}

fn goldstein(x: &[f64]) -> f64 {
    let (x, y) = (x[0], x[1]);
    let square = |t: f64| t * t;
    let one = 19.0 - 14.0 * x + 3.0 * x * x - 14.0 * y + 6.0 * x * y + 3.0 * y * y;
    let other = 18.0 - 32.0 * x + 12.0 * x * x + 48.0 * y - 36.0 * x * y + 27.0 * y * y;
    (1.0 + square(x + y + 1.0) * one) * (30.0 + square(2.0 * x - 3.0 * y) * other)
}

fn corner(x: &[f64]) -> f64 {
    1.0 + x.iter().sum::<f64>()
}

/// What is wrong with the mean of `ours`, beside SciPy's mean and its standard error.
fn compare_means(ours: &[f64], theirs: &Value) -> Result<Option<String>, String> {
    let (mean, error) = (number(&theirs["mean"])?, number(&theirs["standard_error"])?);
    let count = ours.len() as f64;
    let our_mean = ours.iter().sum::<f64>() / count;
    let squares: f64 = ours.iter().map(|x| (x - our_mean) * (x - our_mean)).sum();
    let our_error = (squares / (count - 1.0) / count).sqrt();
    let limit = MEANS_LIMIT * our_error.hypot(error);
    let good = (our_mean - mean).abs() <= limit;
    Ok((!good).then(|| format!("mean {our_mean} ({our_error}), SciPy's {mean} ({error})")))
}

/// What is wrong with the distribution of `ours`, beside SciPy's.
fn compare_distributions(ours: &[f64], theirs: &[f64]) -> Option<String> {
    let share = |sample: &[f64], limit: f64| {
        let below = sample.iter().filter(|&&x| x <= limit).count();
        below as f64 / sample.len() as f64
    };
    let distance = |&limit: &f64| (share(ours, limit) - share(theirs, limit)).abs();
    let greatest = ours.iter().chain(theirs).map(distance).fold(0.0, f64::max);
    let (n, m) = (ours.len() as f64, theirs.len() as f64);
    let limit = KOLMOGOROV_LIMIT * ((n + m) / (n * m)).sqrt();
    let good = greatest <= limit;
    (!good).then(|| format!("distributions {greatest} apart, limit {limit}"))
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| "not a list".to_owned())
}

fn number(value: &Value) -> Result<f64, String> {
    value
        .as_f64()
        .ok_or_else(|| format!("{value} is no number"))
}

fn numbers(value: &Value) -> Result<Vec<f64>, String> {
    list(value)?.iter().map(number).collect()
}
