//! The command line of the example.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};
use trisect::Strategy;

use crate::synthetic::Forecasts;

pub const HELP: &str = "\
Measures every way to tune a batch, side by side, on the same simulations.

strategies [options]

  --simulations N    simulations (default 1000); of a file: per symbol, at most
  --bars N           bars per simulation (default 200)
  --seed N           of the synthetic simulations and of evolution (default 1)
  --noise            forecasts that know nothing instead of forecasts off by at most 1 %
  --csv FILE         windows of daily prices instead of synthetic simulations: date, open, high,
                     low, close[, volume][, symbol]; `included` stands for the included prices
  --repeats N        times each strategy is measured, after one that is not (default 5)
  --strategy NAME    measure this one and the baseline only; may be given several times
  --threads N        threads of the strategies that have several (default: all)
  --processes N      processes of the strategies that have some (default: as many as threads)
  --json FILE        write the rows there, too
  --plot FILE.svg    draw quality against speed
  --help             this text

The table is Markdown. Times are medians, with the least and the greatest in brackets.
";

/// What the simulations come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Synthetic(Forecasts),
    Csv(PathBuf),
}

/// What to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments {
    pub simulations: usize,
    pub bars: usize,
    pub seed: u64,
    pub source: Source,
    pub repeats: usize,
    /// In the order of the table, the baseline always among them.
    pub strategies: Vec<Strategy>,
    pub threads: Option<usize>,
    pub processes: Option<usize>,
    pub json: Option<PathBuf>,
    pub plot: Option<PathBuf>,
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
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut result = Arguments {
        simulations: 1000,
        bars: 200,
        seed: 1,
        source: Source::Synthetic(Forecasts::Skilled),
        repeats: 5,
        strategies: Vec::new(),
        threads: None,
        processes: None,
        json: None,
        plot: None,
    };
    let (mut noise, mut csv) = (false, None);
    let mut wanted = Vec::new();
    let mut parser = Parser::from_iter(arguments);
    while let Some(argument) = parser.next().map_err(|e| e.to_string())? {
        match argument {
            Arg::Long("simulations") => {
                result.simulations = count("--simulations", &text(&mut parser)?)?;
            }
            Arg::Long("bars") => result.bars = count("--bars", &text(&mut parser)?)?,
            Arg::Long("repeats") => result.repeats = count("--repeats", &text(&mut parser)?)?,
            Arg::Long("threads") => {
                result.threads = Some(count("--threads", &text(&mut parser)?)?);
            }
            Arg::Long("processes") => {
                result.processes = Some(count("--processes", &text(&mut parser)?)?);
            }
            Arg::Long("seed") => {
                let text = text(&mut parser)?;
                result.seed = text
                    .parse()
                    .map_err(|_| format!("--seed {text}: must be a whole number below 2^64"))?;
            }
            Arg::Long("noise") => noise = true,
            Arg::Long("csv") => csv = Some(PathBuf::from(value(&mut parser)?)),
            Arg::Long("strategy") => {
                let strategy: Strategy = text(&mut parser)?
                    .parse()
                    .map_err(|error| format!("--strategy: {error}"))?;
                wanted.push(strategy);
            }
            Arg::Long("json") => result.json = Some(PathBuf::from(value(&mut parser)?)),
            Arg::Long("plot") => result.plot = Some(PathBuf::from(value(&mut parser)?)),
            Arg::Long("help") | Arg::Short('h') => return Ok(Parsed::Help),
            other => return Err(format!("{}; see --help", other.unexpected())),
        }
    }
    result.source = match (csv, noise) {
        (Some(_), true) => return Err("--noise: prices of a file have their own".to_owned()),
        (Some(file), false) if file.as_os_str() == "included" => {
            // Where the package is now, as cargo says when it runs this, or where it was compiled.
            let package = std::env::var_os("CARGO_MANIFEST_DIR")
                .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
            Source::Csv(package.join("examples/data/prices.csv"))
        }
        (Some(file), false) => Source::Csv(file),
        (None, true) => Source::Synthetic(Forecasts::Noise),
        (None, false) => Source::Synthetic(Forecasts::Skilled),
    };
    result.strategies = Strategy::ALL
        .into_iter()
        .filter(|strategy| {
            wanted.is_empty() || *strategy == Strategy::Baseline || wanted.contains(strategy)
        })
        .collect();
    if let (Some(json), Some(plot)) = (&result.json, &result.plot)
        && json == plot
    {
        return Err("--plot: the same file as --json".to_owned());
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        let words = ["strategies"].into_iter().chain(line.split_whitespace());
        match parse(words.map(OsString::from))? {
            Parsed::Run(arguments) => Ok(*arguments),
            Parsed::Help => Err("help".to_owned()),
        }
    }

    #[test]
    fn every_option_reaches_its_place() {
        let line = "--simulations 7 --bars 9 --seed 5 --noise --repeats 2 --threads 3 \
                    --processes 4 --json a.json --plot a.svg";
        let expected = Arguments {
            simulations: 7,
            bars: 9,
            seed: 5,
            source: Source::Synthetic(Forecasts::Noise),
            repeats: 2,
            strategies: Strategy::ALL.to_vec(),
            threads: Some(3),
            processes: Some(4),
            json: Some("a.json".into()),
            plot: Some("a.svg".into()),
        };
        assert_eq!(read(line), Ok(expected));
        let csv = |name: &str| read(&format!("--csv {name}")).unwrap().source;
        assert_eq!(csv("a.csv"), Source::Csv("a.csv".into()));
        let Source::Csv(included) = csv("included") else {
            panic!("not a file");
        };
        assert!(included.ends_with(Path::new("examples/data/prices.csv")));
        assert_eq!(read("-h"), Err("help".to_owned()));
    }

    #[test]
    fn chosen_strategies_are_measured_beside_the_baseline() {
        let arguments = read("--strategy exact-gpu --strategy fast").unwrap();
        let expected = [Strategy::Baseline, Strategy::Fast, Strategy::ExactGpu];
        assert_eq!(arguments.strategies, expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (line, expected) in [
            ("--simulations 0", "--simulations 0: must be"),
            ("--bars x", "--bars x: must be"),
            ("--repeats 0", "--repeats 0: must be"),
            ("--threads 0", "--threads 0: must be"),
            ("--processes 0", "--processes 0: must be"),
            ("--seed -1", "--seed -1: must be"),
            (
                "--strategy exat",
                "--strategy: no strategy is called \"exat\": did you mean exact? There are baseline,",
            ),
            ("--csv a.csv --noise", "--noise: prices of a file"),
            ("--json a --plot a", "--plot: the same file"),
            ("--unknown", "invalid option '--unknown'"),
            ("--json", "missing argument"),
            ("10", "unexpected argument"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.starts_with(expected), "{line}: {error}");
        }
    }
}
