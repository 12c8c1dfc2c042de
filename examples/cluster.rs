//! Tunes a seeded synthetic batch over the ranks of an MPI job.
//!
//! ```sh
//! cargo build --release --features mpi --example cluster
//! mpirun -n 4 target/release/examples/cluster --sharing chunks:16
//! ```
//!
//! Rank 0 prints the first groups and a digest of every bit of the outcome on standard output,
//! which are the same for any number of ranks, and the times on standard error.

use std::error::Error;
use std::ffi::OsString;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lexopt::{Arg, Parser, ValueExt};
use sha2::{Digest, Sha256};
use trisect::{
    Batch, Device, DirectOptions, EvaluateOptions, Evaluator, EvolutionOptions, ExactOptions,
    ExitChoice, Fields, Method, Mpi, OptimizeOptions, Outcome, Reduce, Sharing, Weights, agree,
    optimize_ranks, shard,
};

const HELP: &str = "\
Tunes a seeded synthetic batch over the ranks of an MPI job.

mpirun -n RANKS cluster [options]

  --simulations N  of the whole batch (default 1000)
  --bars N         bars per simulation (default 200)
  --sharing WHO    all: one pair of multipliers for the batch; simulation: one each (default);
                   chunks:N: one for N consecutive simulations; labels:N: N groups, dealt out in turn
  --method HOW     direct (default), evolution, grid:HIGHxLOW, or exact
  --both-exits     try exits at the predicted level and at the close, keep the better
  --quality        compute the exact optimum of every group, too
  --threads N      CPU threads per rank (default: the cores that the rank is bound to)
  --seed N         of the batch (default 1)
  --started TIME   UNIX time in seconds just before mpirun, to show how long the start took
  --fail HOW:RANK  shows how a job ends whose rank fails: load (a bad bar), option (another method
                   than the others) or panic
  --help           this text
";

/// How a rank is made to fail.
#[derive(Clone, Copy, PartialEq)]
enum Failure {
    Load,
    Option,
    Panic,
}

struct Arguments {
    simulations: usize,
    bars: usize,
    /// Simulations that stay on one rank together.
    together: usize,
    optimize: OptimizeOptions,
    evaluate: EvaluateOptions,
    seed: u64,
    started: Option<f64>,
    fail: Option<(Failure, usize)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let entered = Instant::now();
    let Some(arguments) = parse(std::env::args_os())? else {
        print!("{HELP}");
        return Ok(());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let start = arguments.started.map(|started| now - started);
    Mpi::run(|mpi| work(&arguments, mpi, start, entered))
}

fn work(
    arguments: &Arguments,
    mpi: &mut Mpi,
    start: Option<f64>,
    entered: Instant,
) -> Result<(), Box<dyn Error>> {
    let initialised = entered.elapsed();
    let mut options = arguments.optimize.clone();
    let fails = |how| arguments.fail == Some((how, mpi.rank()));
    if fails(Failure::Panic) {
        panic!("asked to");
    }
    if fails(Failure::Option) {
        options.method = Method::Grid { high: 2, low: 2 };
    }

    let loading = Instant::now();
    let rows = shard(
        arguments.simulations,
        arguments.together,
        mpi.rank(),
        mpi.ranks(),
    )?;
    let batch = agree(mpi, load(arguments, rows, fails(Failure::Load)))?;
    // The GPU of the rank's place on its machine, or whatever there is.
    let device = Device::Cuda(mpi.local_rank());
    let evaluator = Evaluator::new(&batch, device, &arguments.evaluate)
        .or_else(|_| Evaluator::auto(&batch, &arguments.evaluate));
    let mut evaluator = agree(mpi, evaluator)?;
    let loaded = loading.elapsed();

    let working = Instant::now();
    let mut ranks = Timed {
        ranks: mpi,
        calls: 0,
        time: Duration::ZERO,
    };
    let outcome = optimize_ranks(&mut evaluator, &mut ranks, &options, ())?;
    let (worked, calls, reducing) = (working.elapsed(), ranks.calls, ranks.time);

    if mpi.rank() == 0 {
        print(&outcome);
        let ms = |time: Duration| 1e3 * time.as_secs_f64();
        eprintln!("ranks {}, rank 0 on {}", mpi.ranks(), evaluator.device());
        if let Some(start) = start {
            eprintln!("process start  {:9.1} ms", 1e3 * start);
        }
        eprintln!("MPI start      {:9.1} ms", ms(initialised));
        eprintln!("shard loaded   {:9.1} ms", ms(loaded));
        eprintln!(
            "work           {:9.1} ms",
            ms(worked.saturating_sub(reducing))
        );
        eprintln!(
            "reductions     {:9.1} ms, {calls} of them, waiting included",
            ms(reducing)
        );
    }
    Ok(())
}

/// Ranks whose messages are timed.
struct Timed<'a> {
    ranks: &'a mut Mpi,
    calls: usize,
    time: Duration,
}

impl Timed<'_> {
    fn time<T>(&mut self, message: impl FnOnce(&mut Mpi) -> T) -> T {
        let start = Instant::now();
        let result = message(self.ranks);
        self.calls += 1;
        self.time += start.elapsed();
        result
    }
}

impl Reduce for Timed<'_> {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn ranks(&self) -> usize {
        self.ranks.ranks()
    }

    fn sum(&mut self, values: &mut [i64]) -> Result<(), trisect::Error> {
        self.time(|ranks| ranks.sum(values))
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, trisect::Error> {
        self.time(|ranks| ranks.gather(bytes))
    }
}

/// SplitMix64: the same numbers everywhere.
struct Rng(u64);

impl Rng {
    /// Uniform in `[low, high)`.
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        low + (high - low) * ((z >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// The simulations `rows` of the batch: skilled forecasts, off by at most 1 %, positions at random.
/// Each is drawn from its own seed, so any rank can make any of them.
fn load(arguments: &Arguments, rows: Range<usize>, broken: bool) -> Result<Batch, trisect::Error> {
    let mut builder = Batch::builder();
    let mut columns: [Vec<f64>; 6] = Default::default();
    for row in rows {
        let mut rng = Rng(arguments
            .seed
            .wrapping_mul(0x1_0000_0000)
            .wrapping_add(row as u64));
        columns.iter_mut().for_each(Vec::clear);
        for _ in 0..arguments.bars {
            let close = rng.between(-0.03, 0.03);
            let high = close.max(0.0) + rng.between(0.0, 0.02);
            let low = close.min(0.0) - rng.between(0.0, 0.02);
            let high_pred = high + rng.between(-0.01, 0.01);
            let low_pred = low + rng.between(-0.01, 0.01);
            let position = rng.between(-1.0, 1.0);
            let bar = [close, high, low, high_pred, low_pred, position];
            for (column, value) in columns.iter_mut().zip(bar) {
                column.push(value);
            }
        }
        if broken {
            columns[0][0] = f64::NAN;
        }
        let [close, high, low, high_pred, low_pred, position] = &columns;
        builder.push(Fields {
            close: close.as_slice(),
            high,
            low,
            high_pred,
            low_pred,
            weights: Weights::EntryExit(position.as_slice()),
        })?;
    }
    builder.build()
}

/// The first groups, and a digest of every bit of all of them and of all profits.
fn print(outcome: &Outcome) {
    let mut digest = Sha256::new();
    for group in &outcome.groups {
        let pair = group.multipliers;
        digest.update(pair.high.to_le_bytes());
        digest.update(pair.low.to_le_bytes());
        let numbers = [
            group.profit,
            group.baseline,
            group.upper_bound.unwrap_or(0.0),
        ];
        numbers
            .iter()
            .for_each(|number| digest.update(number.to_le_bytes()));
        digest.update(group.evaluations.to_le_bytes());
        digest.update(format!("{:?} {:?}", group.exit_rule, group.stop));
    }
    outcome
        .profits
        .iter()
        .for_each(|profit| digest.update(profit.to_le_bytes()));
    println!("group  simulations       high        low     profit   baseline  evaluations");
    for (index, group) in outcome.groups.iter().enumerate().take(5) {
        let pair = group.multipliers;
        println!(
            "{index:5}  {:11}  {:9.6}  {:9.6}  {:9.6}  {:9.6}  {:11}",
            group.simulations, pair.high, pair.low, group.profit, group.baseline, group.evaluations
        );
    }
    let hex: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!(
        "{} groups, mean profit {:.6}",
        outcome.groups.len(),
        outcome.mean_profit()
    );
    println!("digest {hex}");
}

/// The command line; `None`: help is wanted.
fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Option<Arguments>, lexopt::Error> {
    let mut arguments = Arguments {
        simulations: 1000,
        bars: 200,
        together: 1,
        optimize: OptimizeOptions {
            sharing: Sharing::PerSimulation,
            ..OptimizeOptions::default()
        },
        evaluate: EvaluateOptions::default(),
        seed: 1,
        started: None,
        fail: None,
    };
    let mut labels = None;
    let mut parser = Parser::from_iter(words);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("simulations") => arguments.simulations = parser.value()?.parse()?,
            Arg::Long("bars") => arguments.bars = parser.value()?.parse()?,
            Arg::Long("sharing") => {
                let text = parser.value()?.string()?;
                (arguments.together, labels) = (1, None);
                arguments.optimize.sharing = match text.split_once(':') {
                    None if text == "all" => Sharing::All,
                    None if text == "simulation" => Sharing::PerSimulation,
                    Some(("chunks", count)) => {
                        arguments.together = number(count)?;
                        Sharing::Chunks(arguments.together)
                    }
                    Some(("labels", count)) => {
                        labels = Some(number(count)?.max(1));
                        Sharing::All
                    }
                    _ => return Err(format!("--sharing {text}: see --help").into()),
                };
            }
            Arg::Long("method") => {
                let text = parser.value()?.string()?;
                arguments.optimize.method = match text.split_once(':') {
                    None if text == "direct" => Method::Direct(DirectOptions::production()),
                    None if text == "evolution" => {
                        Method::Evolution(EvolutionOptions::production())
                    }
                    None if text == "exact" => Method::Exact(ExactOptions::default()),
                    Some(("grid", size)) => {
                        let (high, low) = size.split_once('x').unwrap_or((size, size));
                        Method::Grid {
                            high: number(high)?,
                            low: number(low)?,
                        }
                    }
                    _ => return Err(format!("--method {text}: see --help").into()),
                };
            }
            Arg::Long("both-exits") => arguments.optimize.exit_rule = ExitChoice::Both,
            Arg::Long("quality") => arguments.optimize.quality = true,
            Arg::Long("threads") => arguments.evaluate.threads = Some(parser.value()?.parse()?),
            Arg::Long("seed") => arguments.seed = parser.value()?.parse()?,
            Arg::Long("started") => arguments.started = Some(parser.value()?.parse()?),
            Arg::Long("fail") => {
                let text = parser.value()?.string()?;
                let (how, rank) = text.split_once(':').unwrap_or((&text, ""));
                let how = match how {
                    "load" => Failure::Load,
                    "option" => Failure::Option,
                    "panic" => Failure::Panic,
                    _ => return Err(format!("--fail {text}: see --help").into()),
                };
                arguments.fail = Some((how, number(rank)?));
            }
            Arg::Long("help") => return Ok(None),
            _ => return Err(argument.unexpected()),
        }
    }
    if let Some(count) = labels {
        let label = |simulation| format!("group {}", simulation % count);
        arguments.optimize.sharing =
            Sharing::Groups((0..arguments.simulations).map(label).collect());
    }
    Ok(Some(arguments))
}

fn number(text: &str) -> Result<usize, lexopt::Error> {
    let number = text.parse();
    number.map_err(|_| format!("{text:?} is no whole number").into())
}
