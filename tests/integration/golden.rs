//! Golden vectors: values recorded from established programs, checked by name.
//!
//! Reads `tests/golden`, or the folder in `TRISECT_GOLDEN`. Prints `FILE: N cases, M mismatches`
//! per file. Fails on a mismatch, on a file it cannot read, on a folder with no known file, and,
//! in the default folder, on a known file that is missing.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::support::package;
use crate::{golden_direct, golden_evolution, golden_metrics, golden_profit};

/// What a check found: cases and mismatches, or why the file could not be read.
pub type Checked = Result<(usize, usize), String>;

/// A check of one file; it is given the folder.
type Check = fn(&Path) -> Checked;

/// Every known file and its check.
const CHECKS: &[(&str, Check)] = &[
    ("direct.json", golden_direct::check_direct),
    ("direct_nlopt_orig.json", golden_direct::check_nlopt),
    ("direct_traces.json", golden_direct::check_traces),
    ("profit.json", golden_profit::check_profit),
    ("always_on.json", golden_profit::check_always_on),
    (
        "entry_exit_direct.json",
        golden_profit::check_entry_exit_direct,
    ),
    ("evolution.json", golden_evolution::check_evolution),
    ("metrics.json", golden_metrics::check_metrics),
    #[cfg(all(feature = "csv", feature = "parquet"))]
    ("data/expected.json", crate::data_files::check_files),
];

/// Reads a golden file as JSON.
pub fn read_json(dir: &Path, name: &str) -> Result<serde_json::Value, String> {
    let path = dir.join(name);
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Prints past the test harness, which keeps back what a passing test prints.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to fail.
    let _ = writeln!(out, "{line}");
}

#[test]
fn golden_files_are_reproduced() {
    let given = std::env::var_os("TRISECT_GOLDEN");
    let default = package().join("tests/golden");
    let dir = given.as_ref().map_or(default, PathBuf::from);
    let mut found = 0;
    let mut failures = Vec::new();
    for (name, check) in CHECKS {
        if given.is_some() && !dir.join(name).exists() {
            continue;
        }
        found += 1;
        match check(&dir) {
            Ok((cases, mismatches)) => {
                say(&format!("{name}: {cases} cases, {mismatches} mismatches"));
                if cases == 0 {
                    failures.push(format!("{name}: no cases"));
                }
                if mismatches > 0 {
                    failures.push(format!("{name}: {mismatches} of {cases} cases differ"));
                }
            }
            Err(error) => {
                say(&format!("{name}: {error}"));
                failures.push(error);
            }
        }
    }
    if found == 0 {
        failures.push(format!("{}: none of the known files", dir.display()));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
