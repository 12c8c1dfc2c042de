//! The command line, and the options that decide what comes out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lexopt::{Arg, Parser, ValueExt};
use serde::{Deserialize, Serialize};
use trisect::{
    AtrBands, CRYPTO_FEE, Device, DirectOptions, EQUITY_FEE, EvaluateOptions, EvolutionOptions,
    Ewma, ExactOptions, ExitChoice, ExitRule, FoldOptions, Forecaster, Method, OptimizeOptions,
    Policy, ReadOptions, RollingMean, Settings, Sharing, WalkForwardOptions,
};

use crate::columns;

pub const HELP: &str = "\
Tunes multipliers on train windows and scores them on the test windows that follow.

walkforward [--csv FILE | --parquet FILE] [options]

Prices
  --csv FILE         date, open, high, low, close[, volume][, symbol], names in any case; without it
                     the included prices of AAPL, FB, GOOG, IBM and MSFT up to 2013-03-01
  --parquet FILE     the same columns, with the feature parquet
  --symbols A,B      these only
  --columns C=N,...  names of columns: symbol, time, open, high, low, close, volume, and those of
                     forecasts, such as close=Last,time=Day
  --zone NAME        of times that state none, such as America/New_York or +05:30 (default UTC)
  --repair           repair what is wrong with the prices, and say so, instead of refusing it
  --forecast HOW     mean:N (default mean:20), ewma:N or atr:N: made of N past bars; given: the
                     columns high_pred, low_pred and position, or buy[, sell]

Folds, in bars
  --train N          train window (default 60)
  --test N           test window (default 20)
  --step N           from one test window to the next (default: the test window)
  --purge N          between train and test window (default 0)
  --embargo N        after a test window, that no later fold trains on (default 0)
  --anchored         train windows begin at the first bar and grow

Tuning
  --sharing WHO      symbol: a pair of multipliers per symbol and fold (default); shared: one per fold
  --method HOW       exact: the proved optimum (default); direct: 500 evaluations; fast: 100;
                     evolution: differential evolution
  --both-exits       try exits at the predicted level and at the close, keep the better
  --fee RATE         per entered leg: equity (0.0000278, default), crypto (0.008), or a fraction
  --periods N        bars per year, for what is annualised (default 252)
  --threads N        CPU threads (default: all)

Results
  --report FILE      one HTML page with figures and tables
  --json FILE        everything; --csv-out FILE and --parquet-out FILE: a row per fold and symbol
  --checkpoint FILE  write down finished parts while it runs
  --resume FILE      continue from there, with the same results to the bit; refuses other data or
                     options

  --make-prices N:M  write random prices of N symbols with M bars to the --parquet FILE, and end
  --help             this text

Ctrl-C ends the run after the part in work and writes what there is; a second one ends it at once.
Environment: TRISECT_THREADS, TRISECT_DEVICE.
";

/// Bars of the train windows of a part: what Ctrl-C waits for, and what a killed run loses.
const PART_BARS: usize = 1 << 14;

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Arguments {
    pub prices: PathBuf,
    pub options: Options,
    pub evaluate: EvaluateOptions,
    pub device: Device,
    pub outputs: Outputs,
    /// Continue from this checkpoint.
    pub resume: Option<PathBuf>,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outputs {
    pub report: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub csv: Option<PathBuf>,
    pub parquet: Option<PathBuf>,
    pub checkpoint: Option<PathBuf>,
}

impl Outputs {
    /// All files that are asked for, with the option that asks.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [
            ("--report", &self.report),
            ("--json", &self.json),
            ("--csv-out", &self.csv),
            ("--parquet-out", &self.parquet),
            ("--checkpoint", &self.checkpoint),
        ];
        all.into_iter()
            .filter_map(|(name, path)| Some((name, path.as_deref()?)))
    }
}

/// What decides the results, given the prices: the same options give the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// `None`: all of the file.
    pub symbols: Option<Vec<String>>,
    /// `COLUMN=NAME`, with commas; `None`: the usual names.
    pub columns: Option<String>,
    /// Of times that state none.
    pub zone: String,
    pub repair: bool,
    /// `mean:N`, `ewma:N`, `atr:N` or `given`.
    pub forecast: String,
    /// Bars.
    pub train: usize,
    pub test: usize,
    pub step: usize,
    pub purge: usize,
    pub embargo: usize,
    pub anchored: bool,
    /// `symbol` or `shared`.
    pub sharing: String,
    /// `exact`, `direct`, `fast` or `evolution`.
    pub method: String,
    pub both_exits: bool,
    /// Fraction per entered leg.
    pub fee: f64,
    /// Bars per year.
    pub periods: f64,
    /// Greatest magnitude of both multipliers, return units.
    pub bound: f64,
    /// Train bars per part: what a checkpoint is made of.
    pub part_bars: usize,
}

impl Options {
    /// The command line that makes the same run.
    pub fn command(&self, prices: &Path) -> String {
        let parquet = prices.extension().is_some_and(|end| end == "parquet");
        let file = if parquet { "--parquet" } else { "--csv" };
        let mut words = vec!["walkforward".to_owned(), file.to_owned()];
        words.push(quoted(&prices.display().to_string()));
        if let Some(symbols) = &self.symbols {
            words.extend(["--symbols".to_owned(), quoted(&symbols.join(","))]);
        }
        if let Some(columns) = &self.columns {
            words.extend(["--columns".to_owned(), quoted(columns)]);
        }
        for (name, value) in [
            ("--zone", quoted(&self.zone)),
            ("--forecast", self.forecast.clone()),
            ("--train", self.train.to_string()),
            ("--test", self.test.to_string()),
            ("--step", self.step.to_string()),
            ("--purge", self.purge.to_string()),
            ("--embargo", self.embargo.to_string()),
            ("--sharing", self.sharing.clone()),
            ("--method", self.method.clone()),
            ("--fee", self.fee.to_string()),
            ("--periods", self.periods.to_string()),
        ] {
            words.extend([name.to_owned(), value]);
        }
        for (name, on) in [
            ("--repair", self.repair),
            ("--anchored", self.anchored),
            ("--both-exits", self.both_exits),
        ] {
            words.extend(on.then(|| name.to_owned()));
        }
        words.join(" ")
    }

    /// How prices are read.
    pub fn reading(&self) -> Result<ReadOptions, String> {
        let columns = self.columns.as_deref().map(columns::parse).transpose()?;
        Ok(ReadOptions {
            columns: columns.unwrap_or_default(),
            zone: self.zone.clone(),
            policy: if self.repair {
                Policy::repair()
            } else {
                Policy::default()
            },
            ..ReadOptions::default()
        })
    }

    /// Makes the forecasts; `None`: they come with the prices.
    pub fn forecaster(&self) -> Result<Option<Box<dyn Forecaster + Sync>>, String> {
        let bars = |text: &str| count("--forecast", text);
        Ok(match self.forecast.split_once(':') {
            None if self.forecast == "given" => None,
            Some(("mean", n)) => Some(Box::new(RollingMean { lookback: bars(n)? })),
            Some(("ewma", n)) => Some(Box::new(Ewma { span: bars(n)? })),
            Some(("atr", n)) => Some(Box::new(AtrBands {
                lookback: bars(n)?,
                ..AtrBands::default()
            })),
            _ => {
                return Err(format!(
                    "--forecast {}: must be mean:N, ewma:N, atr:N or given",
                    self.forecast
                ));
            }
        })
    }

    pub fn walk_forward(
        &self,
        evaluate: &EvaluateOptions,
        device: Device,
    ) -> Result<WalkForwardOptions, String> {
        let folds = FoldOptions {
            train: self.train,
            test: self.test,
            step: self.step,
            purge: self.purge,
            embargo: self.embargo,
            anchored: self.anchored,
        };
        let sharing = match self.sharing.as_str() {
            "symbol" => Sharing::PerSimulation,
            "shared" => Sharing::All,
            other => return Err(format!("--sharing {other}: must be symbol or shared")),
        };
        let method = match self.method.as_str() {
            "exact" => Method::Exact(ExactOptions::default()),
            "direct" => Method::Direct(DirectOptions::production()),
            "fast" => Method::Direct(DirectOptions::fast()),
            "evolution" => Method::Evolution(EvolutionOptions::production()),
            other => {
                return Err(format!(
                    "--method {other}: must be exact, direct, fast or evolution"
                ));
            }
        };
        let bounds = (-self.bound, self.bound);
        Ok(WalkForwardOptions {
            optimize: OptimizeOptions {
                sharing,
                method,
                exit_rule: if self.both_exits {
                    ExitChoice::Both
                } else {
                    ExitChoice::Fixed(ExitRule::Intraday)
                },
                high_bounds: bounds,
                low_bounds: bounds,
                ..OptimizeOptions::default()
            },
            evaluate: EvaluateOptions {
                fee: self.fee,
                ..evaluate.clone()
            },
            device,
            periods_per_year: self.periods,
            part_bars: self.part_bars,
            ..WalkForwardOptions::new(folds)
        })
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+=@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    Help,
    /// Write random prices of so many symbols with so many bars.
    MakePrices(PathBuf, usize, usize),
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
    let mut options = Options {
        symbols: None,
        columns: None,
        zone: "UTC".to_owned(),
        repair: false,
        forecast: "mean:20".to_owned(),
        train: 60,
        test: 20,
        step: 0,
        purge: 0,
        embargo: 0,
        anchored: false,
        sharing: "symbol".to_owned(),
        method: "exact".to_owned(),
        both_exits: false,
        fee: EQUITY_FEE,
        periods: 252.0,
        bound: 0.03,
        part_bars: PART_BARS,
    };
    let mut evaluate = settings.evaluate_options();
    let mut outputs = Outputs::default();
    let (mut csv, mut parquet, mut step, mut resume, mut make) = (None, None, None, None, None);
    let mut parser = Parser::from_iter(arguments);
    while let Some(argument) = parser.next().map_err(|e| e.to_string())? {
        let Arg::Long(name) = argument else {
            return match argument {
                Arg::Short('h') => Ok(Parsed::Help),
                other => Err(format!("{}; see --help", other.unexpected())),
            };
        };
        let name = name.to_owned();
        match name.as_str() {
            "csv" => csv = Some(path(&mut parser)?),
            "parquet" => parquet = Some(path(&mut parser)?),
            "symbols" => options.symbols = Some(list(&text(&mut parser)?)?),
            "columns" => options.columns = Some(text(&mut parser)?),
            "zone" => options.zone = text(&mut parser)?,
            "repair" => options.repair = true,
            "forecast" => options.forecast = text(&mut parser)?,
            "train" => options.train = count("--train", &text(&mut parser)?)?,
            "test" => options.test = count("--test", &text(&mut parser)?)?,
            "step" => step = Some(count("--step", &text(&mut parser)?)?),
            "purge" => options.purge = bars("--purge", &text(&mut parser)?)?,
            "embargo" => options.embargo = bars("--embargo", &text(&mut parser)?)?,
            "anchored" => options.anchored = true,
            "sharing" => options.sharing = text(&mut parser)?,
            "method" => options.method = text(&mut parser)?,
            "both-exits" => options.both_exits = true,
            "fee" => options.fee = fee(&text(&mut parser)?)?,
            "periods" => options.periods = positive("--periods", &text(&mut parser)?)?,
            "threads" => evaluate.threads = Some(count("--threads", &text(&mut parser)?)?),
            "report" => outputs.report = Some(path(&mut parser)?),
            "json" => outputs.json = Some(path(&mut parser)?),
            "csv-out" => outputs.csv = Some(path(&mut parser)?),
            "parquet-out" => outputs.parquet = Some(path(&mut parser)?),
            "checkpoint" => outputs.checkpoint = Some(path(&mut parser)?),
            "resume" => resume = Some(path(&mut parser)?),
            "make-prices" => make = Some(size(&text(&mut parser)?)?),
            "help" => return Ok(Parsed::Help),
            _ => return Err(format!("invalid option '--{name}'; see --help")),
        }
    }
    if csv.is_some() && parquet.is_some() {
        return Err("--csv and --parquet: give one of them".to_owned());
    }
    if let Some((symbols, bars)) = make {
        let file = parquet.ok_or("--make-prices: give the file to write as --parquet FILE")?;
        return Ok(Parsed::MakePrices(file, symbols, bars));
    }
    let is_parquet = |file: &PathBuf| file.extension().is_some_and(|end| end == "parquet");
    // The reader goes by the name, and so must who reads it.
    if let Some(file) = parquet.as_ref().filter(|file| !is_parquet(file)) {
        let file = file.display();
        return Err(format!("--parquet {file}: the name must end in .parquet"));
    }
    if let Some(file) = csv.as_ref().filter(|file| is_parquet(file)) {
        return Err(format!("--csv {}: is Parquet by its name", file.display()));
    }
    if !cfg!(feature = "parquet") && (parquet.is_some() || outputs.parquet.is_some()) {
        return Err("Parquet: build with --features parquet".to_owned());
    }
    options.step = step.unwrap_or(options.test);
    // What is wrong in these is found now, too.
    options.reading()?;
    options.forecaster()?;
    options.walk_forward(&evaluate, settings.device())?;
    if outputs.checkpoint.is_none() {
        outputs.checkpoint.clone_from(&resume);
    }
    Ok(Parsed::Run(Box::new(Arguments {
        prices: csv.or(parquet).unwrap_or_else(included),
        options,
        evaluate,
        device: settings.device(),
        outputs,
        resume,
    })))
}

/// The included prices: where the package is now, as cargo says when it runs this, or where it was
/// compiled.
fn included() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("examples/data/prices.csv")
}

fn path(parser: &mut Parser) -> Result<PathBuf, String> {
    let value = parser.value().map_err(|error| error.to_string())?;
    Ok(PathBuf::from(value))
}

fn text(parser: &mut Parser) -> Result<String, String> {
    let value = parser.value().map_err(|error| error.to_string())?;
    value.string().map_err(|error| error.to_string())
}

fn count(name: &str, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("{name} {text}: must be a whole number, at least 1")),
    }
}

fn bars(name: &str, text: &str) -> Result<usize, String> {
    let bars = text.parse();
    bars.map_err(|_| format!("{name} {text}: must be a whole number of bars"))
}

fn positive(name: &str, text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value < f64::INFINITY => Ok(value),
        _ => Err(format!("{name} {text}: must be a number above 0")),
    }
}

fn fee(text: &str) -> Result<f64, String> {
    match text {
        "equity" => return Ok(EQUITY_FEE),
        "crypto" => return Ok(CRYPTO_FEE),
        _ => {}
    }
    match text.parse() {
        Ok(fee) if (0.0..1.0).contains(&fee) => Ok(fee),
        _ => Err(format!(
            "--fee {text}: must be equity, crypto, or a fraction of at least 0 and below 1"
        )),
    }
}

fn list(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(format!(
            "--symbols {text:?}: must be names with commas between them"
        ));
    }
    Ok(names)
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let (symbols, bars) = text
        .split_once(':')
        .ok_or_else(|| format!("--make-prices {text}: must be SYMBOLS:BARS"))?;
    let count = |text: &str| count("--make-prices", text);
    Ok((count(symbols)?, count(bars)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        let words = ["walkforward"].into_iter().chain(line.split_whitespace());
        match parse(words.map(OsString::from), &Settings::default())? {
            Parsed::Run(arguments) => Ok(*arguments),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn every_option_reaches_its_place() {
        let arguments = read(
            "--csv a.csv --symbols B,A --columns close=Last --zone +01:00 --repair --forecast ewma:9 --train 7 --test 3 --step 4 \
             --purge 2 --embargo 1 --anchored --sharing shared --method fast --both-exits \
             --fee crypto --periods 365 --threads 2 --report r --json j --csv-out c \
             --checkpoint k --resume s",
        )
        .unwrap();
        let expected = Options {
            symbols: Some(vec!["B".to_owned(), "A".to_owned()]),
            columns: Some("close=Last".to_owned()),
            zone: "+01:00".to_owned(),
            repair: true,
            forecast: "ewma:9".to_owned(),
            train: 7,
            test: 3,
            step: 4,
            purge: 2,
            embargo: 1,
            anchored: true,
            sharing: "shared".to_owned(),
            method: "fast".to_owned(),
            both_exits: true,
            fee: CRYPTO_FEE,
            periods: 365.0,
            bound: 0.03,
            part_bars: PART_BARS,
        };
        assert_eq!(arguments.options, expected);
        assert_eq!(arguments.prices, Path::new("a.csv"));
        assert_eq!(arguments.evaluate.threads, Some(2));
        assert_eq!(arguments.resume.as_deref(), Some(Path::new("s")));
        let outputs: Vec<_> = arguments.outputs.all().collect();
        let expected = [
            ("--report", Path::new("r")),
            ("--json", Path::new("j")),
            ("--csv-out", Path::new("c")),
            ("--checkpoint", Path::new("k")),
        ];
        assert_eq!(outputs, expected);
        let reading = arguments.options.reading().unwrap();
        assert_eq!(reading.columns.close, ["Last"]);
        assert_eq!(
            (reading.zone.as_str(), reading.policy),
            ("+01:00", Policy::repair())
        );
        let walk = arguments
            .options
            .walk_forward(&arguments.evaluate, arguments.device);
        let walk = walk.unwrap();
        assert_eq!(walk.optimize.sharing, Sharing::All);
        assert_eq!(walk.optimize.method, Method::Direct(DirectOptions::fast()));
        assert_eq!(walk.optimize.exit_rule, ExitChoice::Both);
        assert_eq!((walk.evaluate.fee, walk.folds.step), (CRYPTO_FEE, 4));
    }

    #[test]
    fn the_recorded_command_makes_the_same_run() {
        for line in [
            "",
            "--csv a.csv --symbols B,A --columns close=Last --zone +01:00 --repair --forecast atr:9 --train 7 --test 3 --step 4 --purge 2 \
             --embargo 1 --anchored --sharing shared --method evolution --both-exits --fee 0.001 --periods 365",
        ] {
            let first = read(line).unwrap();
            let command = first.options.command(&first.prices);
            let again = read(command.strip_prefix("walkforward").unwrap()).unwrap();
            assert_eq!(again.options, first.options);
            assert_eq!(again.prices, first.prices);
        }
        assert_eq!(quoted("it's $x"), r"'it'\''s $x'");
    }

    #[test]
    fn a_resumed_run_goes_on_writing_its_checkpoint() {
        let arguments = read("--resume k").unwrap();
        let checkpoint = arguments.outputs.checkpoint;
        assert_eq!(checkpoint.as_deref(), Some(Path::new("k")));
    }

    #[test]
    fn the_step_is_the_test_window_unless_said_otherwise() {
        assert_eq!(read("--test 7").unwrap().options.step, 7);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (line, expected) in [
            ("IBM", "unexpected argument"),
            ("--train 0", "--train 0: must be"),
            ("--purge -1", "--purge -1: must be"),
            ("--forecast mean", "--forecast mean: must be"),
            ("--forecast mean:0", "--forecast 0: must be"),
            ("--sharing all", "--sharing all: must be"),
            ("--method annealing", "--method annealing: must be"),
            ("--fee 1", "--fee 1: must be"),
            ("--fee nan", "--fee nan: must be"),
            ("--periods 0", "--periods 0: must be"),
            ("--symbols A,,B", "--symbols \"A,,B\": must be"),
            (
                "--columns price=Last",
                "--columns \"price=Last\": no column",
            ),
            ("--csv a.csv --parquet a.parquet", "--csv and --parquet"),
            ("--parquet a.csv", "--parquet a.csv: the name"),
            ("--csv a.parquet", "--csv a.parquet: is"),
            ("--make-prices 3:4", "--make-prices: give the file"),
            ("--unknown", "invalid option '--unknown'"),
            ("--csv", "missing argument"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.starts_with(expected), "{line}: {error}");
        }
    }
}
