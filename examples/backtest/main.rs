//! Tunes entry and exit levels of real stocks over rolling windows.
//!
//! Reads daily prices, forecasts each bar's high and low from the bars before it, cuts rolling
//! windows that end one bar apart, tunes the multipliers, and prints what came of it per symbol.
//! What it prints is the best of these windows in sample; it is not a forecast.

mod arguments;
mod columns;
mod windows;

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;
use trisect::{
    Batch, Evaluator, ExitRule, Fields, GroupOutcome, Observer, Outcome, Prices, Progress,
    RollingMean, Series, Settings, Weights, optimize, read_prices,
};

use arguments::{Arguments, Parsed};

/// Bars a forecast looks back on: about one month of trading days.
const LOOKBACK: usize = 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let arguments = match arguments::parse(std::env::args_os(), &settings)? {
        Parsed::Help => {
            print!("{}", arguments::HELP);
            return Ok(());
        }
        Parsed::Run(arguments) => *arguments,
    };
    let name = arguments.csv.display().to_string();
    let file = read_prices(&arguments.csv, &arguments.reading)?;
    if !file.repairs.is_empty() {
        eprintln!("{}", file.repairs);
    }
    let wanted = select(&file.prices, arguments.symbol.as_deref())?;

    println!(
        "{} simulations of {} bars per symbol, forecasts from the {LOOKBACK} bars before",
        arguments.simulations, arguments.bars
    );
    println!(
        "{:<8} {:>16} {:>16} {:>9} {:>9} {:>9} {:>8} {:>7} {:>9}  stopped because",
        "symbol", "high", "low", "exit", "baseline", "profit", "quality", "scored", "ms"
    );
    let mut reports = Vec::new();
    for prices in wanted {
        match tune(prices, &arguments) {
            Ok(report) => reports.push(report),
            // One symbol that is too short does not keep the others from being tuned.
            Err(error) => eprintln!("{}: {error}", prices.symbol),
        }
    }
    if reports.is_empty() {
        return Err("no symbol could be tuned".into());
    }
    println!("profits are means per simulation, in sample: what would have been, not what will be");
    if let Some(device) = reports[0]["device"].as_str() {
        println!("evaluated on {device}");
    }
    if let Some(path) = &arguments.json {
        let report = json!({
            "csv": name,
            "bars": arguments.bars,
            "simulations": arguments.simulations,
            "fee": arguments.evaluate.fee,
            "options": format!("{:?}", arguments.optimize),
            "symbols": reports,
        });
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// The prices of the wanted symbol, or of all.
fn select<'a>(all: &'a [Prices], symbol: Option<&str>) -> Result<Vec<&'a Prices>, String> {
    let Some(symbol) = symbol else {
        return Ok(all.iter().collect());
    };
    let found = all
        .iter()
        .find(|prices| prices.symbol.eq_ignore_ascii_case(symbol));
    let names = || {
        let names = all.iter().map(|prices| prices.symbol.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    found
        .map(|prices| vec![prices])
        .ok_or_else(|| format!("no symbol {symbol}: the file has {}", names()))
}

/// Tunes one symbol, prints its row, and returns its part of the JSON report.
fn tune(prices: &Prices, arguments: &Arguments) -> Result<serde_json::Value, Box<dyn Error>> {
    let forecaster = RollingMean { lookback: LOOKBACK };
    let bars = Series::from_prices(prices, &forecaster)?;
    let Weights::EntryExit(position) = &bars.weights else {
        return Err("a forecaster gives one position per bar".into());
    };
    let windows = windows::windows(bars.len(), arguments.bars, arguments.simulations)?;
    let mut builder = Batch::builder();
    for window in &windows {
        let window = window.clone();
        builder.push(Fields {
            close: &bars.close[window.clone()],
            high: &bars.high[window.clone()],
            low: &bars.low[window.clone()],
            high_pred: &bars.high_pred[window.clone()],
            low_pred: &bars.low_pred[window.clone()],
            weights: Weights::EntryExit(&position[window]),
        })?;
    }
    let batch = builder.build()?;
    let mut evaluator = Evaluator::new(&batch, arguments.device, &arguments.evaluate)?;
    let mut bar = LateBar::new(&prices.symbol);
    let outcome = optimize(&mut evaluator, &arguments.optimize, &mut bar)?;
    bar.finish();
    print_row(&prices.symbol, &outcome);

    let (first, last) = (windows.last(), windows.first());
    Ok(json!({
        "symbol": prices.symbol,
        "device": evaluator.device(),
        "not_a_gpu_because": evaluator.fallback().map(ToString::to_string),
        "first_date": first.map(|window| date(bars.times[window.start])),
        "last_date": last.map(|window| date(bars.times[window.end - 1])),
        "groups": outcome.groups.iter().map(group_report).collect::<Vec<_>>(),
        "profits": outcome.profits,
        "evaluations": outcome.evaluations,
        "rounds": outcome.rounds,
        "bar_candidates": outcome.bar_candidates,
        "wall_ms": outcome.wall_time.as_secs_f64() * 1e3,
    }))
}

/// A date, with the time of day where it is not midnight.
fn date(seconds: i64) -> String {
    let text =
        Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string());
    text.trim_end_matches("T00:00:00Z").to_owned()
}

fn group_report(group: &GroupOutcome) -> serde_json::Value {
    json!({
        "simulations": group.simulations,
        "high": group.multipliers.high,
        "low": group.multipliers.low,
        "exit_rule": group.exit_rule.to_string(),
        "baseline": group.baseline,
        "profit": group.profit,
        "evaluations": group.evaluations,
        "iterations": group.iterations,
        "stop": group.stop.to_string(),
        "upper_bound": group.upper_bound,
        "quality": group.quality(),
    })
}

fn print_row(symbol: &str, outcome: &Outcome) {
    let groups = &outcome.groups;
    let mean = |value: fn(&GroupOutcome) -> f64| {
        let weighted = groups
            .iter()
            .map(|group| value(group) * group.simulations as f64);
        weighted.sum::<f64>() / outcome.profits.len() as f64
    };
    let at_close = groups
        .iter()
        .filter(|group| group.exit_rule == ExitRule::AtClose)
        .count();
    let exit = match at_close {
        0 => "intraday",
        n if n == groups.len() => "at close",
        _ => "mixed",
    };
    println!(
        "{symbol:<8} {:>16} {:>16} {exit:>9} {:>9.5} {:>9.5} {:>8} {:>7} {:>9.2}  {}",
        spread(groups, |group| group.multipliers.high),
        spread(groups, |group| group.multipliers.low),
        mean(|group| group.baseline),
        mean(|group| group.profit),
        quality(groups),
        outcome.evaluations,
        outcome.wall_time.as_secs_f64() * 1e3,
        stops(groups),
    );
}

/// The value of the only group, or the smallest and the largest.
fn spread(groups: &[GroupOutcome], value: impl Fn(&GroupOutcome) -> f32) -> String {
    let values = || groups.iter().map(&value);
    let least = values().fold(f32::INFINITY, f32::min);
    let greatest = values().fold(f32::NEG_INFINITY, f32::max);
    if groups.len() == 1 {
        format!("{least:+.6}")
    } else {
        format!("{least:+.4}..{greatest:+.4}")
    }
}

/// Mean share of the attainable improvement that was found, where it is known.
fn quality(groups: &[GroupOutcome]) -> String {
    let known: Option<Vec<f64>> = groups.iter().map(GroupOutcome::quality).collect();
    known.map_or_else(
        || "-".to_owned(),
        |known| format!("{:.4}", known.iter().sum::<f64>() / known.len() as f64),
    )
}

/// Why the searches stopped, with counts when there are several.
fn stops(groups: &[GroupOutcome]) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for group in groups {
        let reason = group.stop.to_string();
        match counts.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => counts.push((reason, 1)),
        }
    }
    let texts = counts.iter().map(|(reason, count)| match groups.len() {
        1 => reason.clone(),
        _ => format!("{reason} ({count})"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// A progress bar that only appears on a terminal and only after a second.
struct LateBar {
    symbol: String,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl LateBar {
    fn new(symbol: &str) -> Self {
        Self {
            symbol: symbol.to_owned(),
            start: Instant::now(),
            bar: None,
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Observer for &mut LateBar {
    /// Without a terminal there is nobody to show a bar to, and the searches need not keep step.
    fn watches(&self) -> bool {
        stderr().is_terminal()
    }

    fn round(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        if self.bar.is_none() && self.start.elapsed() > Duration::from_secs(1) {
            let bar = ProgressBar::new(progress.groups as u64);
            // The default style has no place for a message.
            let style = ProgressStyle::with_template("{msg} [{elapsed}] {wide_bar} {pos}/{len}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}, {} scored", self.symbol, progress.evaluations));
            bar.set_position((progress.groups - progress.running) as u64);
        }
        ControlFlow::Continue(())
    }
}
