//! The page of a run: what it shows, and the few extra searches it takes to show it.

use std::error::Error;

use trisect::{
    Batch, Bounds, Candidates, Direct, DirectOptions, Evaluate, EvaluateOptions, Evaluator,
    EvolutionOptions, ExactOptions, ExitRule, Fields, Groups, Method, OptimizeOptions, Sharing,
    Summary, Threads, WalkForward, WalkForwardOutcome, WalkForwardRow, exact, flat_region,
    optimize, surface,
};

use crate::arguments::Options;
use crate::charts::{self, Band, HeatMap, Line, Lines, Trial, Width};
use crate::page::{Cell, Figure, Mark, Page, Table};
use crate::results::About;

/// Values per axis of the heat map.
const GRID: usize = 49;

/// Share of the gain that pairs in the flat region keep.
const SHARE: f64 = 0.95;

/// About how many train windows are tuned by every method.
const TRIED: usize = 256;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Makes the page.
pub fn page(
    run: &WalkForward<'_>,
    outcome: &WalkForwardOutcome,
    about: &About,
    notes: &[String],
) -> Result<Page> {
    let mut figures = vec![equity(outcome)?];
    // The last fold is the one that would be traded next.
    let last = outcome.rows.iter().max_by_key(|row| row.fold);
    if let Some(row) = last {
        let first_of_group = outcome
            .rows
            .iter()
            .find(|other| other.fold == row.fold && other.group == 0);
        figures.push(heat_map(run, outcome, first_of_group.unwrap_or(row))?);
    }
    figures.push(multipliers(outcome)?);
    figures.push(quality(run)?);
    let symbols = match outcome.symbols.len() {
        1 => outcome.symbols[0].clone(),
        count => format!("{count} symbols"),
    };
    let options = &about.options;
    Ok(Page {
        title: format!("Walk-forward of {symbols}"),
        lead: format!(
            "Multipliers tuned on {} bars at a time and traded on the {} bars that follow, {} folds, \
             {} to {}. Out of sample: bars that the tuning never saw.",
            options.train,
            options.test,
            outcome.folds.len(),
            date(outcome.calendar[0]),
            date(outcome.calendar[outcome.calendar.len() - 1]),
        ),
        summary: summary(&outcome.run),
        notes: notes.to_vec(),
        figures,
        tables: vec![symbol_table(outcome), fold_table(outcome)],
        options: option_list(about, options)?,
    })
}

fn summary(run: &Summary) -> Vec<(String, String, String)> {
    let percent = |value: Option<f64>| shown(Cell::percent(value)) + " %";
    let decimals = |value: Option<f64>| shown(Cell::decimals(value, 2));
    let metrics = &run.metrics;
    let entry = |name: &str, value: String, meaning: String| (name.to_owned(), value, meaning);
    vec![
        entry(
            "Annual return",
            percent(metrics.annual_return),
            format!(
                "out of sample; forecasts as they are: {}",
                percent(run.baseline_metrics.annual_return)
            ),
        ),
        entry(
            "Sharpe ratio",
            decimals(metrics.sharpe),
            format!(
                "annualised, out of sample; forecasts as they are: {}",
                decimals(run.baseline_metrics.sharpe)
            ),
        ),
        entry(
            "Deflated Sharpe",
            decimals(metrics.deflated_sharpe),
            format!(
                "probability that it is more than the luck of the best of {} candidates",
                metrics.trials
            ),
        ),
        entry(
            "Maximum drawdown",
            percent(metrics.max_drawdown),
            "out of sample, of the equity's peak before".to_owned(),
        ),
        entry(
            "Degradation",
            decimals(run.degradation()),
            "share of the profit per bar in sample that is lost out of sample".to_owned(),
        ),
        entry(
            "Folds with gain",
            percent(run.gain_share).replace('+', ""),
            "share of folds and symbols that beat the forecasts as they are".to_owned(),
        ),
    ]
}

fn shown(cell: Cell) -> String {
    match cell {
        Cell::Text(text) | Cell::Number(text, _) => text,
    }
}

/// Sums of profits over time: what trading gave, and what the tuning promised.
fn equity(outcome: &WalkForwardOutcome) -> Result<Figure> {
    let time = |at: usize| outcome.calendar[at] as f64;
    let sums = |of: fn(&trisect::BarReturn) -> f64| {
        let mut sum = 0.0;
        let bars = outcome.portfolio.iter().zip(&outcome.portfolio_times);
        let points = bars.map(|(bar, &at)| {
            sum += of(bar);
            (time(at as usize), sum)
        });
        points.collect::<Vec<_>>()
    };
    let tested = sums(|bar| bar.tuned);
    let baseline = sums(|bar| bar.baseline);
    // The mean profit per bar of the train windows, for as many bars as were tested.
    let mut sum = 0.0;
    let mut promised = Vec::new();
    for (fold, summary) in outcome.folds.iter().zip(&outcome.per_fold) {
        if summary.in_sample.bars == 0 {
            continue;
        }
        let per_bar = summary.in_sample.profit / summary.in_sample.bars as f64;
        for at in fold.test.clone() {
            sum += per_bar;
            promised.push((time(at), sum));
        }
    }
    let end = |points: &[(f64, f64)]| points.last().map_or(0.0, |point| point.1);
    let alt = format!(
        "Line chart of summed profit over the test bars. In sample it ends at {} %, out of sample at \
         {} %, with the forecasts as they are at {} %.",
        charts::percent(end(&promised)),
        charts::percent(end(&tested)),
        charts::percent(end(&baseline)),
    );
    let lines = Lines {
        x_label: "date of the test bar",
        y_label: "summed profit (% of the capital)",
        x_text: &axis_date,
        y_text: &charts::percent,
        lines: vec![
            Line {
                colour: charts::VERMILION,
                points: thinned(promised),
            },
            Line {
                colour: charts::GREEN,
                points: thinned(baseline),
            },
            Line {
                colour: charts::BLUE,
                points: thinned(tested),
            },
        ],
        bands: Vec::new(),
    };
    let text = "Profits are summed, not reinvested, and are means over the symbols. In sample: the \
                mean profit per bar of each fold's train windows, for as many bars as its test \
                window has: what the tuning promised. The gap to the line out of sample is the \
                degradation.";
    Ok(Figure {
        id: "equity",
        title: "Equity in and out of sample".to_owned(),
        alt,
        wide: lines.draw(Width::Wide)?,
        narrow: lines.draw(Width::Narrow)?,
        legend: vec![
            (Mark::Vermilion, "in sample".to_owned()),
            (Mark::Blue, "out of sample".to_owned()),
            (
                Mark::Green,
                "out of sample, forecasts as they are".to_owned(),
            ),
        ],
        text: text.to_owned(),
    })
}

/// At most about a thousand points, first and last among them: more are not to be seen.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    const MOST: usize = 1000;
    let step = points.len().div_ceil(MOST).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.into_iter().enumerate();
    let kept = kept.filter(|&(at, _)| at % step == 0 || at == last);
    kept.map(|(_, point)| point).collect()
}

/// The profit of the pairs around those that a fold ended with.
fn heat_map(
    run: &WalkForward<'_>,
    outcome: &WalkForwardOutcome,
    row: &WalkForwardRow,
) -> Result<Figure> {
    let options = run.options();
    let batch = run.train_batch(row.fold, row.group)?;
    let members: Vec<u32> = (0..batch.len() as u32).collect();
    let fee = options.evaluate.fee;
    let rule = row.exit_rule;
    let (high_bounds, low_bounds) = (options.optimize.high_bounds, options.optimize.low_bounds);
    let highs = axis(high_bounds);
    let lows = axis(low_bounds);
    let threads = match options.evaluate.threads {
        Some(count) => Threads::new(count)?,
        None => Threads::default(),
    };
    let surface = surface(&batch, &members, fee, rule, &highs, &lows, &threads)?;
    let single = |(low, high): (f64, f64)| (low as f32, high as f32);
    let (high_box, low_box) = (single(high_bounds), single(low_bounds));
    let best = exact(
        &batch,
        &members,
        fee,
        rule,
        high_box,
        low_box,
        &ExactOptions::default(),
    )?;
    let flat = flat_region(
        &batch, &members, fee, rule, high_box, low_box, &best, SHARE, None,
    )?;
    let evaluated = evaluated(&batch, &options.evaluate, rule, &options.optimize)?;
    let optimum = (best.multipliers.high, best.multipliers.low);
    let map = HeatMap {
        high: &surface.highs,
        low: &surface.lows,
        profit: &surface.profits,
        evaluated: &evaluated,
        optimum,
        flat: (flat.high, flat.low),
    };
    let who = match members.len() {
        1 => outcome.symbols[row.symbol].clone(),
        count => format!("{count} symbols that share a pair"),
    };
    let percent = |value: f32| charts::percent(f64::from(value));
    let widths = (
        percent(flat.high.1 - flat.high.0),
        percent(flat.low.1 - flat.low.0),
    );
    let place = format!("({} %, {} %)", percent(optimum.0), percent(optimum.1));
    let fold = &outcome.folds[row.fold];
    Ok(Figure {
        id: "surface",
        title: format!("Profit over multipliers, {who}, last fold"),
        alt: format!(
            "Heat map of the mean train profit of {who} over both multipliers. The exact optimum is at \
             {place} with a profit of {} %; DIRECT scored {} pairs, more of them near it.",
            charts::percent(best.profit),
            evaluated.len(),
        ),
        wide: map.draw(Width::Wide)?,
        narrow: map.draw(Width::Narrow)?,
        legend: vec![
            (Mark::Cross, format!("exact optimum, {place}")),
            (
                Mark::Circle,
                format!("the {} pairs that DIRECT scored", evaluated.len()),
            ),
            (
                Mark::Box,
                format!("keeps {} % of the gain", (SHARE * 100.0).round()),
            ),
        ],
        text: format!(
            "Train window {} to {}, exit {rule}. How flat the optimum is: within the box, {} % wide in \
             high and {} % in low, no pair keeps less than {} % of the gain over the forecasts as they \
             are; found exactly. A small box is an optimum that small changes of the data move.",
            date(outcome.calendar[fold.train.start]),
            date(outcome.calendar[fold.train.end - 1]),
            widths.0,
            widths.1,
            (SHARE * 100.0).round(),
        ),
    })
}

/// Equally spaced values from one end to the other.
fn axis((low, high): (f64, f64)) -> Vec<f32> {
    let step = (high - low) / (GRID - 1) as f64;
    (0..GRID).map(|k| (low + k as f64 * step) as f32).collect()
}

/// The pairs that DIRECT scores with its fast budget.
fn evaluated(
    batch: &Batch,
    options: &EvaluateOptions,
    rule: ExitRule,
    optimize: &OptimizeOptions,
) -> Result<Vec<(f32, f32)>> {
    let mut evaluator = Evaluator::cpu(batch, options)?;
    let groups = Groups::new(&Sharing::All, batch.len())?;
    let bounds = Bounds::new(&[optimize.high_bounds, optimize.low_bounds])?;
    let mut direct = Direct::new(bounds, DirectOptions::fast())?;
    let mut scored = Vec::new();
    while direct.stop().is_none() {
        let points = direct.ask().chunks_exact(2);
        let pairs: Vec<(f32, f32)> = points
            .map(|point| (point[0] as f32, point[1] as f32))
            .collect();
        let candidates = pairs
            .iter()
            .map(|&(high, low)| trisect::Multipliers::new(high, low));
        let candidates = Candidates::shared(candidates.collect())?;
        let mut profits = vec![0.0; pairs.len()];
        evaluator.means(&groups, &candidates, rule, &mut profits)?;
        let values: Vec<f64> = profits.iter().map(|profit| -profit).collect();
        direct.tell(&values)?;
        scored.extend(pairs);
    }
    Ok(scored)
}

/// Multipliers of each fold: the median over symbols and what lies around it.
fn multipliers(outcome: &WalkForwardOutcome) -> Result<Figure> {
    let mut of_folds: Vec<[Vec<f32>; 2]> = vec![Default::default(); outcome.folds.len()];
    for row in &outcome.rows {
        of_folds[row.fold][0].push(row.multipliers.high);
        of_folds[row.fold][1].push(row.multipliers.low);
    }
    let colours = [charts::BLUE, charts::VERMILION];
    let mut lines = Vec::new();
    let mut bands = Vec::new();
    for (axis, colour) in colours.into_iter().enumerate() {
        let mut line = Vec::new();
        let mut band = Vec::new();
        for (fold, values) in outcome.folds.iter().zip(&mut of_folds) {
            let values = &mut values[axis];
            if values.is_empty() {
                continue;
            }
            values.sort_by(f32::total_cmp);
            let x = outcome.calendar[fold.test.start] as f64;
            line.push((x, quantile(values, 0.5)));
            band.push((x, quantile(values, 0.1), quantile(values, 0.9)));
        }
        lines.push(Line {
            colour,
            points: line,
        });
        bands.push(Band {
            colour,
            points: band,
        });
    }
    let several = outcome.rows.iter().any(|row| row.symbol > 0);
    if !several {
        bands.clear();
    }
    let chart = Lines {
        x_label: "first test bar of the fold",
        y_label: "multiplier (%)",
        x_text: &axis_date,
        y_text: &charts::percent,
        lines,
        bands,
    };
    let what = if several { "median " } else { "" };
    let text = match outcome.run.stability {
        Some(stability) => format!(
            "From one fold to the next, high changes by {} % and low by {} % in the mean. Multipliers \
             that jump about were fitted to noise.",
            charts::percent(stability.high_change),
            charts::percent(stability.low_change),
        ),
        None => "With one fold there is nothing to compare.".to_owned(),
    };
    let around = if several {
        "The areas hold the middle 80 % of the symbols. "
    } else {
        ""
    };
    Ok(Figure {
        id: "multipliers",
        title: "Multipliers over folds".to_owned(),
        alt: format!("Line chart of the {what}multipliers high and low, fold by fold. {text}"),
        wide: chart.draw(Width::Wide)?,
        narrow: chart.draw(Width::Narrow)?,
        legend: vec![
            (
                Mark::Blue,
                format!("{what}high, added to the predicted high"),
            ),
            (
                Mark::Vermilion,
                format!("{what}low, added to the predicted low"),
            ),
        ],
        text: format!("{around}{text}"),
    })
}

/// Of ascending values, between the two nearest.
fn quantile(values: &[f32], share: f64) -> f64 {
    let at = share * (values.len() - 1) as f64;
    let (below, above) = (values[at.floor() as usize], values[at.ceil() as usize]);
    let (below, above) = (f64::from(below), f64::from(above));
    below + (above - below) * at.fract()
}

/// Tunes a sample of the train windows by every method.
fn quality(run: &WalkForward<'_>) -> Result<Figure> {
    let (batch, labels, folds) = sample(run)?;
    let options = run.options();
    let mut evaluator = Evaluator::cpu(&batch, &options.evaluate)?;
    let methods: [(&str, Method); 9] = [
        ("exact", Method::Exact(ExactOptions::default())),
        ("DIRECT 50", direct(50)),
        ("DIRECT 100", direct(100)),
        ("DIRECT 200", direct(200)),
        ("DIRECT 500", direct(500)),
        ("evolution 100", Method::Evolution(EvolutionOptions::fast())),
        (
            "evolution",
            Method::Evolution(EvolutionOptions::production()),
        ),
        ("grid 11x11", Method::Grid { high: 11, low: 11 }),
        ("grid 31x31", Method::Grid { high: 31, low: 31 }),
    ];
    let mut trials = Vec::new();
    let mut bounds = Vec::new();
    for (name, method) in methods {
        let is_exact = matches!(method, Method::Exact(_));
        let options = OptimizeOptions {
            sharing: Sharing::Groups(labels.clone()),
            method,
            quality: false,
            ..options.optimize.clone()
        };
        let outcome = optimize(&mut evaluator, &options, ())?;
        if is_exact {
            let of_groups = outcome.groups.iter().map(|group| group.upper_bound);
            bounds = of_groups.collect();
        }
        let qualities = outcome.groups.into_iter().zip(&bounds);
        let qualities: Vec<f64> = qualities
            .filter_map(|(mut group, bound)| {
                group.upper_bound = *bound;
                group.quality()
            })
            .collect();
        trials.push(Trial {
            name: name.to_owned(),
            ms: outcome.wall_time.as_secs_f64() * 1e3 / batch.len() as f64,
            quality: qualities.iter().sum::<f64>() / qualities.len() as f64,
            exact: is_exact,
        });
    }
    let text = |trial: &Trial| {
        format!(
            "{}: {:.1} % in {:.4} ms",
            trial.name,
            trial.quality * 100.0,
            trial.ms
        )
    };
    let all: Vec<String> = trials.iter().map(text).collect();
    let others = trials.iter().filter(|trial| !trial.exact);
    let best = others.max_by(|a, b| a.quality.total_cmp(&b.quality));
    Ok(Figure {
        id: "quality",
        title: "Quality against speed".to_owned(),
        alt: format!("Points of quality over time. {}.", all.join("; ")),
        wide: charts::quality_against_time(&trials, Width::Wide)?,
        narrow: charts::quality_against_time(&trials, Width::Narrow)?,
        legend: vec![
            (Mark::Cross, "exact optimum".to_owned()),
            (
                Mark::Dot,
                "searches, with their number of evaluations".to_owned(),
            ),
        ],
        text: format!(
            "Quality is the share of the attainable improvement that was found, a mean over {} train \
             windows of {folds} folds, tuned again by each method on the CPU while this page was made; \
             times are of that one run, all in. {}",
            batch.len(),
            best.map_or_else(String::new, |trial| format!(
                "The best of the searches: {}.",
                text(trial)
            )),
        ),
    })
}

fn direct(max_evaluations: usize) -> Method {
    Method::Direct(DirectOptions {
        max_evaluations,
        ..DirectOptions::production()
    })
}

/// Train windows of some groups in folds evenly over the run: the batch, each simulation's group,
/// and the number of folds.
fn sample(run: &WalkForward<'_>) -> Result<(Batch, Vec<String>, usize)> {
    let (folds, groups) = (run.folds().len(), run.groups().len());
    let per_fold = run.series().len();
    let wanted_folds = TRIED.div_ceil(per_fold).clamp(1, 16).min(folds);
    let mut builder = Batch::builder();
    let mut labels = Vec::new();
    let mut used = 0;
    for k in 0..wanted_folds {
        // The last fold of each share of the run.
        let fold = (k + 1) * folds / wanted_folds - 1;
        let before = labels.len();
        for group in 0..groups {
            if labels.len() - before >= TRIED.div_ceil(wanted_folds) {
                break;
            }
            // A group may have no symbol in a fold.
            let Ok(train) = run.train_batch(fold, group) else {
                continue;
            };
            for simulation in (0..train.len()).filter_map(|s| train.simulation(s)) {
                builder.push(Fields {
                    close: simulation.close,
                    high: simulation.high,
                    low: simulation.low,
                    high_pred: simulation.high_pred,
                    low_pred: simulation.low_pred,
                    weights: simulation.weights,
                })?;
                labels.push(format!("{fold} {group}"));
            }
        }
        used += usize::from(labels.len() > before);
    }
    Ok((builder.build()?, labels, used))
}

fn symbol_table(outcome: &WalkForwardOutcome) -> Table {
    let symbols = outcome.symbols.iter().zip(&outcome.per_symbol);
    let row = |(symbol, summary): (&String, &Summary)| {
        let metrics = &summary.metrics;
        let mut cells = vec![Cell::Text(symbol.clone()), Cell::count(summary.rows)];
        cells.extend(per_bar(summary));
        cells.extend([
            Cell::percent(metrics.annual_return),
            Cell::decimals(metrics.sharpe, 2),
            Cell::decimals(summary.baseline_metrics.sharpe, 2),
            Cell::decimals(metrics.deflated_sharpe, 2),
            Cell::decimals(metrics.sortino, 2),
            Cell::percent(metrics.max_drawdown),
            Cell::decimals(metrics.calmar, 2),
            Cell::percent(metrics.hit_rate),
            Cell::decimals(metrics.turnover, 0),
            Cell::percent(summary.stability.map(|stability| stability.high_change)),
            Cell::percent(summary.stability.map(|stability| stability.low_change)),
        ]);
        cells
    };
    let mut columns = vec![
        ("symbol", "its name"),
        ("folds", "folds that it is part of"),
    ];
    columns.extend(PER_BAR);
    columns.extend([
        (
            "return %/yr",
            "mean annual growth out of sample, compounded",
        ),
        ("Sharpe", "annualised, out of sample"),
        ("baseline Sharpe", "the same with the forecasts as they are"),
        (
            "deflated",
            "probability that the Sharpe ratio is more than the luck of the best candidate",
        ),
        ("Sortino", "annualised, out of sample"),
        (
            "drawdown %",
            "greatest loss from a peak of the equity, out of sample",
        ),
        ("Calmar", "annual return over greatest drawdown"),
        ("hits %", "share of the bars with a trade that end above 0"),
        (
            "turnover/yr",
            "weight of the legs that entered per year, in multiples of the capital",
        ),
        (
            "high moves %",
            "mean change of the multiplier high from fold to fold",
        ),
        (
            "low moves %",
            "mean change of the multiplier low from fold to fold",
        ),
    ]);
    Table {
        id: "symbols",
        title: "Symbols".to_owned(),
        text: "A row per symbol, over all its folds. A heading sorts.".to_owned(),
        columns,
        rows: symbols.map(row).collect(),
    }
}

const PER_BAR: [(&str, &str); 5] = [
    ("in sample %/bar", "mean profit per train bar"),
    ("out of sample %/bar", "mean profit per test bar"),
    (
        "baseline %/bar",
        "mean profit per test bar with the forecasts as they are",
    ),
    (
        "degradation",
        "share of the profit per bar in sample that is lost out of sample",
    ),
    (
        "gain %",
        "share of the folds (of the symbols, in a fold) that beat the forecasts as they are",
    ),
];

fn per_bar(summary: &Summary) -> [Cell; 5] {
    let mean = |sum: f64, bars: usize| (bars > 0).then(|| sum / bars as f64);
    let (train, test) = (&summary.in_sample, &summary.out_of_sample);
    [
        Cell::percent(mean(train.profit, train.bars)),
        Cell::percent(mean(test.profit, test.bars)),
        Cell::percent(mean(test.baseline, test.bars)),
        Cell::decimals(summary.degradation(), 2),
        Cell::percent(summary.gain_share),
    ]
}

fn fold_table(outcome: &WalkForwardOutcome) -> Table {
    let folds = outcome.folds.iter().zip(&outcome.per_fold).enumerate();
    let row = |(k, (fold, summary)): (usize, (&trisect::Fold, &Summary))| {
        let time = |at: usize| Cell::Text(date(outcome.calendar[at]));
        let mut cells = vec![
            Cell::count(k + 1),
            time(fold.train.start),
            time(fold.test.start),
            time(fold.test.end - 1),
            Cell::count(summary.rows),
        ];
        cells.extend(per_bar(summary));
        cells
    };
    let mut columns = vec![
        ("fold", "its number"),
        ("trains from", "first bar of the train window"),
        ("tests from", "first bar of the test window"),
        ("tests to", "last bar of the test window"),
        ("symbols", "symbols that take part"),
    ];
    columns.extend(PER_BAR);
    Table {
        id: "folds",
        title: "Folds".to_owned(),
        text: "A row per fold, over all its symbols. A heading sorts.".to_owned(),
        columns,
        rows: folds.map(row).collect(),
    }
}

fn option_list(about: &About, options: &Options) -> Result<Vec<(String, String)>> {
    let mut list = vec![
        ("command".to_owned(), about.command.clone()),
        ("trisect".to_owned(), about.trisect.clone()),
        ("prices".to_owned(), about.prices.clone()),
        ("SHA-256 of the series".to_owned(), about.data.clone()),
    ];
    if let serde_json::Value::Object(values) = serde_json::to_value(options)? {
        for (name, value) in values {
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Null => "all".to_owned(),
                other => other.to_string(),
            };
            list.push((name, text));
        }
    }
    Ok(list)
}

/// The day of a place on an axis, which need not be the start of one.
fn axis_date(seconds: f64) -> String {
    let time = jiff::Timestamp::from_second(seconds as i64);
    time.map_or_else(
        |_| seconds.to_string(),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}

/// A time as people write it: the day alone where it is the start of one.
pub fn date(seconds: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(seconds) else {
        return seconds.to_string();
    };
    let format = if seconds % 86_400 == 0 {
        "%Y-%m-%d"
    } else {
        "%Y-%m-%d %H:%M"
    };
    time.strftime(format).to_string()
}
