//! Measures every way to tune a batch, side by side: time, profit, quality, memory.
//!
//! What it prints is what the machine it runs on gives, on one batch. Profits are in sample: they
//! are no forecast.

mod arguments;
mod input;
mod labels;
mod measure;
mod plot;
mod report;
#[allow(dead_code, reason = "the benches draw candidates, too")]
#[path = "../../benches/synthetic.rs"]
mod synthetic;
#[cfg(feature = "csv")]
#[path = "../backtest/windows.rs"]
mod windows;

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use trisect::{
    Evaluator, Recommendation, Strategy, StrategyOptions, Threads, Wanted, Workload, work_if_asked,
};

use arguments::{Arguments, Parsed};
use measure::Attainable;

fn main() -> ExitCode {
    work_if_asked();
    let done = match arguments::parse(std::env::args_os()) {
        Ok(Parsed::Help) => {
            print!("{}", arguments::HELP);
            Ok(())
        }
        Ok(Parsed::Run(arguments)) => run(&arguments, &StrategyOptions::default()),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A file that can be written, opened before the work; what it holds stays until there is more.
struct Output(Option<(File, String)>);

impl Output {
    fn open(option: &str, path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let name = path.display().to_string();
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| format!("{option} {name}: cannot be written: {error}"))?;
        Ok(Self(Some((file, name))))
    }

    fn write(self, text: impl FnOnce() -> Result<String, String>) -> Result<(), String> {
        let Some((mut file, name)) = self.0 else {
            return Ok(());
        };
        let text = text()?;
        file.set_len(0)
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(|error| format!("{name}: {error}"))
    }
}

fn run(arguments: &Arguments, common: &StrategyOptions) -> Result<(), Box<dyn Error>> {
    let json_file = Output::open("--json", arguments.json.as_deref())?;
    let plot_file = Output::open("--plot", arguments.plot.as_deref())?;
    let options = StrategyOptions {
        threads: arguments.threads,
        processes: arguments.processes.or(arguments.threads),
        seed: arguments.seed,
        ..common.clone()
    };
    let (batch, source) = input::batch(arguments)?;
    let bars_each = batch.bars() as f64 / batch.len() as f64;
    let machine = machine(&batch, &options)?;
    println!(
        "{} simulations of {bars_each} bars, {source}, seed {}; {} repeats; {machine}\n",
        batch.len(),
        arguments.seed,
        arguments.repeats
    );

    let attainable = Attainable::of(&batch, &options)?;
    let strategies = &arguments.strategies;
    let rows = measure::measure(&batch, strategies, arguments.repeats, &options, &attainable)?;
    println!("{}", report::markdown(&rows, &attainable));
    let measured = report::recommendation(&rows);
    let gpu = |row: &measure::Row| row.strategy.needs_gpu() && row.measured.is_some();
    let workload = Workload {
        simulations: batch.len(),
        bars: batch.bars(),
        groups: batch.len(),
        threads: options.threads.unwrap_or(Threads::default().count()),
        gpus: usize::from(rows.iter().any(gpu)),
    };
    let wanted = Wanted::AtLeast(report::WANTED_QUALITY);
    let Recommendation { because, .. } = Strategy::recommend(&workload, wanted)?;
    println!("{measured}\nBy sizes alone: {because}.");

    json_file.write(|| {
        let report = json!({
            "machine": machine,
            "source": source,
            "simulations": batch.len(),
            "bars": bars_each,
            "seed": arguments.seed,
            "repeats": arguments.repeats,
            "rows": report::rows_json(&rows, &attainable),
            "recommendation": measured,
        });
        serde_json::to_string_pretty(&report).map_err(|error| error.to_string())
    })?;
    plot_file.write(|| {
        let title = format!("{} simulations of {bars_each} bars, {source}", batch.len());
        plot::svg(&rows, &title)
    })?;
    Ok(())
}

/// The processor, as far as the system tells, and what the library makes of it.
fn machine(batch: &trisect::Batch, options: &StrategyOptions) -> Result<String, trisect::Error> {
    let evaluate = trisect::EvaluateOptions {
        threads: options.threads,
        ..trisect::EvaluateOptions::default()
    };
    let device = Evaluator::cpu(batch, &evaluate)?.device();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(match model {
        Some((_, name)) => format!("{name}, {device}"),
        None => format!("{}, {device}", std::env::consts::ARCH),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use trisect::WorkerProgram;

    use super::*;
    use crate::arguments::Source;
    use crate::synthetic::Forecasts;

    /// Also what the workers of the tests here run: they are this program, told to run this test.
    #[test]
    fn a_process_that_nobody_asked_to_work_goes_on() {
        let before = std::process::id();
        work_if_asked();
        assert_eq!(std::process::id(), before);
    }

    fn with_workers() -> StrategyOptions {
        let name = "tests::a_process_that_nobody_asked_to_work_goes_on";
        StrategyOptions {
            worker: WorkerProgram {
                arguments: [name, "--exact", "--nocapture"].map(Into::into).to_vec(),
                ..WorkerProgram::default()
            },
            ..StrategyOptions::default()
        }
    }

    fn arguments() -> Arguments {
        Arguments {
            simulations: 40,
            bars: 60,
            seed: 3,
            source: Source::Synthetic(Forecasts::Skilled),
            repeats: 1,
            strategies: Strategy::ALL.to_vec(),
            threads: Some(2),
            processes: Some(3),
            json: None,
            plot: None,
        }
    }

    fn scratch(name: &str) -> PathBuf {
        let name = format!("trisect-strategies-{}-{name}", std::process::id());
        std::env::temp_dir().join(name)
    }

    #[test]
    fn every_row_is_measured_and_written() {
        let (json, plot) = (scratch("rows.json"), scratch("plot.svg"));
        // What the file held before must be gone, however long it was.
        std::fs::write(&json, "x".repeat(100_000)).unwrap();
        let arguments = Arguments {
            json: Some(json.clone()),
            plot: Some(plot.clone()),
            ..arguments()
        };
        run(&arguments, &with_workers()).unwrap();
        let text = std::fs::read_to_string(&json).unwrap();
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["simulations"], 40);
        assert_eq!(report["bars"], 60.0);
        assert_eq!(report["seed"], 3);
        assert!(report["machine"].is_string());
        let rows = report["rows"].as_array().unwrap();
        assert_eq!(rows.len(), Strategy::ALL.len());
        let of = |name: Strategy, field: &str| {
            let row = rows.iter().find(|row| row["strategy"] == name.name());
            row.unwrap()[field].clone()
        };
        for (strategy, same) in [
            (Strategy::Threads, Strategy::Baseline),
            (Strategy::Processes, Strategy::Baseline),
            (Strategy::ThreadsFast, Strategy::Fast),
            (Strategy::ProcessesFast, Strategy::Fast),
            (Strategy::ExactThreads, Strategy::Exact),
        ] {
            for field in ["profit", "quality", "evaluations"] {
                assert_eq!(of(strategy, field), of(same, field), "{strategy}");
            }
        }
        assert_eq!(of(Strategy::Exact, "quality"), 1.0);
        assert_eq!(of(Strategy::Baseline, "speedup"), 1.0);
        assert!(of(Strategy::Processes, "start_ms").as_f64().unwrap() > 0.0);
        for row in rows {
            let strategy: Strategy = row["strategy"].as_str().unwrap().parse().unwrap();
            let note = row["note"].as_str().unwrap();
            if strategy.needs_gpu() && row["quality"].is_null() {
                assert!(note.starts_with("no device: "), "{row}");
                continue;
            }
            let number = |field: &str| row[field].as_f64().unwrap();
            assert!(number("per_simulation_ms") > 0.0, "{row}");
            assert!(number("host_bytes") > 0.0, "{row}");
            let attainable = number("exact_profit") - number("baseline_profit");
            let gained = number("profit") - number("baseline_profit");
            assert_eq!(number("quality"), gained / attainable, "{row}");
            assert!((0.0..=1.0).contains(&number("quality")), "{row}");
        }
        let svg = std::fs::read_to_string(&plot).unwrap();
        assert!(svg.starts_with("<svg "));
        for strategy in Strategy::ALL {
            let drawn = svg.contains(&format!("\n{strategy}\n"));
            assert_eq!(drawn, !of(strategy, "quality").is_null(), "{strategy}");
        }
        std::fs::remove_file(json).unwrap();
        std::fs::remove_file(plot).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_found_before_the_work() {
        let missing = scratch("no-such-folder").join("out");
        // The source cannot be read either: whatever is said first was looked at first.
        let broken = Arguments {
            source: Source::Csv(scratch("no-such-prices.csv")),
            ..arguments()
        };
        for (option, json, plot) in [
            ("--json", Some(missing.clone()), None),
            ("--plot", None, Some(missing.clone())),
        ] {
            let arguments = Arguments {
                json,
                plot,
                ..broken.clone()
            };
            let error = run(&arguments, &with_workers()).unwrap_err().to_string();
            let expected = format!("{option} {}: cannot be written", missing.display());
            assert!(error.starts_with(&expected), "{error}");
        }
        let error = run(&broken, &with_workers()).unwrap_err().to_string();
        assert!(error.contains("no-such-prices.csv"), "{error}");
    }

    #[cfg(feature = "csv")]
    #[test]
    fn included_prices_are_a_batch_of_all_symbols() {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        let arguments = Arguments {
            source: Source::Csv(Path::new(&package).join("examples/data/prices.csv")),
            bars: 120,
            simulations: 30,
            ..arguments()
        };
        let (batch, source) = input::batch(&arguments).unwrap();
        assert!(source.starts_with("windows of AAPL, "), "{source}");
        assert_eq!(batch.len(), 5 * 30);
        assert_eq!(batch.bars(), 5 * 30 * 120);
    }
}
