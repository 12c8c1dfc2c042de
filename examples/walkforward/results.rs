//! What a run writes: JSON, CSV and Parquet, in version 1 of a schema.
//!
//! All three begin with [`About`]: schema, version, options, the command that makes the same run,
//! the SHA-256 of the data, and whether the run was finished. In JSON it is the field `about`; in
//! CSV the first line, after `# ` (pandas: `comment="#"`, polars: `comment_prefix="#"`); in Parquet
//! the entry `trisect` of the file's metadata.
//!
//! JSON has everything: `run`, `symbols` and `folds` are summaries, `portfolio` is a return per test
//! bar, `rows` a [`Row`] per fold and symbol. CSV and Parquet have the rows. Profits and
//! multipliers are fractions (0.01 = 1 %), times UTC (RFC 3339 as text, milliseconds in Parquet). The
//! same run gives the same bytes: nothing in the files depends on the clock, on threads, or on
//! whether the run was interrupted and resumed.

use std::fs::File;
#[cfg(test)]
use std::io::{BufRead, BufReader, Read};
use std::io::{BufWriter, Write};

use serde::{Deserialize, Serialize};
use trisect::{Summary, WalkForwardOutcome};

use crate::arguments::Options;

#[cfg(feature = "parquet")]
#[path = "results_parquet.rs"]
pub mod parquet;

/// Version of what is written.
pub const SCHEMA: &str = "trisect-walkforward-1";

type Failure = Box<dyn std::error::Error>;

/// What was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of the library.
    pub trisect: String,
    /// Makes the same run.
    pub command: String,
    pub options: Options,
    /// The prices' file, as it was named.
    pub prices: String,
    /// SHA-256 of the series of moves and forecasts made from it.
    pub data: String,
    /// Symbols, in the order of `--symbols` or of the file.
    pub symbols: Vec<String>,
    /// Whether all parts were run. If not, `rows` are some of all.
    pub complete: bool,
}

/// A symbol in a fold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub symbol: String,
    /// From 0.
    pub fold: usize,
    /// First train bar's start; UTC, as all times.
    #[serde(with = "utc")]
    pub train_start: i64,
    /// Last train bar's start.
    #[serde(with = "utc")]
    pub train_last: i64,
    /// First test bar's start.
    #[serde(with = "utc")]
    pub test_start: i64,
    /// Last test bar's start.
    #[serde(with = "utc")]
    pub test_last: i64,
    /// Multipliers, return units.
    pub high: f32,
    pub low: f32,
    /// `intraday` or `at close`.
    pub exit_rule: String,
    /// The exit rule of the baseline.
    pub baseline_rule: String,
    pub train_bars: usize,
    /// Sum over the train bars, a fraction of the capital.
    pub train_profit: f64,
    /// The same with multipliers (0, 0).
    pub train_baseline: f64,
    pub test_bars: usize,
    pub test_profit: f64,
    pub test_baseline: f64,
    /// Candidates the pair was chosen from.
    pub candidates: u64,
    /// Why the search ended.
    pub stop: String,
    /// Share of the attainable that was found, where the optimum is known.
    pub quality: Option<f64>,
}

/// A test bar of the portfolio: the mean over the symbols that tested it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    #[serde(with = "utc")]
    pub time: i64,
    /// Fraction of the capital.
    pub profit: f64,
    /// The same with multipliers (0, 0).
    pub baseline: f64,
    /// Weight of the legs that entered.
    pub traded: f64,
}

/// A summary and what it is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Named<T> {
    pub of: T,
    /// 1 - (profit per bar out of sample) / (profit per bar in sample).
    pub degradation: Option<f64>,
    pub summary: Summary,
}

impl<T> Named<T> {
    fn new(of: T, summary: &Summary) -> Self {
        Self {
            of,
            degradation: summary.degradation(),
            summary: summary.clone(),
        }
    }
}

/// Everything that JSON has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub about: About,
    /// `of` is `all`.
    pub run: Named<String>,
    /// `of` is the symbol.
    pub symbols: Vec<Named<String>>,
    /// `of` is the fold.
    pub folds: Vec<Named<usize>>,
    pub portfolio: Vec<Bar>,
    /// By symbol, then fold.
    pub rows: Vec<Row>,
}

impl Results {
    pub fn new(about: About, outcome: &WalkForwardOutcome) -> Self {
        let time = |at: usize| outcome.calendar[at];
        let row = |row: &trisect::WalkForwardRow| {
            let fold = &outcome.folds[row.fold];
            Row {
                symbol: outcome.symbols[row.symbol].clone(),
                fold: row.fold,
                train_start: time(fold.train.start),
                train_last: time(fold.train.end - 1),
                test_start: time(fold.test.start),
                test_last: time(fold.test.end - 1),
                high: row.multipliers.high,
                low: row.multipliers.low,
                exit_rule: row.exit_rule.to_string(),
                baseline_rule: row.baseline_rule.to_string(),
                train_bars: row.in_sample.bars,
                train_profit: row.in_sample.profit,
                train_baseline: row.in_sample.baseline,
                test_bars: row.out_of_sample.bars,
                test_profit: row.out_of_sample.profit,
                test_baseline: row.out_of_sample.baseline,
                candidates: row.candidates,
                stop: row.stop.to_string(),
                quality: row.quality,
            }
        };
        let bar = |(bar, &at): (&trisect::BarReturn, &u32)| Bar {
            time: time(at as usize),
            profit: bar.tuned,
            baseline: bar.baseline,
            traded: bar.traded,
        };
        let symbols = outcome.symbols.iter().zip(&outcome.per_symbol);
        let folds = outcome.per_fold.iter().enumerate();
        let portfolio = outcome.portfolio.iter().zip(&outcome.portfolio_times);
        Self {
            about,
            run: Named::new("all".to_owned(), &outcome.run),
            symbols: symbols
                .map(|(symbol, summary)| Named::new(symbol.clone(), summary))
                .collect(),
            folds: folds
                .map(|(fold, summary)| Named::new(fold, summary))
                .collect(),
            portfolio: portfolio.map(bar).collect(),
            rows: outcome.rows.iter().map(row).collect(),
        }
    }

    pub fn write_json(&self, file: &mut File) -> Result<(), Failure> {
        let mut writer = BufWriter::new(file);
        serde_json::to_writer(&mut writer, self)?;
        writer.write_all(b"\n")?;
        Ok(writer.flush()?)
    }

    pub fn write_csv(&self, file: &mut File) -> Result<(), Failure> {
        let mut writer = BufWriter::new(file);
        writeln!(writer, "# {}", serde_json::to_string(&self.about)?)?;
        let mut rows = csv::Writer::from_writer(&mut writer);
        for row in &self.rows {
            rows.serialize(row)?;
        }
        rows.flush()?;
        drop(rows);
        Ok(writer.flush()?)
    }
}

/// Reads what [`Results::write_json`] wrote.
#[cfg(test)]
pub fn read_json(text: impl Read) -> Result<Results, Failure> {
    let results: Results = serde_json::from_reader(BufReader::new(text))?;
    check(&results.about)?;
    Ok(results)
}

/// Reads what [`Results::write_csv`] wrote.
#[cfg(test)]
pub fn read_csv(text: impl Read) -> Result<(About, Vec<Row>), Failure> {
    let mut reader = BufReader::new(text);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let about = first
        .strip_prefix("# ")
        .ok_or("the first line is no about")?;
    let about: About = serde_json::from_str(about)?;
    check(&about)?;
    let rows = csv::Reader::from_reader(reader).into_deserialize();
    Ok((about, rows.collect::<Result<_, _>>()?))
}

#[cfg(test)]
fn check(about: &About) -> Result<(), Failure> {
    match about.schema.as_str() {
        SCHEMA => Ok(()),
        other => Err(format!("the schema is {other}, this reads {SCHEMA}").into()),
    }
}

/// Times as text: seconds since 1970 in the program, RFC 3339 in files.
mod utc {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(seconds: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        let time = jiff::Timestamp::from_second(*seconds).map_err(S::Error::custom)?;
        serializer.collect_str(&time)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(time.as_second())
    }
}

#[cfg(test)]
pub mod tests {
    use trisect::{Metrics, WindowProfit};

    use super::*;
    use crate::arguments::{Parsed, parse};

    /// Values that are easily lost: names with quotes and commas, the ends of ranges, no value.
    pub fn example() -> Results {
        let Parsed::Run(arguments) = parse(["walkforward".into()], &Default::default()).unwrap()
        else {
            panic!("no run");
        };
        let about = About {
            schema: SCHEMA.to_owned(),
            trisect: "0.1.0".to_owned(),
            command: arguments.options.command(&arguments.prices),
            options: arguments.options,
            prices: "a \"b\", # c.csv".to_owned(),
            data: "00ff".to_owned(),
            symbols: vec!["A,\"B\"\n# C".to_owned(), "\u{e9}".to_owned()],
            complete: false,
        };
        let row = |k: usize| Row {
            symbol: about.symbols[k % 2].clone(),
            fold: k,
            train_start: -86_400 * (k as i64),
            train_last: 1,
            test_start: 1_362_096_000 + k as i64,
            test_last: 253_402_207_200,
            high: [0.1, -f32::MIN_POSITIVE, 0.03_f32.next_down(), -0.0][k],
            low: [f32::from_bits(1), -0.03, 0.0, 1.0 / 3.0][k],
            exit_rule: "at close".to_owned(),
            baseline_rule: "intraday".to_owned(),
            train_bars: 60 + k,
            train_profit: [0.1 + 0.2, -1e-300, 5e-324, 1.0 / 3.0][k],
            train_baseline: -0.0,
            test_bars: 20 - k,
            test_profit: -1.0 / 7.0,
            test_baseline: 123_456_789.123_456_79,
            candidates: u64::MAX >> (1 + k),
            stop: "complete".to_owned(),
            quality: k.is_multiple_of(2).then_some(1.0 / 3.0 + k as f64),
        };
        let summary = Summary {
            rows: 3,
            in_sample: WindowProfit {
                bars: 60,
                profit: 0.1 + 0.2,
                baseline: -1e-17,
            },
            gain_share: Some(2.0 / 3.0),
            metrics: Metrics {
                bars: 20,
                sharpe: Some(1.0 / 3.0),
                trials: 7,
                ..Metrics::default()
            },
            ..Summary::default()
        };
        Results {
            rows: (0..4).map(row).collect(),
            run: Named::new("all".to_owned(), &summary),
            symbols: vec![Named::new(about.symbols[0].clone(), &summary)],
            folds: vec![Named::new(3, &summary)],
            portfolio: vec![Bar {
                time: -1,
                profit: 0.1 + 0.7,
                baseline: f64::MIN_POSITIVE,
                traded: 1e22,
            }],
            about,
        }
    }

    /// What a writer makes of the results.
    pub fn written(write: impl FnOnce(&mut File) -> Result<(), Failure>) -> Vec<u8> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("trisect-results-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        crate::files::write_whole(&path, write).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    }

    /// The bits too, which `==` does not see of zeros.
    pub fn assert_same_rows(got: &[Row], expected: &[Row]) {
        assert_eq!(got, expected);
        for (got, expected) in got.iter().zip(expected) {
            assert_eq!(got.high.to_bits(), expected.high.to_bits());
            assert_eq!(
                got.train_baseline.to_bits(),
                expected.train_baseline.to_bits()
            );
        }
    }

    #[test]
    fn json_gives_back_what_was_written() {
        let results = example();
        let text = written(|file| results.write_json(file));
        let again = read_json(&text[..]).unwrap();
        assert_eq!(again, results);
        assert_same_rows(&again.rows, &results.rows);
    }

    #[test]
    fn csv_gives_back_what_was_written() {
        let results = example();
        let text = written(|file| results.write_csv(file));
        let (about, rows) = read_csv(&text[..]).unwrap();
        assert_eq!(about, results.about);
        assert_same_rows(&rows, &results.rows);
    }

    #[test]
    fn another_schema_is_refused() {
        let mut results = example();
        results.about.schema = "trisect-walkforward-2".to_owned();
        let json = written(|file| results.write_json(file));
        let csv = written(|file| results.write_csv(file));
        for error in [
            read_json(&json[..]).unwrap_err(),
            read_csv(&csv[..]).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(
                error.contains("the schema is trisect-walkforward-2"),
                "{error}"
            );
        }
    }
}
