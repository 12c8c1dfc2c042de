//! Published profits: what torch programs return, per bar and in total.

use std::path::Path;

use serde_json::Value;
use trisect::{
    Bar, Batch, Bounds, Direct, DirectOptions, ExitRule, Fields, Leg, Multipliers, Selection,
    SizeMeasure, Weights, canonical_profit, profit, profit_f64,
};

use crate::golden::{Checked, read_json};

const EQUITY_FEE: f64 = trisect::EQUITY_FEE;

/// A number, or one of the texts that stand for what JSON cannot say.
fn number(value: &Value) -> Result<f64, String> {
    match value.as_str() {
        Some("NaN") => Ok(f64::NAN),
        Some("Infinity") => Ok(f64::INFINITY),
        Some("-Infinity") => Ok(f64::NEG_INFINITY),
        Some(text) => Err(format!("not a number: {text:?}")),
        None => value
            .as_f64()
            .ok_or_else(|| format!("not a number: {value}")),
    }
}

fn numbers(value: &Value) -> Result<Vec<f64>, String> {
    list(value)?.iter().map(number).collect()
}

fn floats(case: &Value, name: &str) -> Result<Vec<f32>, String> {
    let values = numbers(&case[name]).map_err(|error| format!("{name}: {error}"))?;
    Ok(values.iter().map(|&x| x as f32).collect())
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value
        .as_array()
        .ok_or_else(|| format!("not a list: {value}"))
}

fn flag(value: &Value) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("not a flag: {value}"))
}

/// Bars, positions and terms of one recorded simulation.
struct Case {
    bars: Vec<Bar>,
    /// One column of positions, or buy and sell.
    positions: Vec<Vec<f32>>,
    fee: f64,
    exit_rule: ExitRule,
}

impl Case {
    fn read(case: &Value, positions: &[&str]) -> Result<Self, String> {
        let [close, high, low] =
            ["close", "high_actual", "low_actual"].map(|name| floats(case, name));
        let [high_pred, low_pred] = ["high_pred", "low_pred"].map(|name| floats(case, name));
        let (close, high, low, high_pred, low_pred) = (close?, high?, low?, high_pred?, low_pred?);
        let bars = (0..close.len()).map(|t| Bar {
            close: close[t],
            high: high[t],
            low: low[t],
            high_pred: high_pred[t],
            low_pred: low_pred[t],
        });
        let fee = &case["fee"];
        Ok(Self {
            bars: bars.collect(),
            positions: positions
                .iter()
                .map(|name| floats(case, name))
                .collect::<Result<_, _>>()?,
            fee: if fee.is_null() {
                EQUITY_FEE
            } else {
                number(fee)?
            },
            exit_rule: if flag(&case["close_at_eod"])? {
                ExitRule::AtClose
            } else {
                ExitRule::Intraday
            },
        })
    }

    /// Profit per bar of one column of positions, everything in f64.
    fn per_bar_f64(&self, column: usize, at: (f64, f64)) -> Vec<f64> {
        let bars = self.bars.iter().zip(&self.positions[column]);
        bars.map(|(bar, &position)| profit_f64(bar, position, at, self.fee, self.exit_rule))
            .collect()
    }

    /// Profit per bar of one column of positions from legs, in f32.
    fn per_bar_f32(&self, column: usize, at: (f64, f64)) -> Vec<f64> {
        let fee = self.fee as f32;
        let pair = Multipliers::new(at.0 as f32, at.1 as f32);
        let bars = self.bars.iter().zip(&self.positions[column]);
        bars.map(|(bar, &position)| {
            let leg = Leg::new(bar, position, fee);
            f64::from(canonical_profit(leg.as_slice(), pair, fee, self.exit_rule))
        })
        .collect()
    }

    /// The same with gates in f32 and values in f64.
    fn per_bar_reference(&self, column: usize, at: (f64, f64)) -> Vec<f64> {
        let pair = Multipliers::new(at.0 as f32, at.1 as f32);
        let bars = self.bars.iter().zip(&self.positions[column]);
        bars.map(|(bar, &position)| profit(bar, position, pair, self.fee, self.exit_rule))
            .collect()
    }

    /// Scale of the rounding errors of a sum over the bars.
    fn magnitude(&self) -> f64 {
        let reach = |x: f32| f64::from(x.abs()).min(10.0);
        let mut sum = 0.0;
        for column in &self.positions {
            for (bar, &position) in self.bars.iter().zip(column) {
                let levels = reach(bar.high_pred) + reach(bar.low_pred) + reach(bar.close) + 0.06;
                sum += reach(position) * (levels + self.fee);
            }
        }
        sum
    }

    fn is_finite(&self) -> bool {
        let values = |bar: &Bar| [bar.close, bar.high, bar.low, bar.high_pred, bar.low_pred];
        self.bars.iter().flat_map(values).all(f32::is_finite)
            && self.positions.iter().flatten().all(|p| p.is_finite())
    }
}

/// Whether two numbers agree to `tolerance`; NaN never does.
fn near(got: f64, expected: f64, tolerance: f64) -> bool {
    (got - expected).abs() <= tolerance
}

fn all_near(got: &[f64], expected: &[f64], tolerance: f64) -> bool {
    got.len() == expected.len()
        && got
            .iter()
            .zip(expected)
            .all(|(&got, &expected)| near(got, expected, tolerance))
}

/// Entry-exit profits, per bar and in total, f64 and f32.
pub fn check_profit(dir: &Path) -> Checked {
    let root = read_json(dir, "profit.json")?;
    let (mut cases, mut mismatches) = (0, 0);
    for case in list(&root["cases"])?.iter().chain(list(&root["edge"])?) {
        let id = case["id"].to_string();
        let run = || -> Result<bool, String> {
            let data = Case::read(case, &["pos"])?;
            if !data.is_finite() || data.bars.is_empty() {
                // What a program returns on such input is of no use: the library refuses it.
                return Ok(refused(&data));
            }
            let scale = data.magnitude();
            let mut good = true;
            for eval in list(&case["evals"])? {
                let at = (number(&eval["h"])?, number(&eval["l"])?);
                let per_bar = data.per_bar_f64(0, at);
                let f64s = &eval["f64"];
                good &= all_near(&per_bar, &numbers(&f64s["per_day"])?, 1e-12 * scale);
                let total = number(&f64s["total"])?;
                good &= near(per_bar.iter().sum(), total, 1e-12 * scale);

                let f32s = &eval["f32"];
                let expected = numbers(&f32s["per_day"])?;
                good &= all_near(&data.per_bar_reference(0, at), &expected, 1e-5 * scale);
                // Legs need a low above -1, which the library demands of its input.
                if data.bars.iter().all(|bar| bar.low > -1.0) {
                    let per_bar = data.per_bar_f32(0, at);
                    good &= all_near(&per_bar, &expected, 1e-5 * scale);
                    let total = number(&f32s["total"])?;
                    good &= near(per_bar.iter().sum(), total, 1e-5 * scale);
                }
            }
            Ok(good)
        };
        cases += 1;
        let good = run().map_err(|error| format!("profit.json: case {id}: {error}"))?;
        if !good {
            println!("profit.json: case {id} differs");
            mismatches += 1;
        }
    }
    Ok((cases, mismatches))
}

/// Whether the library refuses a simulation with a value that is not finite, or without bars.
fn refused(data: &Case) -> bool {
    let column = |field: fn(&Bar) -> f32| data.bars.iter().map(field).collect::<Vec<_>>();
    let batch = Batch::from_slices(
        &[data.bars.len()],
        Fields {
            close: &column(|bar| bar.close)[..],
            high: &column(|bar| bar.high),
            low: &column(|bar| bar.low),
            high_pred: &column(|bar| bar.high_pred),
            low_pred: &column(|bar| bar.low_pred),
            weights: Weights::EntryExit(&data.positions[0]),
        },
    );
    match batch {
        Err(trisect::Error::NotFinite { .. }) => !data.bars.is_empty(),
        Err(trisect::Error::EmptySimulation { .. }) => data.bars.is_empty(),
        _ => false,
    }
}

/// Always-on profits.
pub fn check_always_on(dir: &Path) -> Checked {
    let root = read_json(dir, "always_on.json")?;
    let (mut cases, mut mismatches) = (0, 0);
    for case in list(&root["cases"])? {
        let id = case["id"].to_string();
        let run = || -> Result<bool, String> {
            let crypto = flag(&case["is_crypto"])?;
            let columns: &[&str] = if crypto { &["buy"] } else { &["buy", "sell"] };
            let data = Case::read(case, columns)?;
            let scale = data.magnitude();
            let mut good = true;
            for eval in list(&case["evals"])? {
                let at = (number(&eval["h"])?, number(&eval["l"])?);
                let (mut total_f64, mut total_f32) = (0.0, 0.0);
                for (column, name) in ["buy_per_day", "sell_per_day"].iter().enumerate() {
                    if column == columns.len() {
                        break;
                    }
                    let f64s = data.per_bar_f64(column, at);
                    good &= all_near(&f64s, &numbers(&eval["f64"][name])?, 1e-12 * scale);
                    let f32s = data.per_bar_f32(column, at);
                    good &= all_near(&f32s, &numbers(&eval["f32"][name])?, 1e-5 * scale);
                    total_f64 += f64s.iter().sum::<f64>();
                    total_f32 += f32s.iter().sum::<f64>();
                }
                let expected = |form: &str| number(&eval[form]["profit"]);
                good &= near(total_f64, expected("f64")?, 1e-12 * scale);
                good &= near(total_f32, expected("f32")?, 1e-5 * scale);
            }
            good &= attained(&data, &case["exact"]["attained_f64"], scale)?;
            Ok(good)
        };
        cases += 1;
        let good = run().map_err(|error| format!("always_on.json: case {id}: {error}"))?;
        if !good {
            println!("always_on.json: case {id} differs");
            mismatches += 1;
        }
    }
    Ok((cases, mismatches))
}

/// Whether the recorded best point has the recorded value.
fn attained(data: &Case, best: &Value, scale: f64) -> Result<bool, String> {
    let at = (number(&best["h"])?, number(&best["l"])?);
    let columns = 0..data.positions.len();
    let total: f64 = columns
        .flat_map(|column| data.per_bar_f64(column, at))
        .sum();
    Ok(near(total, number(&best["value"])?, 1e-12 * scale))
}

/// The sum in NumPy's order (pairwise in blocks of 128, eight partial sums in a block): the
/// recorded searches took it, and a last bit can turn a search.
fn numpy_sum(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().sum();
    }
    if n > 128 {
        let half = n / 2 - n / 2 % 8;
        return numpy_sum(&values[..half]) + numpy_sum(&values[half..]);
    }
    let blocks = values.chunks_exact(8);
    let rest = blocks.remainder();
    let r = blocks
        .map(|block| [0, 1, 2, 3, 4, 5, 6, 7].map(|lane| block[lane]))
        .reduce(|sums, block| [0, 1, 2, 3, 4, 5, 6, 7].map(|lane| sums[lane] + block[lane]))
        .unwrap_or_default();
    let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    rest.iter().fold(sum, |sum, value| sum + value)
}

/// SciPy's DIRECT on profits: the values at its points, and its trajectory replayed.
pub fn check_entry_exit_direct(dir: &Path) -> Checked {
    let root = read_json(dir, "entry_exit_direct.json")?;
    let (mut cases, mut mismatches) = (0, 0);
    let mut sims = Vec::new();
    for sim in list(&root["sims"])? {
        let id = sim["id"].to_string();
        let mut count = |good: Result<bool, String>, what: &str| -> Result<(), String> {
            cases += 1;
            if !good.map_err(|error| format!("entry_exit_direct.json: sim {id}: {error}"))? {
                println!("entry_exit_direct.json: sim {id}: {what} differs");
                mismatches += 1;
            }
            Ok(())
        };
        let data = Case::read(sim, &["pos"])?;
        let scale = data.magnitude();
        let total = |at: (f64, f64)| numpy_sum(&data.per_bar_f64(0, at));
        let at_baseline = number(&sim["profit_at_0_0_f64"])?;
        count(
            Ok(near(total((0.0, 0.0)), at_baseline, 1e-12 * scale)),
            "the baseline",
        )?;
        count(
            attained(&data, &sim["exact"]["attained_f64"], scale),
            "the exact optimum",
        )?;
        for run in list(&sim["direct"])? {
            if run["objective"] != "f64" {
                continue;
            }
            let x = numbers(&run["x"])?;
            let at_best = near(-total((x[0], x[1])), number(&run["fun"])?, 1e-12 * scale);
            count(Ok(at_best), "the profit at SciPy's best point")?;
            count(
                search(run, |x| -total((x[0], x[1])), scale),
                "SciPy's search",
            )?;
        }
        sims.push((data, scale));
    }
    for group in list(&root["shared"])? {
        let name = group["group"].to_string();
        let members = numbers(&group["sims"])?;
        let members: Vec<_> = members
            .iter()
            .map(|&index| sims.get(index as usize).ok_or("no such simulation"))
            .collect::<Result<_, _>>()?;
        let mean = |x: &[f64]| -> f64 {
            let total = |(data, _): &&(Case, f64)| numpy_sum(&data.per_bar_f64(0, (x[0], x[1])));
            let totals: Vec<f64> = members.iter().map(total).collect();
            numpy_sum(&totals) / members.len() as f64
        };
        for run in list(&group["direct"])? {
            cases += 1;
            let scale = members.iter().map(|(_, scale)| scale).sum();
            if !search(run, |x| -mean(x), scale)? {
                println!("entry_exit_direct.json: group {name}: SciPy's search differs");
                mismatches += 1;
            }
        }
    }
    Ok((cases, mismatches))
}

/// Runs SciPy's rules on `objective`, or on the recorded values where a trajectory is given.
fn search(run: &Value, objective: impl Fn(&[f64]) -> f64, scale: f64) -> Result<bool, String> {
    let options = DirectOptions {
        selection: Selection::ScipyCompat,
        size_measure: if flag(&run["locally_biased"])? {
            SizeMeasure::LongestSide
        } else {
            SizeMeasure::HalfDiagonal
        },
        max_evaluations: number(&run["maxfun"])? as usize,
        max_iterations: Some(1000),
        ..DirectOptions::default()
    };
    let recorded = match run.get("traj") {
        Some(points) => list(points)?
            .iter()
            .map(numbers)
            .collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    let bounds = Bounds::new(&[(-0.03, 0.03), (-0.03, 0.03)]).map_err(|e| e.to_string())?;
    let mut direct = Direct::new(bounds, options).map_err(|error| error.to_string())?;
    let mut good = true;
    while direct.stop().is_none() {
        let first = direct.evaluations();
        let mut values = Vec::new();
        for (index, x) in direct.ask().chunks(2).enumerate() {
            let value = objective(x);
            match recorded.get(first + index) {
                Some(point) => {
                    good &= all_near(x, &point[..2], 1e-12 * 0.06);
                    good &= near(value, point[2], 1e-12 * scale);
                    values.push(point[2]);
                }
                None => values.push(value),
            }
        }
        direct.tell(&values).map_err(|error| error.to_string())?;
    }
    good &= direct.evaluations() as f64 == number(&run["nfev"])?;
    if let Some(nit) = run.get("nit") {
        good &= direct.iterations() as f64 == number(nit)?;
    }
    if let Some(status) = run.get("status") {
        let expected = number(status)?;
        let got = direct.stop().and_then(|reason| reason.scipy_status());
        good &= got.map(f64::from) == Some(expected);
    }
    Ok(good)
}
