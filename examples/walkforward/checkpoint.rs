//! Finished parts of a run, written down so that it can be continued to the same bits.
//!
//! A text file of lines of JSON: what run it is, a line per part, and the SHA-256 of all lines
//! before. It is written anew as a whole, so it is whole at any moment; how often depends on how
//! long that takes, so that it costs about a twentieth of the time.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trisect::{Series, WalkForwardPart, Weights};

use crate::arguments::Options;
use crate::files::write_whole;

const SCHEMA: &str = "trisect-walkforward-checkpoint-1";

/// Share of the time that writing may take: one in so many.
const PAUSE: u32 = 20;

/// What run a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    schema: String,
    /// Version of the library.
    trisect: String,
    /// SHA-256 of the series.
    data: String,
    options: Options,
}

impl Run {
    pub fn new(series: &[Series], options: &Options) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            trisect: env!("CARGO_PKG_VERSION").to_owned(),
            data: digest(series),
            options: options.clone(),
        }
    }

    /// SHA-256 of the series, hexadecimal.
    pub fn data(&self) -> &str {
        &self.data
    }
}

/// Why a run cannot be continued from a file.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{}: {source}; name a checkpoint, or start anew with --checkpoint", .file.display())]
    Unreadable { file: PathBuf, source: io::Error },

    #[error("{}, line {line}: {reason}; it is no checkpoint or was changed: start anew", .file.display())]
    Malformed {
        file: PathBuf,
        /// From 1.
        line: usize,
        reason: String,
    },

    #[error("{}: was written by {got}, this is {expected}: continue it with that, or start anew", .file.display())]
    OtherVersion {
        file: PathBuf,
        got: String,
        expected: String,
    },

    #[error(
        "{}: belongs to other data: the SHA-256 of its series is {got}, here it is {expected}; \
         give the prices that it was made from, or start anew", .file.display()
    )]
    OtherData {
        file: PathBuf,
        got: String,
        expected: String,
    },

    #[error(
        "{}: belongs to other options: {}; give the same ones, or start anew", .file.display(),
        .differences.join(", ")
    )]
    OtherOptions {
        file: PathBuf,
        /// One text per option.
        differences: Vec<String>,
    },
}

/// The last line of a checkpoint.
#[derive(Serialize, Deserialize)]
struct End {
    sha256: String,
}

/// Writes finished parts down.
pub struct Checkpoint {
    file: PathBuf,
    /// All lines but the last.
    text: Vec<u8>,
    hash: Sha256,
    /// When the file was written last, and how long that took.
    written: Option<(Instant, Duration)>,
    /// Whether `text` has what the file has not.
    pending: bool,
}

impl Checkpoint {
    pub fn new(file: &Path, run: &Run, parts: &[WalkForwardPart]) -> serde_json::Result<Self> {
        let mut checkpoint = Self {
            file: file.to_owned(),
            text: Vec::new(),
            hash: Sha256::new(),
            written: None,
            pending: true,
        };
        checkpoint.push(run)?;
        for part in parts {
            checkpoint.push(part)?;
        }
        Ok(checkpoint)
    }

    /// Adds a finished part, and writes the file if it is time to.
    pub fn add(&mut self, part: &WalkForwardPart) -> Result<(), Box<dyn std::error::Error>> {
        self.push(part)?;
        match self.written {
            Some((when, took)) if when.elapsed() < took * PAUSE => Ok(()),
            _ => self.write(),
        }
    }

    /// Writes the file, if it lacks anything.
    pub fn write(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        if !self.pending {
            return Ok(());
        }
        let start = Instant::now();
        let end = End {
            sha256: hex(self.hash.clone()),
        };
        write_whole(&self.file, |file| {
            file.write_all(&self.text)?;
            Ok(serde_json::to_writer(file, &end)?)
        })?;
        self.written = Some((Instant::now(), start.elapsed()));
        self.pending = false;
        Ok(())
    }

    fn push(&mut self, line: &impl Serialize) -> serde_json::Result<()> {
        let start = self.text.len();
        serde_json::to_writer(&mut self.text, line)?;
        self.text.push(b'\n');
        self.hash.update(&self.text[start..]);
        self.pending = true;
        Ok(())
    }
}

/// The finished parts in a checkpoint of this run.
///
/// # Errors
/// The file cannot be read, was changed, or belongs to another version, other data or other
/// options.
pub fn read(file: &Path, run: &Run) -> Result<Vec<WalkForwardPart>, CheckpointError> {
    let owned = || file.to_owned();
    let text = fs::read_to_string(file).map_err(|source| CheckpointError::Unreadable {
        file: owned(),
        source,
    })?;
    let malformed = |line: usize, reason: &dyn std::fmt::Display| CheckpointError::Malformed {
        file: owned(),
        line,
        reason: reason.to_string(),
    };
    let (head, _) = text.split_once('\n').unwrap_or((&text, ""));
    // Of another version anything may differ, so look at that first.
    let head: serde_json::Value = serde_json::from_str(head).map_err(|e| malformed(1, &e))?;
    let version = |schema: &str, trisect: &str| format!("{schema} of trisect {trisect}");
    let field = |name: &str| head[name].as_str().unwrap_or("?").to_owned();
    let got = version(&field("schema"), &field("trisect"));
    let expected = version(&run.schema, &run.trisect);
    if got != expected {
        return Err(CheckpointError::OtherVersion {
            file: owned(),
            got,
            expected,
        });
    }
    let lines = text.lines().count();
    let start_of_last = text.rfind('\n').map_or(0, |at| at + 1);
    let (before, last) = text.split_at(start_of_last);
    let end: End = serde_json::from_str(last).map_err(|e| malformed(lines, &e))?;
    let mut hash = Sha256::new();
    hash.update(before);
    if hex(hash) != end.sha256 {
        return Err(malformed(
            lines,
            &"the SHA-256 is not that of the lines before",
        ));
    }
    let found: Run = serde_json::from_value(head).map_err(|e| malformed(1, &e))?;
    let differences = differences(&found.options, &run.options);
    if !differences.is_empty() {
        return Err(CheckpointError::OtherOptions {
            file: owned(),
            differences,
        });
    }
    if found.data != run.data {
        return Err(CheckpointError::OtherData {
            file: owned(),
            got: found.data,
            expected: run.data.clone(),
        });
    }
    let parts = before.lines().enumerate().skip(1);
    parts
        .map(|(at, line)| serde_json::from_str(line).map_err(|e| malformed(at + 1, &e)))
        .collect()
}

/// The options that are not the same, with both values.
fn differences(found: &Options, wanted: &Options) -> Vec<String> {
    let values = |options: &Options| match serde_json::to_value(options) {
        Ok(serde_json::Value::Object(values)) => values,
        // Plain data always becomes an object.
        _ => serde_json::Map::new(),
    };
    let (found, wanted) = (values(found), values(wanted));
    let differing = found.iter().filter(|&(name, value)| wanted[name] != *value);
    differing
        .map(|(name, value)| format!("{name} is {value} there and {} here", wanted[name]))
        .collect()
}

/// SHA-256 of everything that a run reads of the series.
fn digest(series: &[Series]) -> String {
    let of_series: Vec<_> = series.par_iter().map(digest_of_series).collect();
    let mut hash = Sha256::new();
    of_series.iter().for_each(|digest| hash.update(digest));
    hex(hash)
}

fn digest_of_series(series: &Series) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // Lengths keep columns apart.
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(series.symbol.as_bytes());
    let times: Vec<u8> = series.times.iter().flat_map(|t| t.to_le_bytes()).collect();
    add(&times);
    add(match &series.weights {
        Weights::EntryExit(_) => b"position",
        Weights::AlwaysOn { sell: None, .. } => b"buy",
        Weights::AlwaysOn { sell: Some(_), .. } => b"buy, sell",
    });
    let mut column = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        add(&bytes);
    };
    for values in [
        &series.close,
        &series.high,
        &series.low,
        &series.high_pred,
        &series.low_pred,
    ] {
        column(values);
    }
    match &series.weights {
        Weights::EntryExit(positions) => column(positions),
        Weights::AlwaysOn { buy, sell } => {
            column(buy);
            sell.iter().for_each(|sell| column(sell));
        }
    }
    hash.finalize().into()
}

fn hex(hash: Sha256) -> String {
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use trisect::{EvaluateOptions, WalkForward};

    use super::*;
    use crate::arguments::{Parsed, parse};

    fn options(line: &str) -> Options {
        let words = ["walkforward"].into_iter().chain(line.split_whitespace());
        match parse(words.map(Into::into), &Default::default()).unwrap() {
            Parsed::Run(arguments) => arguments.options,
            other => panic!("{other:?}"),
        }
    }

    fn series() -> Vec<Series> {
        let of_symbol = |symbol: usize| {
            let wave = |t: usize, by: f32| ((t * 7 + symbol * 3) as f32 * by).sin() * 0.01;
            let column = |by: f32, shift: f32| (0..60).map(|t| wave(t, by) + shift).collect();
            Series {
                symbol: format!("S{symbol}"),
                times: (0..60).map(|t| t * 86_400).collect(),
                close: column(0.37, 0.0),
                high: column(0.37, 0.02),
                low: column(0.37, -0.02),
                high_pred: column(0.11, 0.015),
                low_pred: column(0.13, -0.015),
                weights: Weights::EntryExit(column(0.7, 0.5)),
            }
        };
        (0..3).map(of_symbol).collect()
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("trisect-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn parts_come_back_to_the_bit_and_give_the_same_outcome() {
        let folder = folder("checkpoint");
        let file = folder.join("k");
        let series = series();
        let mut options = options("--train 20 --test 5");
        options.part_bars = 90;
        let walk = options.walk_forward(&EvaluateOptions::default(), Default::default());
        let walk = WalkForward::new(&series, &walk.unwrap()).unwrap();
        assert!(walk.parts() >= 4, "{}", walk.parts());
        let parts: Vec<_> = (0..walk.parts())
            .map(|p| walk.run_part(p).unwrap())
            .collect();
        let run = Run::new(&series, &options);
        let mut checkpoint = Checkpoint::new(&file, &run, &[]).unwrap();
        for part in &parts[..2] {
            checkpoint.add(part).unwrap();
        }
        checkpoint.write().unwrap();
        let mut again = read(&file, &run).unwrap();
        assert_eq!(again, parts[..2]);
        // What is continued has the file that an unbroken run has.
        let mut continued = Checkpoint::new(&file, &run, &again).unwrap();
        let mut unbroken = Checkpoint::new(&folder.join("u"), &run, &[]).unwrap();
        parts[2..]
            .iter()
            .for_each(|part| continued.add(part).unwrap());
        parts.iter().for_each(|part| unbroken.add(part).unwrap());
        continued.write().unwrap();
        unbroken.write().unwrap();
        let text = fs::read(&file).unwrap();
        assert_eq!(text, fs::read(folder.join("u")).unwrap());
        again = read(&file, &run).unwrap();
        assert_eq!(
            walk.finish(again).unwrap().rows,
            walk.finish(parts).unwrap().rows
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn other_data_options_and_versions_are_refused_by_name() {
        let folder = folder("refused");
        let file = folder.join("k");
        let series = series();
        let options = options("");
        let run = Run::new(&series, &options);
        Checkpoint::new(&file, &run, &[]).unwrap().write().unwrap();
        assert_eq!(read(&file, &run).unwrap(), []);

        let mut other = run.clone();
        other.options.train = 61;
        other.options.method = "fast".to_owned();
        let error = read(&file, &other).unwrap_err();
        let CheckpointError::OtherOptions { differences, .. } = &error else {
            panic!("{error}");
        };
        let expected = [
            r#"method is "exact" there and "fast" here"#,
            "train is 60 there and 61 here",
        ];
        assert_eq!(differences, &expected);

        // Every column counts, by one bit.
        for change in 0..8 {
            let mut changed = series.clone();
            let last = &mut changed[2];
            let flip = |value: &mut f32| *value = f32::from_bits(value.to_bits() ^ 1);
            match change {
                0 => last.symbol.push('x'),
                1 => last.times[59] += 1,
                2 => flip(&mut last.close[59]),
                3 => flip(&mut last.high[59]),
                4 => flip(&mut last.low[59]),
                5 => flip(&mut last.high_pred[0]),
                6 => flip(&mut last.low_pred[0]),
                _ => match &mut last.weights {
                    Weights::EntryExit(positions) => flip(&mut positions[30]),
                    other => panic!("{other:?}"),
                },
            }
            let error = read(&file, &Run::new(&changed, &options)).unwrap_err();
            assert!(
                matches!(error, CheckpointError::OtherData { .. }),
                "{change}: {error}"
            );
        }

        let mut newer = run.clone();
        newer.trisect = "99.0.0".to_owned();
        let error = read(&file, &newer).unwrap_err();
        assert!(
            matches!(error, CheckpointError::OtherVersion { .. }),
            "{error}"
        );

        let missing = read(&folder.join("none"), &run).unwrap_err();
        assert!(
            matches!(missing, CheckpointError::Unreadable { .. }),
            "{missing}"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_changed_or_shortened_file_is_refused() {
        let folder = folder("changed");
        let file = folder.join("k");
        let run = Run::new(&series(), &options(""));
        Checkpoint::new(&file, &run, &[]).unwrap().write().unwrap();
        let text = fs::read(&file).unwrap();
        for end in 0..text.len() {
            fs::write(&file, &text[..end]).unwrap();
            assert!(read(&file, &run).is_err(), "cut at {end}");
        }
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 4;
            fs::write(&file, &changed).unwrap();
            assert!(read(&file, &run).is_err(), "changed at {at}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
