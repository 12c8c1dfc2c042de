//! The command line of the example. What is said here wins over the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};
use trisect::{
    CRYPTO_FEE, Device, DirectOptions, EQUITY_FEE, EvaluateOptions, EvolutionOptions, ExactOptions,
    ExitChoice, Method, OptimizeOptions, ReadOptions, Settings, Sharing,
};

use crate::columns;

pub const HELP: &str = "\
Tunes entry and exit levels over rolling windows of daily prices.

backtest [SYMBOL [SIMULATIONS [THREADS]]] [options]

  --csv FILE       date, open, high, low, close[, volume][, symbol], header names in any case, or a
                   .parquet file where the feature parquet is on; without it the included prices of
                   AAPL, FB, GOOG, IBM and MSFT up to 2013-03-01
  --columns C=N,.. names of columns: symbol, time, open, high, low, close and volume, such as
                   close=Last,time=Day
  --zone NAME      of times that state none, such as America/New_York or +05:30 (default UTC)
  --bars N         bars per simulation (default 120)
  --sharing WHO    all: one pair of multipliers per symbol (default); simulation: one each;
                   chunks:N: one for N consecutive simulations
  --method HOW     direct (default), evolution: differential evolution, grid:HIGHxLOW such as
                   grid:61x61, or exact: the proved optimum
  --budget N       evaluations per search: production (default: 500 of direct, no limit of
                   evolution), fast (100), or a number
  --seed N         of evolution's random numbers (default 0)
  --fee RATE       per entered leg: equity (0.0000278, default), crypto (0.008), or a fraction
  --polish N       combine the N gates nearest to what direct or evolution found, per axis (default 0)
  --quality        compute the exact optimum, too: the share of the attainable that was found
  --both-exits     try exits at the predicted level and at the close, keep the better
  --json FILE      write everything there, too
  --help           this text

Simulation k ends k bars before the last bar. Default: every symbol, 50 simulations, all threads.
Environment: MARKETSIM_FAST_OPTIMIZE, MARKETSIM_USE_DIRECT_OPTIMIZER, MARKETSIM_FAST_SIMULATE,
TRISECT_THREADS, TRISECT_DEVICE.
";

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments {
    /// `None`: every symbol of the file.
    pub symbol: Option<String>,
    pub simulations: usize,
    pub csv: PathBuf,
    pub reading: ReadOptions,
    /// Bars per simulation.
    pub bars: usize,
    pub device: Device,
    pub evaluate: EvaluateOptions,
    pub optimize: OptimizeOptions,
    pub json: Option<PathBuf>,
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    Help,
    Run(Box<Arguments>),
}

/// Reads the command line, the program's name included.
///
/// # Errors
/// A text that says which argument is wrong and what it must be.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    settings: &Settings,
) -> Result<Parsed, String> {
    // Where the package is now, as cargo says when it runs this, or where it was compiled.
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let included = package.join("examples/data/prices.csv");
    let mut result = Arguments {
        symbol: None,
        simulations: settings.simulations(50),
        csv: included,
        reading: ReadOptions::default(),
        bars: 120,
        device: settings.device(),
        evaluate: settings.evaluate_options(),
        optimize: settings.optimize_options(),
        json: None,
    };
    let (mut method, mut budget, mut seed) = (None, None, None);
    let mut positional = 0;
    let mut parser = Parser::from_iter(arguments);
    while let Some(argument) = parser.next().map_err(|e| e.to_string())? {
        match argument {
            Arg::Value(value) => {
                let text = value.string().map_err(|e| e.to_string())?;
                match positional {
                    0 => result.symbol = Some(text),
                    1 => result.simulations = count("SIMULATIONS", &text)?,
                    2 => result.evaluate.threads = Some(count("THREADS", &text)?),
                    _ => return Err(format!("one argument too many: {text}; see --help")),
                }
                positional += 1;
            }
            Arg::Long("csv") => result.csv = PathBuf::from(value(&mut parser)?),
            Arg::Long("columns") => {
                result.reading.columns = columns::parse(&text(&mut parser)?)?;
            }
            Arg::Long("zone") => result.reading.zone = text(&mut parser)?,
            Arg::Long("json") => result.json = Some(PathBuf::from(value(&mut parser)?)),
            Arg::Long("bars") => result.bars = count("--bars", &text(&mut parser)?)?,
            Arg::Long("sharing") => result.optimize.sharing = sharing(&text(&mut parser)?)?,
            Arg::Long("method") => method = Some(text(&mut parser)?),
            Arg::Long("budget") => budget = Some(text(&mut parser)?),
            Arg::Long("seed") => seed = Some(text(&mut parser)?),
            Arg::Long("fee") => result.evaluate.fee = fee(&text(&mut parser)?)?,
            Arg::Long("polish") => {
                result.optimize.polish = count("--polish", &text(&mut parser)?)?;
            }
            Arg::Long("quality") => result.optimize.quality = true,
            Arg::Long("both-exits") => result.optimize.exit_rule = ExitChoice::Both,
            Arg::Long("help") | Arg::Short('h') => return Ok(Parsed::Help),
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    let by_default = match settings.use_direct {
        Some(false) => "evolution",
        _ => "direct",
    };
    let method = method.as_deref().unwrap_or(by_default);
    for (name, value, methods) in [
        ("--budget", &budget, &["direct", "evolution"][..]),
        ("--seed", &seed, &["evolution"]),
    ] {
        if value.is_some() && !methods.contains(&method) {
            return Err(format!("{name}: a search of --method {method} has none"));
        }
    }
    let budget = budget.unwrap_or_else(|| {
        let fast = settings.fast_optimize.unwrap_or(false);
        if fast { "fast" } else { "production" }.to_owned()
    });
    result.optimize.method = match method {
        "direct" => Method::Direct(direct(&budget)?),
        "evolution" => Method::Evolution(evolution(&budget, seed.as_deref())?),
        "exact" => Method::Exact(ExactOptions::default()),
        _ => grid(method).ok_or_else(|| {
            format!("--method {method}: must be direct, evolution, exact or grid:HIGHxLOW")
        })?,
    };
    Ok(Parsed::Run(Box::new(result)))
}

fn value(parser: &mut Parser) -> Result<OsString, String> {
    parser.value().map_err(|error| error.to_string())
}

fn text(parser: &mut Parser) -> Result<String, String> {
    value(parser)?.string().map_err(|error| error.to_string())
}

fn count(name: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("{name} {text}: must be a whole number, at least 1")),
    }
}

fn sharing(text: &str) -> Result<Sharing, String> {
    match text {
        "all" => Ok(Sharing::All),
        "simulation" => Ok(Sharing::PerSimulation),
        _ => match text.strip_prefix("chunks:") {
            Some(n) => Ok(Sharing::Chunks(count("--sharing chunks:", n)?)),
            None => Err(format!(
                "--sharing {text}: must be all, simulation or chunks:N"
            )),
        },
    }
}

fn direct(text: &str) -> Result<DirectOptions, String> {
    match text {
        "production" => Ok(DirectOptions::production()),
        "fast" => Ok(DirectOptions::fast()),
        _ => Ok(DirectOptions {
            max_evaluations: budget(text)?,
            ..DirectOptions::production()
        }),
    }
}

fn evolution(text: &str, seed: Option<&str>) -> Result<EvolutionOptions, String> {
    let options = match text {
        "production" => EvolutionOptions::production(),
        "fast" => EvolutionOptions::fast(),
        _ => EvolutionOptions {
            max_evaluations: Some(budget(text)?),
            ..EvolutionOptions::production()
        },
    };
    let seed = match seed {
        Some(text) => text
            .parse()
            .map_err(|_| format!("--seed {text}: must be a whole number below 2^64"))?,
        None => options.seed,
    };
    Ok(EvolutionOptions { seed, ..options })
}

fn budget(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(evaluations) if evaluations > 0 => Ok(evaluations),
        _ => Err(format!(
            "--budget {text}: must be production, fast, or a whole number, at least 1"
        )),
    }
}

fn grid(text: &str) -> Option<Method> {
    let (high, low) = text.strip_prefix("grid:")?.split_once('x')?;
    Some(Method::Grid {
        high: high.parse().ok()?,
        low: low.parse().ok()?,
    })
}

fn fee(text: &str) -> Result<f64, String> {
    match text {
        "equity" => Ok(EQUITY_FEE),
        "crypto" => Ok(CRYPTO_FEE),
        _ => text
            .parse()
            .map_err(|_| format!("--fee {text}: must be equity, crypto, or a fraction")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(line: &str, settings: &Settings) -> Result<Arguments, String> {
        let words = ["backtest"].into_iter().chain(line.split_whitespace());
        match parse(words.map(OsString::from), settings)? {
            Parsed::Run(arguments) => Ok(*arguments),
            Parsed::Help => Err("help".to_owned()),
        }
    }

    #[test]
    fn symbol_simulations_and_threads_come_in_this_order() {
        let arguments = read("IBM 50 2", &Settings::default()).unwrap();
        assert_eq!(arguments.symbol.as_deref(), Some("IBM"));
        assert_eq!(arguments.simulations, 50);
        assert_eq!(arguments.evaluate.threads, Some(2));
    }

    #[test]
    fn every_option_reaches_its_place() {
        let line = "--csv a.csv --columns close=Last --zone +01:00 --bars 30 --sharing chunks:4 --budget 77 --fee crypto \
                    --both-exits --json out.json";
        let arguments = read(line, &Settings::default()).unwrap();
        assert_eq!(arguments.csv, Path::new("a.csv"));
        assert_eq!(arguments.reading.columns.close, ["Last"]);
        assert_eq!(arguments.reading.zone, "+01:00");
        assert_eq!(arguments.bars, 30);
        assert_eq!(arguments.optimize.sharing, Sharing::Chunks(4));
        assert_eq!(arguments.evaluate.fee, CRYPTO_FEE);
        assert_eq!(arguments.optimize.exit_rule, ExitChoice::Both);
        assert_eq!(arguments.json.as_deref(), Some(Path::new("out.json")));
        let Method::Direct(direct) = arguments.optimize.method else {
            panic!("not DIRECT");
        };
        assert_eq!(direct.max_evaluations, 77);
        let arguments = read(
            "--method grid:3x5 --sharing simulation",
            &Settings::default(),
        );
        let optimize = arguments.unwrap().optimize;
        assert_eq!(optimize.method, Method::Grid { high: 3, low: 5 });
        assert_eq!(optimize.sharing, Sharing::PerSimulation);
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let settings = Settings {
            fast_optimize: Some(true),
            fast_simulate: Some(true),
            threads: Some(3),
            ..Settings::default()
        };
        let arguments = read("", &settings).unwrap();
        assert_eq!(arguments.simulations, 35);
        assert_eq!(arguments.evaluate.threads, Some(3));
        let fast = Method::Direct(DirectOptions::fast());
        assert_eq!(arguments.optimize.method, fast);
        let arguments = read("IBM 50 2 --budget production", &settings).unwrap();
        assert_eq!(arguments.simulations, 50);
        assert_eq!(arguments.evaluate.threads, Some(2));
        let production = Method::Direct(DirectOptions::production());
        assert_eq!(arguments.optimize.method, production);
    }

    #[test]
    fn evolution_has_a_budget_and_a_seed() {
        let evolution = |line: &str, settings: &Settings| {
            let Method::Evolution(options) = read(line, settings).unwrap().optimize.method else {
                panic!("not differential evolution");
            };
            options
        };
        let nothing = Settings::default();
        let options = evolution("--method evolution", &nothing);
        assert_eq!(options, EvolutionOptions::production());
        let options = evolution("--method evolution --budget 77 --seed 5", &nothing);
        assert_eq!((options.max_evaluations, options.seed), (Some(77), 5));
        // What the environment asks for, and what the command line says against it.
        let settings = Settings {
            use_direct: Some(false),
            fast_optimize: Some(true),
            ..Settings::default()
        };
        assert_eq!(evolution("", &settings), EvolutionOptions::fast());
        assert_eq!(evolution("--budget 77 --seed 5", &settings), options);
        let direct = read("--method direct", &settings).unwrap();
        let fast = Method::Direct(DirectOptions::fast());
        assert_eq!(direct.optimize.method, fast);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (line, expected) in [
            ("IBM 0", "SIMULATIONS 0: must be"),
            ("IBM x", "SIMULATIONS x: must be"),
            ("IBM 5 -1", "invalid option"),
            ("IBM 5 1 7", "one argument too many: 7"),
            ("--bars 0", "--bars 0: must be"),
            ("--sharing some", "--sharing some: must be"),
            ("--sharing chunks:0", "--sharing chunks: 0: must be"),
            ("--method annealing", "--method annealing: must be"),
            ("--method grid:3", "--method grid:3: must be"),
            ("--budget 0", "--budget 0: must be"),
            ("--budget 9 --method grid:3x3", "--budget: a search of"),
            ("--budget 0 --method evolution", "--budget 0: must be"),
            ("--seed -1 --method=evolution", "--seed -1: must be"),
            ("--seed 1 --method exact", "--seed: a search of"),
            ("--seed 1", "--seed: a search of --method direct"),
            ("--fee cheap", "--fee cheap: must be"),
            ("--unknown", "invalid option '--unknown'"),
            ("--csv", "missing argument"),
            ("--columns close", "--columns \"close\": must be"),
        ] {
            let error = read(line, &Settings::default()).unwrap_err();
            assert!(error.starts_with(expected), "{line}: {error}");
        }
    }
}
