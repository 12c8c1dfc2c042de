//! Metrics against empyrical and quantstats, and the deflated Sharpe ratio against the paper's
//! formula with scipy's distribution: `metrics.json`, which `metrics.py` beside it made.

use std::path::Path;

use serde_json::Value;
use trisect::Returns;

use crate::golden::{Checked, read_json};

/// Largest relative difference.
const LIMIT: f64 = 1e-9;

/// `metrics.json`: all of them on the same series.
pub fn check_metrics(dir: &Path) -> Checked {
    let file = read_json(dir, "metrics.json")?;
    let mut counts = (0, 0);
    let cases = file["cases"].as_array().ok_or("metrics.json: no cases")?;
    for case in cases {
        let name = &case["name"];
        let values = case["returns"]
            .as_array()
            .ok_or("metrics.json: no returns")?;
        let values: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
        let periods = case["periods_per_year"].as_f64();
        let returns = periods.ok_or("metrics.json: no periods_per_year")?;
        let returns = Returns::new(&values, returns).map_err(|error| format!("{name}: {error}"))?;
        let mut compare = |what: &str, ours: Option<f64>, theirs: &Value| {
            counts.0 += 1;
            let same = match (ours, theirs.as_f64()) {
                (Some(ours), Some(theirs)) => (ours - theirs).abs() <= LIMIT * theirs.abs(),
                (None, None) => theirs.is_null(),
                _ => false,
            };
            if !same {
                println!("metrics.json: {name}: {what} = {ours:?}, not {theirs}");
                counts.1 += 1;
            }
        };
        for program in ["empyrical", "quantstats"] {
            let Some(theirs) = case[program].as_object() else {
                continue;
            };
            for (what, theirs) in theirs {
                let ours = match what.as_str() {
                    "sharpe" => returns.sharpe(),
                    "sortino" => returns.sortino(),
                    "max_drawdown" => returns.max_drawdown(),
                    "annual_return" => returns.annual_return(),
                    "calmar" => returns.calmar(),
                    "hit_rate" => returns.hit_rate(),
                    _ => return Err(format!("metrics.json: unknown {what}")),
                };
                compare(&format!("{what} of {program}"), ours, theirs);
            }
        }
        let deflated = case["deflated_sharpe"].as_array();
        for case in deflated.ok_or("metrics.json: no deflated_sharpe")? {
            let trials = case["trials"].as_u64().ok_or("metrics.json: no trials")?;
            let ours = returns.deflated_sharpe(trials, case["variance"].as_f64());
            let ours = ours.map_err(|error| format!("{name}: {error}"))?;
            compare("deflated_sharpe", ours, &case["value"]);
        }
    }
    Ok(counts)
}
