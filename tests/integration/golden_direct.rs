//! Golden DIRECT runs: scipy's, NLopt's, and hashes of whole traces.

use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use trisect::{Bounds, Direct, DirectOptions, Selection, SizeMeasure, StopReason, Target};

use crate::direct_objectives;
use crate::golden::{Checked, read_json};

/// Largest accepted distance of a requested coordinate, as a fraction of the box.
const X_TOLERANCE: f64 = 1e-12;

/// More evaluations than any golden run makes: runs of the textbook selection are stopped by
/// the test, at the end of an iteration, as the recorded programs were.
const UNLIMITED: usize = 1 << 20;

/// `direct.json`: runs of scipy.optimize.direct.
pub fn check_direct(dir: &Path) -> Checked {
    let file = read_json(dir, "direct.json")?;
    check_runs(&file, "direct.json", check_scipy_run)
}

/// `direct_nlopt_orig.json`: the textbook selection by NLopt.
pub fn check_nlopt(dir: &Path) -> Checked {
    let file = read_json(dir, "direct_nlopt_orig.json")?;
    check_runs(&file, "direct_nlopt_orig.json", check_nlopt_run)
}

/// `direct_traces.json`: SHA-256 over every (x, f), scipy's selection and the textbook one.
pub fn check_traces(dir: &Path) -> Checked {
    let file = read_json(dir, "direct_traces.json")?;
    let mut counts = (0, 0);
    for case in array(&file, "cases")? {
        let name = text(case, "name")?;
        for column in ["scipy", "textbook"] {
            counts.0 += 1;
            if let Err(difference) = check_trace(case, name, column) {
                let biased = &case["kw"]["locally_biased"];
                println!("direct_traces.json: {name}, {column}, L {biased}: {difference}");
                counts.1 += 1;
            }
        }
    }
    Ok(counts)
}

fn check_runs(
    file: &Value,
    name: &str,
    check: fn(&Value) -> Result<Option<String>, String>,
) -> Checked {
    let mut counts = (0, 0);
    for run in array(file, "runs")? {
        counts.0 += 1;
        if let Some(difference) =
            check(run).map_err(|e| format!("{name}: run {}: {e}", run["id"]))?
        {
            println!("{name}: run {} ({}): {difference}", run["id"], run["fn"]);
            counts.1 += 1;
        }
    }
    Ok(counts)
}

/// One run to compare: what is evaluated and what must come out.
struct Run<'a> {
    /// Box, `(low, high)` per axis.
    intervals: Vec<(f64, f64)>,
    objective: fn(&[f64]) -> f64,
    /// Recorded evaluations, `[x.., f]` each; replayed by index.
    trajectory: Option<&'a [Value]>,
}

impl<'a> Run<'a> {
    fn new(run: &'a Value) -> Result<Self, String> {
        let intervals = array(run, "bounds")?
            .iter()
            .map(|pair| Ok((number(&pair[0])?, number(&pair[1])?)))
            .collect::<Result<_, String>>()?;
        let name = text(run, "fn")?;
        Ok(Self {
            intervals,
            objective: direct_objectives::by_name(name)
                .ok_or_else(|| format!("objective {name} is not known"))?,
            trajectory: run.get("traj").and_then(Value::as_array).map(Vec::as_slice),
        })
    }

    /// Runs the search until it stops or has more than `budget` evaluations at the end of an
    /// iteration; `Ok(Some(..))` describes the first difference from the trajectory.
    fn drive(&self, search: &mut Direct, budget: usize) -> Result<Option<String>, String> {
        let dim = search.dim();
        while search.stop().is_none() && search.evaluations() <= budget {
            let mut values = Vec::new();
            for (i, x) in search.ask().chunks(dim).enumerate() {
                let Some(trajectory) = self.trajectory else {
                    values.push((self.objective)(x));
                    continue;
                };
                let index = search.evaluations() + i;
                let Some(recorded) = trajectory.get(index) else {
                    return Ok(Some(format!("evaluation {index} is not recorded")));
                };
                for axis in 0..dim {
                    let wanted = number(&recorded[axis])?;
                    let (low, high) = self.intervals[axis];
                    let distance = (x[axis] - wanted).abs();
                    if distance.is_nan() || distance > X_TOLERANCE * (high - low) {
                        return Ok(Some(format!(
                            "evaluation {index}, axis {axis}: asked {}, recorded {wanted}",
                            x[axis]
                        )));
                    }
                }
                values.push(number(&recorded[dim])?);
            }
            search.tell(&values).map_err(|error| error.to_string())?;
        }
        let recorded = self.trajectory.map_or(0, <[_]>::len);
        if self.trajectory.is_some() && recorded != search.evaluations() {
            return Ok(Some(format!(
                "{} evaluations, recorded {recorded}",
                search.evaluations()
            )));
        }
        Ok(None)
    }

    /// Difference of the best point from the recorded result.
    fn compare_best(&self, search: &Direct, result: &Value) -> Result<Option<String>, String> {
        let fun = number(&result["fun"])?;
        let Some(best) = search.best() else {
            return Ok(fun
                .is_finite()
                .then(|| format!("no feasible point, recorded {fun}")));
        };
        if !fun.is_finite() {
            return Ok((!best.value.is_finite()).then(|| format!("best value {}", best.value)));
        }
        if best.value != fun {
            return Ok(Some(format!("best value {}, recorded {fun}", best.value)));
        }
        for (axis, wanted) in array(result, "x")?.iter().enumerate() {
            let wanted = number(wanted)?;
            let (low, high) = self.intervals[axis];
            let distance = (best.x[axis] - wanted).abs();
            if distance.is_nan() || distance > X_TOLERANCE * (high - low) {
                return Ok(Some(format!(
                    "best x[{axis}] = {}, recorded {wanted}",
                    best.x[axis]
                )));
            }
        }
        Ok(None)
    }
}

/// scipy's arguments as options; missing ones are scipy's defaults.
fn scipy_options(args: &Value, dim: usize) -> Result<DirectOptions, String> {
    let float = |name: &str, default: f64| args.get(name).map_or(Ok(default), number);
    let integer = |name: &str, default: usize| {
        args.get(name)
            .filter(|v| !v.is_null())
            .map_or(Ok(default), |v| {
                v.as_u64()
                    .map(|v| v as usize)
                    .ok_or_else(|| format!("{name} = {v} is no integer"))
            })
    };
    let biased = args["locally_biased"].as_bool().unwrap_or(true);
    let target = float("f_min", f64::NEG_INFINITY)?;
    Ok(DirectOptions {
        selection: Selection::ScipyCompat,
        size_measure: if biased {
            SizeMeasure::LongestSide
        } else {
            SizeMeasure::HalfDiagonal
        },
        eps: float("eps", 1e-4)?,
        max_evaluations: integer("maxfun", 1000 * dim)?,
        max_iterations: Some(integer("maxiter", 1000)?),
        volume_tolerance: float("vol_tol", 1e-16)?,
        side_tolerance: float("len_tol", 1e-6)?,
        target: match target.is_finite() {
            true => Some(Target {
                value: target,
                relative_tolerance: float("f_min_rtol", 1e-4)?,
            }),
            false => None,
        },
        ..DirectOptions::default()
    })
}

fn check_scipy_run(run: &Value) -> Result<Option<String>, String> {
    let given = Run::new(run)?;
    let options = scipy_options(&run["args"], given.intervals.len())?;
    let bounds = Bounds::new(&given.intervals).map_err(|error| error.to_string())?;
    let mut search = Direct::new(bounds, options).map_err(|error| error.to_string())?;
    if let Some(difference) = given.drive(&mut search, usize::MAX)? {
        return Ok(Some(difference));
    }
    let result = &run["result"];
    let status = search.stop().and_then(StopReason::scipy_status);
    let ours = (
        status.map(i64::from),
        search.evaluations() as u64,
        search.iterations() as u64,
    );
    let wanted = (
        result["status"].as_i64(),
        result["nfev"].as_u64().ok_or("no nfev")?,
        result["nit"].as_u64().ok_or("no nit")?,
    );
    if ours != wanted {
        return Ok(Some(format!(
            "(status, nfev, nit) = {ours:?}, recorded {wanted:?}"
        )));
    }
    // On these scipy leaves x at the last sampled point.
    if status.is_some_and(|status| status < 0) {
        let fun = number(&result["fun"])?;
        let value = search.best().map(|best| best.value);
        return Ok((value != Some(fun)).then(|| format!("best value {value:?}, recorded {fun}")));
    }
    given.compare_best(&search, result)
}

fn check_nlopt_run(run: &Value) -> Result<Option<String>, String> {
    let given = Run::new(run)?;
    let mut options = scipy_options(&run["args"], given.intervals.len())?;
    options.selection = Selection::ConvexHull;
    options.max_evaluations = UNLIMITED;
    options.max_iterations = None;
    options.volume_tolerance = 0.0;
    options.side_tolerance = 0.0;
    let bounds = Bounds::new(&given.intervals).map_err(|error| error.to_string())?;
    let mut search = Direct::new(bounds, options).map_err(|error| error.to_string())?;
    let budget = run["args"]["maxeval"].as_u64().ok_or("no maxeval")? as usize;
    if let Some(difference) = given.drive(&mut search, budget)? {
        return Ok(Some(difference));
    }
    let calls = run["result"]["calls"].as_u64().ok_or("no calls")?;
    if search.evaluations() as u64 != calls {
        return Ok(Some(format!(
            "{} evaluations, recorded {calls}",
            search.evaluations()
        )));
    }
    given.compare_best(&search, &run["result"])
}

/// Compares one column of one trace; `Err` says what differs.
fn check_trace(case: &Value, name: &str, column: &str) -> Result<(), String> {
    let ends =
        |key: &str| -> Result<Vec<f64>, String> { array(case, key)?.iter().map(number).collect() };
    let intervals: Vec<_> = ends("lb")?.into_iter().zip(ends("ub")?).collect();
    let dim = intervals.len();
    let objective = direct_objectives::by_trace_name(name)
        .ok_or_else(|| format!("objective {name} is not known"))?;
    let mut options = scipy_options(&case["kw"], dim)?;
    let mut budget = usize::MAX;
    if column == "textbook" {
        // scipy's budget: an odd maxfun counts as the even number below.
        budget = options.max_evaluations & !1;
        options.selection = Selection::ConvexHull;
        options.max_evaluations = UNLIMITED;
    }
    let bounds = Bounds::new(&intervals).map_err(|error| error.to_string())?;
    let mut search = Direct::new(bounds, options).map_err(|error| error.to_string())?;
    let mut hash = Sha256::new();
    while search.stop().is_none() && search.evaluations() <= budget {
        let mut values = Vec::new();
        for x in search.ask().chunks(dim) {
            let value = objective(x);
            for number in x.iter().chain([&value]) {
                hash.update(number.to_le_bytes());
            }
            values.push(value);
        }
        search.tell(&values).map_err(|error| error.to_string())?;
    }
    if search.stop().is_none() {
        search.stop_now(StopReason::Evaluations);
    }
    let wanted = &case[column];
    let ours = (
        search
            .stop()
            .and_then(StopReason::scipy_status)
            .map(i64::from),
        Some(search.evaluations() as u64),
        Some(search.iterations() as u64),
    );
    let recorded = (
        wanted["status"].as_i64(),
        wanted["nfev"].as_u64(),
        wanted["nit"].as_u64(),
    );
    if ours != recorded {
        return Err(format!(
            "(status, nfev, nit) = {ours:?}, recorded {recorded:?}"
        ));
    }
    let digest: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if digest != text(wanted, "trace_sha256")? {
        return Err(format!("hash {digest}"));
    }
    Ok(())
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    value[key]
        .as_array()
        .ok_or_else(|| format!("{key} is no array"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key]
        .as_str()
        .ok_or_else(|| format!("{key} is no text"))
}

/// A number, or one of the texts that stand for what JSON has no number for.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| format!("{value} is no number"))
}
