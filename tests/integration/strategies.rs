//! Every strategy on recorded batches; worker processes; what is refused.

use std::env;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use trisect::{
    Batch, Error, ExitChoice, ExitRule, Fields, Outcome, Sharing, Strategy, StrategyOptions,
    Weights, WorkerProgram, work_if_asked,
};

use crate::golden::read_json;
use crate::support::{Columns, KINDS, Kind, Rng, package, ragged, required};

/// Also what the workers of the tests here run: they are this program, told to run this test.
#[test]
fn a_process_that_nobody_asked_to_work_goes_on() {
    let before = std::process::id();
    work_if_asked();
    assert_eq!(std::process::id(), before);
}

fn this_program(test: &str) -> WorkerProgram {
    let name = format!("strategies::{test}");
    WorkerProgram {
        arguments: vec![name.into(), "--exact".into(), "--nocapture".into()],
        ..WorkerProgram::default()
    }
}

fn options() -> StrategyOptions {
    StrategyOptions {
        threads: Some(2),
        processes: Some(2),
        worker: this_program("a_process_that_nobody_asked_to_work_goes_on"),
        ..StrategyOptions::default()
    }
}

/// All that does not depend on how the work was done.
fn assert_same(got: &Outcome, expected: &Outcome, what: &str) {
    assert_eq!(got.groups, expected.groups, "{what}");
    assert_eq!(got.profits, expected.profits, "{what}");
    assert_eq!(got.membership, expected.membership, "{what}");
    assert_eq!(got.evaluations, expected.evaluations, "{what}");
    assert_eq!(got.bar_candidates, expected.bar_candidates, "{what}");
}

/// Recorded simulations that have fee, exit rule, bounds and kind of weights in common.
struct Recorded {
    file: &'static str,
    terms: String,
    options: StrategyOptions,
    builder: trisect::BatchBuilder,
}

fn column(case: &Value, name: &str) -> Option<Vec<f32>> {
    let values = case[name].as_array()?.iter();
    values.map(|value| Some(value.as_f64()? as f32)).collect()
}

/// Adds a recorded simulation to those it has its terms in common with; `None` if it has none of
/// what a simulation needs.
fn record(all: &mut Vec<Recorded>, file: &'static str, case: &Value) -> Option<()> {
    let [close, high, low, high_pred, low_pred] = [
        "close",
        "high_actual",
        "low_actual",
        "high_pred",
        "low_pred",
    ]
    .map(|name| column(case, name));
    let (close, high, low, high_pred, low_pred) = (close?, high?, low?, high_pred?, low_pred?);
    let (position, buy, sell) = (
        column(case, "pos"),
        column(case, "buy"),
        column(case, "sell"),
    );
    let crypto = case["is_crypto"] == true;
    let weights = match (&position, &buy, &sell) {
        (Some(position), _, _) => Weights::EntryExit(&position[..]),
        (None, Some(buy), Some(sell)) => Weights::AlwaysOn {
            buy: &buy[..],
            sell: (!crypto).then_some(&sell[..]),
        },
        _ => return None,
    };
    let simulation = Fields {
        close: &close[..],
        high: &high,
        low: &low,
        high_pred: &high_pred,
        low_pred: &low_pred,
        weights,
    };
    let end = |axis: usize, end: usize, default: f64| {
        case["bounds"][axis][end].as_f64().unwrap_or(default)
    };
    let axis = |axis: usize| (end(axis, 0, -0.03), end(axis, 1, 0.03));
    let exit_rule = match case["close_at_eod"].as_bool()? {
        true => ExitRule::AtClose,
        false => ExitRule::Intraday,
    };
    let options = StrategyOptions {
        fee: case["fee"].as_f64().unwrap_or(trisect::EQUITY_FEE),
        exit_rule: ExitChoice::Fixed(exit_rule),
        high_bounds: axis(0),
        low_bounds: axis(1),
        ..options()
    };
    let terms = format!(
        "{crypto} {exit_rule} {} {:?}",
        options.fee, options.high_bounds
    );
    let place = |one: &Recorded| one.file == file && one.terms == terms;
    let index = all.iter().position(place).unwrap_or_else(|| {
        all.push(Recorded {
            file,
            terms,
            options,
            builder: Batch::builder(),
        });
        all.len() - 1
    });
    all[index].builder.push(simulation).ok()?;
    Some(())
}

fn recorded() -> Vec<Recorded> {
    let dir = package().join("tests/golden");
    let mut all = Vec::new();
    for (file, list, usable) in [
        ("entry_exit_direct.json", "sims", 20),
        ("always_on.json", "cases", 28),
        // The library refuses five: a low of -1 or below, or above the high.
        ("profit.json", "cases", 25),
    ] {
        let root = read_json(&dir, file).unwrap();
        let cases = root[list].as_array().unwrap();
        let taken = cases.iter().filter_map(|case| record(&mut all, file, case));
        // So that a changed name cannot empty the test.
        assert_eq!(taken.count(), usable, "{file}");
    }
    all
}

/// The CPU strategy whose bits another has.
fn same_as(strategy: Strategy) -> Option<Strategy> {
    Some(match strategy {
        Strategy::Threads | Strategy::Processes | Strategy::GpuPerSimulation => Strategy::Baseline,
        Strategy::ThreadsFast | Strategy::ProcessesFast => Strategy::Fast,
        Strategy::ExactThreads | Strategy::ExactGpu => Strategy::Exact,
        Strategy::GpuChunks => Strategy::SharedChunks,
        Strategy::GpuAll => Strategy::SharedAll,
        _ => return None,
    })
}

/// Sums over all simulations of what is gained on the baseline.
fn gained(outcome: &Outcome) -> f64 {
    let groups = outcome.groups.iter();
    groups
        .map(|group| (group.profit - group.baseline) * group.simulations as f64)
        .sum()
}

#[test]
fn strategies_on_recorded_batches_are_the_same_or_keep_their_promise() {
    let mut gains: Vec<(&str, Strategy, f64, f64)> = Vec::new();
    let mut skipped = None;
    for one in recorded() {
        let batch = one.builder.build().unwrap();
        let run = |strategy: Strategy, options: &StrategyOptions| strategy.run(&batch, options);
        for strategy in Strategy::ALL {
            let what = format!("{} {}: {strategy}", one.file, one.terms);
            let outcome = match run(strategy, &one.options) {
                Ok(done) => {
                    assert!(done.host_bytes > batch.bytes(), "{what}");
                    assert_eq!(done.device_bytes > 0, strategy.needs_gpu(), "{what}");
                    done.outcome
                }
                Err(Error::Unavailable {
                    what: missing, why, ..
                }) if strategy.needs_gpu() => {
                    assert_eq!(missing, "a CUDA device");
                    assert!(!required("cuda"), "TRISECT_TEST_REQUIRE=cuda: {why}");
                    skipped = Some(why);
                    continue;
                }
                Err(error) => panic!("{what}: {error}"),
            };
            if let Some(same) = same_as(strategy) {
                let mut expected = run(same, &one.options).unwrap().outcome;
                if strategy == Strategy::ExactGpu {
                    // The work depends on who did it.
                    let works = outcome.groups.iter().map(|group| group.work);
                    let groups = expected.groups.iter_mut();
                    groups
                        .zip(works)
                        .for_each(|(group, work)| group.work = work);
                }
                assert_same(&outcome, &expected, &what);
            }
            let shared = StrategyOptions {
                sharing: Some(strategy.sharing()),
                ..one.options.clone()
            };
            let best = run(Strategy::Exact, &shared).unwrap().outcome;
            for (group, best) in outcome.groups.iter().zip(&best.groups) {
                assert!(group.profit <= best.profit, "{what}");
                assert_eq!(group.baseline, best.baseline, "{what}");
            }
            let (got, attainable) = (gained(&outcome), gained(&best));
            let of = |(file, known, _, _): &&mut (&str, Strategy, f64, f64)| {
                *file == one.file && *known == strategy
            };
            match gains.iter_mut().find(of) {
                Some((_, _, sum, all)) => (*sum, *all) = (*sum + got, *all + attainable),
                None => gains.push((one.file, strategy, got, attainable)),
            }
        }
    }
    if let Some(why) = skipped {
        println!("skipped: the strategies of GPUs: {why}");
    }
    for (file, strategy, got, attainable) in gains {
        assert!(attainable > 0.0, "{file}: {strategy}");
        let quality = got / attainable;
        println!("{file}: {strategy}: {quality:.4}");
        let promised = strategy.promised_quality();
        assert!(
            (promised..=1.0).contains(&quality),
            "{file}: {strategy}: {quality} < {promised}"
        );
    }
}

/// Always-on simulations of several lengths.
fn always_on(rng: &mut Rng, with_sell: bool, simulations: usize) -> Batch {
    let mut builder = Batch::builder();
    for _ in 0..simulations {
        let bars = 1 + rng.below(40);
        let columns = Columns::draw(rng, Kind::Skilled, bars);
        builder.push(columns.always_on(with_sell)).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn any_number_of_processes_gives_the_bits_of_threads() {
    let mut rng = Rng::new(31);
    let mut batches: Vec<Batch> = KINDS.map(|kind| ragged(&mut rng, kind, 23, 60)).to_vec();
    batches.push(always_on(&mut rng, true, 23));
    batches.push(always_on(&mut rng, false, 23));
    // Groups whose members are not neighbours.
    let labels = (0..23).map(|s| format!("g{}", s * s % 5)).collect();
    let sharings = [
        Sharing::PerSimulation,
        Sharing::All,
        Sharing::Chunks(4),
        Sharing::Groups(labels),
    ];
    for (index, batch) in batches.iter().enumerate() {
        for sharing in &sharings {
            let options = StrategyOptions {
                exit_rule: ExitChoice::Both,
                high_bounds: (-0.03, 0.02),
                fee: 0.002,
                sharing: Some(sharing.clone()),
                quality: true,
                ..options()
            };
            for (processes, threads) in [
                (Strategy::Processes, Strategy::Threads),
                (Strategy::ProcessesFast, Strategy::ThreadsFast),
            ] {
                let expected = threads.run(batch, &options).unwrap().outcome;
                // 29: more than there are simulations.
                for count in [1, 2, 3, 29] {
                    let options = StrategyOptions {
                        processes: Some(count),
                        ..options.clone()
                    };
                    let got = processes.run(batch, &options).unwrap();
                    let what = format!("batch {index}, {sharing:?}, {count} processes");
                    assert_same(&got.outcome, &expected, &what);
                    let started = format!("CPU, processes: {}", count.min(batch.len()));
                    assert_eq!(got.device, started, "{what}");
                    assert!(got.start_time > Duration::ZERO);
                }
            }
        }
    }
}

fn few() -> Batch {
    ragged(&mut Rng::new(5), Kind::Skilled, 5, 20)
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_starts() {
    let batch = few();
    // Nothing could be started either: whatever is said first was looked at first.
    let broken = StrategyOptions {
        worker: WorkerProgram {
            program: Some("no-such-program".into()),
            ..WorkerProgram::default()
        },
        ..options()
    };
    let with = |change: fn(&mut StrategyOptions)| {
        let mut options = broken.clone();
        change(&mut options);
        let errors = [Strategy::Processes, Strategy::ProcessesFast]
            .map(|strategy| strategy.run(&batch, &options).unwrap_err().to_string());
        assert_eq!(errors[0], errors[1]);
        errors[0].clone()
    };
    for (error, expected) in [
        (with(|o| o.processes = Some(0)), "processes = 0: must be"),
        (with(|o| o.processes = Some(1025)), "processes = 1025: must"),
        (with(|o| o.fee = -1.0), "fee = -1: must be"),
        (with(|o| o.high_bounds = (0.1, 0.1)), "bounds of axis 0"),
        (with(|o| o.sharing = Some(Sharing::Chunks(0))), "Sharing::"),
        (with(|_| ()), "a worker process is not available: no-such-"),
    ] {
        assert!(error.starts_with(expected), "{error}");
    }
    let options = StrategyOptions {
        threads: Some(0),
        ..options()
    };
    for strategy in [Strategy::Threads, Strategy::ExactThreads] {
        let error = strategy.run(&batch, &options).unwrap_err().to_string();
        assert!(error.starts_with("threads = 0: must be"), "{error}");
    }
}

/// What comes of a worker that runs these commands of a shell.
#[cfg(unix)]
fn failure_of(commands: &str, limits: [Duration; 2]) -> (usize, String, String) {
    let [start_limit, work_limit] = limits;
    let options = StrategyOptions {
        worker: WorkerProgram {
            program: Some("sh".into()),
            arguments: vec!["-c".into(), commands.into()],
            start_limit,
            work_limit: Some(work_limit),
        },
        ..options()
    };
    match Strategy::Processes.run(&few(), &options).unwrap_err() {
        Error::Worker {
            worker,
            program,
            status,
            stderr,
        } => {
            assert_eq!(program, "sh");
            (worker, status, stderr)
        }
        error => panic!("{commands}: {error}"),
    }
}

#[test]
#[cfg(unix)]
fn a_worker_that_fails_is_an_error_with_its_last_words() {
    let long = Duration::from_secs(60);
    let greeting = "printf '\\ntrisect worker 1\\n'";
    for (commands, expected_status, expected_words) in [
        // It dies before the call, or never calls.
        ("echo boom >&2; exit 3", "exit status: 3", "boom"),
        ("echo hello", "exit status: 0", "it said nothing"),
        // Far more words than a pipe holds.
        (
            "yes words >&2 & sleep 0.3; kill $!; exit 5",
            "exit status: 5",
            "words\nwords",
        ),
        // It dies at work: before, amid and after its request.
        (
            &format!("{greeting}; echo gone >&2; exit 4"),
            "exit status: 4",
            "gone",
        ),
        (
            &format!("{greeting}; head -c 9 >&2; exit 6"),
            "exit status: 6",
            "trisect1",
        ),
        (
            &format!("{greeting}; head -c 99 >/dev/null; kill -9 $$"),
            "signal: 9",
            "it said nothing",
        ),
        // Its answer makes no sense. It takes the whole request, or that would be the error.
        (
            &format!("{greeting}; yes '' | head -c 5000; exec cat >/dev/null"),
            "an unknown reason to stop",
            "it said",
        ),
    ] {
        let (worker, status, stderr) = failure_of(commands, [long; 2]);
        assert_eq!(worker, 0, "{commands}");
        assert!(status.contains(expected_status), "{commands}: {status}");
        assert!(stderr.contains(expected_words), "{commands}: {stderr}");
        assert!(stderr.len() <= 4096);
    }
    // It does not call, and does not end.
    let soon = Duration::from_millis(300);
    let (_, status, _) = failure_of("exec sleep 600", [soon, long]);
    assert_eq!(status, "it did not call in time, so it was ended");
    // It does not answer, and does not end.
    let hangs = format!("{greeting}; exec sleep 600");
    let (_, status, _) = failure_of(&hangs, [long, soon]);
    assert_eq!(status, "it did not answer in time, so it was ended");
}

#[test]
fn a_worker_whose_request_is_wrong_says_so() {
    let worker = options().worker;
    let mut child = Command::new(env::current_exe().unwrap())
        .args(&worker.arguments)
        .env("TRISECT_WORKER", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::Write;
    child.stdin.take().unwrap().write_all(&[7; 96]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("the request is of another version"),
        "{stderr}"
    );
}

/// The test runs itself as a worker that has not made the call.
#[test]
fn a_worker_that_forgets_the_call_starts_no_workers_of_its_own() {
    if env::var_os("TRISECT_WORKER").is_some() {
        let error = Strategy::Processes.run(&few(), &options()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("this process is itself a worker"), "{text}");
        return;
    }
    let test = this_program("a_worker_that_forgets_the_call_starts_no_workers_of_its_own");
    let output = Command::new(env::current_exe().unwrap())
        .args(&test.arguments)
        .env("TRISECT_WORKER", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    // And for a program that makes it its worker, it is one that ended without the call.
    let options = StrategyOptions {
        worker: test,
        ..options()
    };
    let error = Strategy::Processes.run(&few(), &options).unwrap_err();
    assert!(matches!(error, Error::Worker { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("call work_if_asked() first thing in main")
    );
}
