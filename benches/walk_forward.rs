//! A walk-forward run of many symbols and folds, a pair per symbol and fold: time of each stage.
//!
//!     cargo bench --bench walk_forward                      500 symbols, 250 folds of 60 bars
//!     cargo bench --bench walk_forward -- SYMBOLS FOLDS BARS THREADS
//!
//! Every method is run once on the same series, after a check that it gives what it should.

mod synthetic;

use std::ops::ControlFlow;
use std::time::Instant;

use trisect::{
    DirectOptions, ExactOptions, FoldOptions, Method, Series, WalkForward, WalkForwardOptions,
    Weights, walk_forward,
};

/// Bars of a test window, and from one fold to the next.
const TEST: usize = 20;

fn series(symbols: usize, bars: usize) -> Vec<Series> {
    let batch = synthetic::batch(symbols, bars);
    let of_simulation = |(index, simulation): (usize, trisect::Simulation<'_>)| {
        let Weights::EntryExit(positions) = simulation.weights else {
            unreachable!("drawn so");
        };
        Series {
            symbol: format!("S{index}"),
            times: (0..bars as i64).map(|day| day * 86_400).collect(),
            close: simulation.close.to_vec(),
            high: simulation.high.to_vec(),
            low: simulation.low.to_vec(),
            high_pred: simulation.high_pred.to_vec(),
            low_pred: simulation.low_pred.to_vec(),
            weights: Weights::EntryExit(positions.to_vec()),
        }
    };
    batch.simulations().enumerate().map(of_simulation).collect()
}

/// Processor time of this process so far, in seconds, which other processes disturb less than the
/// clock; Linux only. Fields 14 and 15 of `/proc/self/stat`, in hundredths.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit(')').next()?;
    let fields = after_name.split_whitespace().skip(11).take(2);
    let ticks: Result<Vec<u64>, _> = fields.map(str::parse).collect();
    Some(ticks.ok()?.iter().sum::<u64>() as f64 / 100.0)
}

fn main() {
    let numbers: Vec<usize> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let [symbols, folds, train, threads] = match numbers[..] {
        [symbols, folds, train, threads] => [symbols, folds, train, threads],
        [] => [500, 250, 60, 2],
        _ => {
            eprintln!("give SYMBOLS FOLDS BARS THREADS, or nothing");
            std::process::exit(2);
        }
    };
    let series = series(symbols, train + folds * TEST);
    let mut options = WalkForwardOptions::new(FoldOptions {
        train,
        test: TEST,
        step: TEST,
        purge: 0,
        embargo: 0,
        anchored: false,
    });
    options.evaluate.threads = Some(threads);
    let run = WalkForward::new(&series, &options).expect("folds that fit");
    assert_eq!(
        (run.folds().len(), run.simulations()),
        (folds, symbols * folds)
    );
    println!(
        "{symbols} symbols x {folds} folds x {train} bars = {} simulations, {threads} threads, \
         {} parts",
        run.simulations(),
        run.parts()
    );
    println!(
        "{:<12} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "seconds", "checking", "batching", "tuning", "scoring", "metrics", "all", "processor"
    );
    for (name, method) in [
        ("exact", Method::Exact(ExactOptions::default())),
        ("direct fast", Method::Direct(DirectOptions::fast())),
        ("direct", Method::Direct(DirectOptions::production())),
    ] {
        options.optimize.method = method;
        let start = Instant::now();
        WalkForward::new(&series, &options).expect("as above");
        let checking = start.elapsed();
        let (start, processor) = (Instant::now(), processor_seconds());
        let outcome = walk_forward(&series, &options, |_| ControlFlow::Continue(()));
        let all = start.elapsed();
        let outcome = outcome.expect("options in range");
        assert!(outcome.is_complete());
        assert_eq!(outcome.rows.len(), run.simulations());
        assert!(outcome.run.in_sample.gain() > 0.0);
        let times = outcome.times;
        print!("{name:<12} {:>8.3}", checking.as_secs_f64());
        for time in [
            times.batching,
            times.tuning,
            times.scoring,
            times.metrics,
            all,
        ] {
            print!(" {:>8.3}", time.as_secs_f64());
        }
        match processor_seconds().zip(processor) {
            Some((after, before)) => println!(" {:>9.2}", after - before),
            None => println!(" {:>9}", "unknown"),
        }
    }
}
