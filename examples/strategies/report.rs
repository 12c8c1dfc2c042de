//! Rows as Markdown, as JSON, and in a sentence.

use std::fmt::Write;

use serde_json::{Value, json};
use trisect::Strategy;

use crate::measure::{Attainable, Row, Spread};

/// The quality that the recommendation asks for.
pub const WANTED_QUALITY: f64 = 0.95;

/// The rows as a Markdown table, its columns aligned.
pub fn markdown(rows: &[Row], attainable: &Attainable) -> String {
    let mut lines = vec![
        [
            "strategy",
            "ms per simulation",
            "speed-up",
            "profit",
            "quality",
            "evaluations",
            "start ms",
            "host MB",
            "device MB",
            "note",
        ]
        .map(str::to_owned),
    ];
    let mb = |bytes: usize| format!("{:.1}", bytes as f64 * 1e-6);
    for row in rows {
        let name = row.strategy.to_string();
        lines.push(match &row.measured {
            Some(measured) => [
                name,
                spread(&measured.per_simulation_ms),
                format!("{:.2}", measured.speedup),
                format!("{:.5}", measured.profit),
                format!("{:.4}", measured.quality),
                measured.evaluations.to_string(),
                format!("{:.2}", measured.start_ms.median),
                mb(measured.host_bytes),
                mb(measured.device_bytes),
                row.note.clone(),
            ],
            None => {
                let nothing = || "-".to_owned();
                [
                    name,
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                    nothing(),
                    row.note.clone(),
                ]
            }
        });
    }
    let widths: Vec<usize> = (0..lines[0].len())
        .map(|column| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            if column == NOTE {
                4
            } else {
                cells.max().unwrap_or(0)
            }
        })
        .collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| match is_number(column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let rule = widths.iter().enumerate().map(|(column, &width)| {
                let dashes = "-".repeat(width - 1);
                match is_number(column) {
                    true => format!("{dashes}:"),
                    false => format!("{dashes}-"),
                }
            });
            let _ = writeln!(text, "| {} |", rule.collect::<Vec<_>>().join(" | "));
        }
    }
    let _ = write!(
        text,
        "\nProfit is the mean per simulation, in sample: {:.5} with the forecasts as they are, \
         {:.5} at the exact optimum of each simulation. Quality is the share of that improvement \
         over the whole batch.\n",
        attainable.baseline, attainable.exact
    );
    text
}

/// The last column, as wide as each note is.
const NOTE: usize = 9;

fn is_number(column: usize) -> bool {
    (1..NOTE).contains(&column)
}

fn spread(spread: &Spread) -> String {
    format!(
        "{:.4} ({:.4}-{:.4})",
        spread.median, spread.least, spread.greatest
    )
}

/// The rows as JSON.
pub fn rows_json(rows: &[Row], attainable: &Attainable) -> Vec<Value> {
    let row_json = |row: &Row| {
        let measured = row.measured.as_ref();
        let number = |value: fn(&crate::measure::Measured) -> f64| measured.map(value);
        json!({
            "strategy": row.strategy.name(),
            "per_simulation_ms": number(|m| m.per_simulation_ms.median),
            "per_simulation_ms_least": number(|m| m.per_simulation_ms.least),
            "per_simulation_ms_greatest": number(|m| m.per_simulation_ms.greatest),
            "start_ms": number(|m| m.start_ms.median),
            "speedup": number(|m| m.speedup),
            "profit": number(|m| m.profit),
            "baseline_profit": attainable.baseline,
            "exact_profit": attainable.exact,
            "quality": number(|m| m.quality),
            "evaluations": measured.map(|m| m.evaluations),
            "host_bytes": measured.map(|m| m.host_bytes),
            "device_bytes": measured.map(|m| m.device_bytes),
            "note": row.note,
        })
    };
    rows.iter().map(row_json).collect()
}

/// What the rows recommend: the fastest of those that are good enough, in a sentence.
pub fn recommendation(rows: &[Row]) -> String {
    let measured = || {
        let of_row = |row: &Row| Some((row.strategy, row.measured.clone()?));
        rows.iter().filter_map(of_row)
    };
    let good = measured().filter(|(_, measured)| measured.quality >= WANTED_QUALITY);
    let fastest = good.min_by(|(_, a), (_, b)| {
        let of = |spread: &Spread| spread.median;
        of(&a.per_simulation_ms).total_cmp(&of(&b.per_simulation_ms))
    });
    match fastest {
        Some((strategy, measured)) => format!(
            "Measured: take {strategy}, {:.4} ms per simulation, {:.1} times as fast as {} and the \
             fastest here with a quality of {WANTED_QUALITY} or more: it has {:.4}.",
            measured.per_simulation_ms.median,
            measured.speedup,
            Strategy::Baseline,
            measured.quality,
        ),
        None => format!(
            "Measured: no row has a quality of {WANTED_QUALITY} or more; {} has 1.",
            Strategy::Exact
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Measured;

    fn row(strategy: Strategy, ms: f64, quality: f64) -> Row {
        let spread = |middle: f64| Spread::of(vec![middle, 0.5 * middle, 2.0 * middle]);
        Row {
            strategy,
            measured: Some(Measured {
                per_simulation_ms: spread(ms),
                start_ms: spread(0.25),
                speedup: 0.08 / ms,
                profit: 1.0 + quality,
                quality,
                evaluations: 500,
                host_bytes: 3_000_000,
                device_bytes: 0,
            }),
            note: String::new(),
        }
    }

    fn rows() -> Vec<Row> {
        vec![
            row(Strategy::Baseline, 0.08, 0.96),
            row(Strategy::Fast, 0.02, 0.75),
            row(Strategy::Exact, 0.04, 1.0),
            Row {
                strategy: Strategy::GpuAll,
                measured: None,
                note: "no device: none".to_owned(),
            },
        ]
    }

    const ATTAINABLE: Attainable = Attainable {
        baseline: 1.0,
        exact: 2.0,
    };

    #[test]
    fn the_table_is_markdown_with_a_line_per_row() {
        let text = markdown(&rows(), &ATTAINABLE);
        let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 2 + rows().len());
        for line in &lines {
            assert_eq!(line.matches('|').count(), 11, "{line}");
        }
        assert!(lines[1].starts_with("| --------"));
        let expected = ["baseline", "0.0800 (0.0400-0.1600)", "1.00", "1.96000"];
        for (cell, expected) in lines[2].split('|').skip(1).zip(expected) {
            assert_eq!(cell.trim(), expected);
        }
        assert!(lines[5].contains("no device: none"));
    }

    #[test]
    fn json_has_null_where_nothing_was_measured() {
        let rows = rows_json(&rows(), &ATTAINABLE);
        assert_eq!(rows[2]["strategy"], "exact");
        assert_eq!(rows[2]["per_simulation_ms"], 0.04);
        assert_eq!(rows[2]["quality"], 1.0);
        assert_eq!(rows[2]["speedup"], 2.0);
        assert_eq!(rows[2]["host_bytes"], 3_000_000);
        for (name, value) in rows[3].as_object().unwrap() {
            let known = ["strategy", "baseline_profit", "exact_profit", "note"];
            assert_eq!(value.is_null(), !known.contains(&&name[..]), "{name}");
        }
    }

    #[test]
    fn the_fastest_row_that_is_good_enough_is_recommended() {
        let mut rows = rows();
        assert!(recommendation(&rows).starts_with("Measured: take exact, 0.0400 ms"));
        rows.pop();
        rows.pop();
        assert!(recommendation(&rows).starts_with("Measured: take baseline, "));
        rows.remove(0);
        assert!(recommendation(&rows).starts_with("Measured: no row has"));
    }

    #[test]
    fn a_median_is_the_middle() {
        let of = |values: &[f64]| Spread::of(values.to_vec());
        let expected = |median, least, greatest| Spread {
            median,
            least,
            greatest,
        };
        assert_eq!(of(&[3.0]), expected(3.0, 3.0, 3.0));
        assert_eq!(of(&[4.0, 1.0]), expected(2.5, 1.0, 4.0));
        assert_eq!(of(&[4.0, 1.0, 9.0]), expected(4.0, 1.0, 9.0));
    }
}
