//! Walks forward over prices: tunes multipliers on each train window, scores them on the bars that
//! follow, and reports what tuning is worth on bars it has not seen.
//!
//! It reads prices, makes forecasts from past bars, walks, and writes results, a checkpoint and a
//! page to look at. The library does the work; this is what a program around it looks like.

mod arguments;
mod charts;
mod checkpoint;
#[path = "../backtest/columns.rs"]
mod columns;
mod files;
#[path = "../strategies/labels.rs"]
mod labels;
mod page;
mod report;
mod results;

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rayon::prelude::*;
use trisect::{
    DataError, PriceFile, Prices, Series, Settings, Summary, WalkForward, WalkForwardOutcome,
    WalkForwardPart, read_prices,
};

use arguments::{Arguments, Parsed};
use checkpoint::{Checkpoint, Run};
use results::{About, Results};

/// Most symbols that are printed.
const PRINTED: usize = 30;

/// The exit status of a run that Ctrl-C has ended, as shells have it.
const INTERRUPTED: u8 = 130;

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Failure> {
    let settings = Settings::from_env()?;
    let arguments = match arguments::parse(std::env::args_os(), &settings)? {
        Parsed::Help => {
            print!("{}", arguments::HELP);
            return Ok(ExitCode::SUCCESS);
        }
        #[cfg(feature = "parquet")]
        Parsed::MakePrices(path, symbols, bars) => {
            files::write_whole(&path, |file| {
                results::parquet::make_prices(file, symbols, bars)
            })?;
            println!("{}: {symbols} symbols, {bars} bars", path.display());
            return Ok(ExitCode::SUCCESS);
        }
        #[cfg(not(feature = "parquet"))]
        Parsed::MakePrices(..) => return Err("--make-prices: build with --features parquet".into()),
        Parsed::Run(arguments) => *arguments,
    };
    files::check(&arguments.outputs)?;
    let bar = progress_bar()?;
    let interrupted = on_interrupt(bar.clone())?;
    let mut stages = Stages::default();
    let mut notes = Vec::new();

    let prices = stages.time("reading", || read(&arguments))?;
    if !prices.repairs.is_empty() {
        let repairs = prices.repairs.to_string();
        notes.extend(repairs.lines().map(str::to_owned));
    }
    let wanted = select(&prices.prices, arguments.options.symbols.as_deref())?;
    let series = stages.time("forecasting", || forecast(&wanted, &arguments, &mut notes));
    // Before what it may have led to.
    for note in &notes {
        eprintln!("{note}");
    }
    let series = series?;

    let options = arguments
        .options
        .walk_forward(&arguments.evaluate, arguments.device)?;
    let walk = stages.time("checking", || WalkForward::new(&series, &options))?;
    let run = stages.time("digest", || Run::new(&series, &arguments.options));
    println!(
        "{} symbols, {} folds: train {} bars, test {}; {} train windows in {} parts",
        series.len(),
        walk.folds().len(),
        arguments.options.train,
        arguments.options.test,
        walk.simulations(),
        walk.parts(),
    );

    let parts = walk_parts(&walk, &arguments, &run, &bar, &interrupted, &mut stages)?;
    let outcome = walk.finish(parts)?;
    stages.add("batching", outcome.times.batching);
    stages.add("tuning", outcome.times.tuning);
    stages.add("scoring", outcome.times.scoring);
    stages.add("metrics", outcome.times.metrics);
    if outcome.rows.is_empty() {
        println!("ended before the first part was done: there is nothing to write");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let about = About {
        schema: results::SCHEMA.to_owned(),
        trisect: env!("CARGO_PKG_VERSION").to_owned(),
        command: arguments.options.command(&arguments.prices),
        options: arguments.options.clone(),
        prices: arguments.prices.display().to_string(),
        data: run.data().to_owned(),
        symbols: outcome.symbols.clone(),
        complete: outcome.is_complete(),
    };
    if !outcome.is_complete() {
        let missing = outcome.missing_parts.len();
        notes.push(format!(
            "The run was ended early: {missing} of {} parts are missing from all of this.",
            walk.parts()
        ));
    }
    write(&walk, &outcome, about, &notes, &arguments, &mut stages)?;
    print_summary(&outcome);
    stages.print();
    if arguments.resume.is_some() {
        println!("batching to metrics: with what the resumed parts took when they were run");
    }
    Ok(if outcome.is_complete() {
        ExitCode::SUCCESS
    } else {
        println!(
            "ended by Ctrl-C: {} of {} parts are done and written; {}",
            walk.parts() - outcome.missing_parts.len(),
            walk.parts(),
            match &arguments.outputs.checkpoint {
                Some(file) => format!("continue with --resume {}", file.display()),
                None => "without --checkpoint the rest must be run anew".to_owned(),
            }
        );
        ExitCode::from(INTERRUPTED)
    })
}

/// Not shown before it is given where to draw. Short enough for what a terminal echoes of Ctrl-C to
/// stay in its line, which is cleared.
fn progress_bar() -> Result<ProgressBar, Failure> {
    let template = "{elapsed} {bar:20} {human_pos}/{human_len} train windows, {rate}, {eta} left";
    let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
        // Nobody to tell when it cannot be written.
        let _ = write!(text, "{}/s", HumanCount(state.per_sec() as u64));
    };
    let style = ProgressStyle::with_template(template)?.with_key("rate", rate);
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
    Ok(bar.with_style(style))
}

/// Becomes true with the first Ctrl-C; the second ends the program.
fn on_interrupt(bar: ProgressBar) -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        // After what the terminal echoes, which is cleared with a bar that is shown.
        let line = if bar.is_hidden() { "\n" } else { "" };
        bar.suspend(|| {
            eprintln!(
                "{line}Ctrl-C: the part in work is finished and written; once more ends at once"
            );
        });
    })?;
    Ok(interrupted)
}

fn read(arguments: &Arguments) -> Result<PriceFile, Failure> {
    let options = arguments.options.reading()?;
    Ok(read_prices(&arguments.prices, &options)?)
}

/// The prices of the wanted symbols in the wanted order, or of all.
fn select<'a>(all: &'a [Prices], symbols: Option<&[String]>) -> Result<Vec<&'a Prices>, String> {
    let Some(symbols) = symbols else {
        return Ok(all.iter().collect());
    };
    let find = |symbol: &String| {
        let found = all.iter().find(|prices| prices.symbol == *symbol);
        found.ok_or_else(|| {
            let names = all.iter().map(|prices| prices.symbol.as_str());
            let names: Vec<&str> = names.take(PRINTED).collect();
            let more = if all.len() > PRINTED { ", ..." } else { "" };
            let names = names.join(", ");
            format!("--symbols {symbol}: not in the file, which has {names}{more}")
        })
    };
    symbols.iter().map(find).collect()
}

/// Bars with forecasts. One symbol that is too short does not keep the others from being tuned.
fn forecast(
    prices: &[&Prices],
    arguments: &Arguments,
    notes: &mut Vec<String>,
) -> Result<Vec<Series>, Failure> {
    let forecaster = arguments.options.forecaster()?;
    let of_symbol = |prices: &&Prices| match &forecaster {
        Some(forecaster) => Series::from_prices(prices, forecaster.as_ref()),
        None => Series::from_given_forecasts(prices),
    };
    let made: Vec<Result<Series, DataError>> = prices.par_iter().map(of_symbol).collect();
    let mut series = Vec::with_capacity(made.len());
    for made in made {
        match made {
            Ok(made) => series.push(made),
            Err(error @ DataError::TooShort { .. }) => notes.push(format!("left out: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    if series.is_empty() {
        return Err("no symbol has enough bars".into());
    }
    Ok(series)
}

/// Runs the parts that a checkpoint does not have, up to the end or to Ctrl-C.
fn walk_parts(
    walk: &WalkForward<'_>,
    arguments: &Arguments,
    run: &Run,
    bar: &ProgressBar,
    interrupted: &AtomicBool,
    stages: &mut Stages,
) -> Result<Vec<WalkForwardPart>, Failure> {
    let mut parts = match &arguments.resume {
        Some(file) => stages.time("resuming", || checkpoint::read(file, run))?,
        None => Vec::new(),
    };
    let mut is_done = vec![false; walk.parts()];
    for part in &parts {
        if let Some(done) = is_done.get_mut(part.part) {
            *done = true;
        }
    }
    if let Some(file) = &arguments.resume {
        let file = file.display();
        println!("{file}: {} of {} parts are done", parts.len(), walk.parts());
    }
    let file = arguments.outputs.checkpoint.as_deref();
    let checkpoint = file.map(|file| Checkpoint::new(file, run, &parts));
    let mut checkpoint = checkpoint.transpose()?;

    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.set_length(walk.simulations() as u64);
    let done = parts.iter().map(|part| part.rows.len() as u64).sum();
    bar.set_position(done);
    // What a checkpoint had took no time here.
    bar.reset_eta();
    bar.reset_elapsed();
    // In parts that take long, too.
    bar.enable_steady_tick(Duration::from_millis(500));
    for part in (0..walk.parts()).filter(|&part| !is_done[part]) {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let finished = walk.run_part(part)?;
        bar.inc(finished.rows.len() as u64);
        if let Some(checkpoint) = &mut checkpoint {
            stages.time("checkpoint", || checkpoint.add(&finished))?;
        }
        parts.push(finished);
    }
    if let Some(checkpoint) = &mut checkpoint {
        stages.time("checkpoint", || checkpoint.write())?;
    }
    bar.finish_and_clear();
    Ok(parts)
}

/// Writes what was asked for.
fn write(
    walk: &WalkForward<'_>,
    outcome: &WalkForwardOutcome,
    about: About,
    notes: &[String],
    arguments: &Arguments,
    stages: &mut Stages,
) -> Result<(), Failure> {
    let outputs = &arguments.outputs;
    if let Some(path) = &outputs.report {
        stages.time("report", || {
            let page = report::page(walk, outcome, &about, notes)?.render();
            files::write_whole(path, |file| Ok(file.write_all(page.as_bytes())?))
        })?;
    }
    if outputs.json.is_none() && outputs.csv.is_none() && outputs.parquet.is_none() {
        return Ok(());
    }
    let results = Results::new(about, outcome);
    stages.time("writing", || {
        if let Some(path) = &outputs.json {
            files::write_whole(path, |file| results.write_json(file))?;
        }
        if let Some(path) = &outputs.csv {
            files::write_whole(path, |file| results.write_csv(file))?;
        }
        #[cfg(feature = "parquet")]
        if let Some(path) = &outputs.parquet {
            files::write_whole(path, |file| results.write_parquet(file))?;
        }
        Ok(())
    })
}

fn print_summary(outcome: &WalkForwardOutcome) {
    println!(
        "{:<10} {:>5} {:>9} {:>9} {:>9} {:>7} {:>6} {:>8} {:>7} {:>8} {:>8}",
        "",
        "folds",
        "in",
        "out",
        "baseline",
        "degrad.",
        "gain",
        "return",
        "Sharpe",
        "deflated",
        "drawdown"
    );
    let symbols = outcome.symbols.iter().zip(&outcome.per_symbol);
    for (symbol, summary) in symbols.take(PRINTED) {
        print_row(symbol, summary);
    }
    let more = outcome.symbols.len().saturating_sub(PRINTED);
    if more > 0 {
        println!("... and {more} more: see --json, --csv-out or --report");
    }
    print_row("all", &outcome.run);
    println!(
        "in, out, baseline: mean profit per bar in % in sample, out of sample, and out of sample \
         with the forecasts as they are; return in % a year and what follows: out of sample"
    );
}

fn print_row(name: &str, summary: &Summary) {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let per_bar =
        |sum: f64, bars: usize| or_dash((bars > 0).then(|| percent(sum / bars as f64, 4)));
    let decimals = |value: Option<f64>| or_dash(value.map(|value| format!("{value:.2}")));
    let (train, test) = (&summary.in_sample, &summary.out_of_sample);
    let metrics = &summary.metrics;
    println!(
        "{:<10} {:>5} {:>9} {:>9} {:>9} {:>7} {:>6} {:>8} {:>7} {:>8} {:>8}",
        name,
        summary.rows,
        per_bar(train.profit, train.bars),
        per_bar(test.profit, test.bars),
        per_bar(test.baseline, test.bars),
        decimals(summary.degradation()),
        or_dash(summary.gain_share.map(|share| percent(share, 0))),
        or_dash(metrics.annual_return.map(|value| percent(value, 1))),
        decimals(metrics.sharpe),
        decimals(metrics.deflated_sharpe),
        or_dash(metrics.max_drawdown.map(|value| percent(value, 1))),
    );
}

fn percent(fraction: f64, decimals: usize) -> String {
    format!("{:.decimals$}", fraction * 100.0)
}

/// Time spent per stage, in the order of their first use.
struct Stages {
    start: Instant,
    times: Vec<(&'static str, Duration)>,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            times: Vec::new(),
        }
    }
}

impl Stages {
    fn time<T>(&mut self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(stage, start.elapsed());
        result
    }

    fn add(&mut self, stage: &'static str, time: Duration) {
        match self.times.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, sum)) => *sum += time,
            None => self.times.push((stage, time)),
        }
    }

    fn print(&self) {
        let stages = self.times.iter();
        let texts = stages.map(|(stage, time)| format!("{stage} {:.3}", time.as_secs_f64()));
        println!(
            "seconds: {}; total {:.3}",
            texts.collect::<Vec<_>>().join(", "),
            self.start.elapsed().as_secs_f64()
        );
    }
}
