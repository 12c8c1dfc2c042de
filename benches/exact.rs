//! The exact optimum beside DIRECT with 500 evaluations, on the same groups.
//!
//! `exact/TxS`: S groups of one simulation of T bars, one thread; `exact/pooled`: one group of all;
//! `exact/threads`: many groups on 1 and 2 threads; `exact/gpu`: many groups through the evaluator, on
//! all threads and on a GPU where there is one, legs already there. Throughput is in bars. Every result is
//! checked to be proved, and not below DIRECT's, before anything is timed.
//!
//! Data, always with the bars of `synthetic::batch`:
//!
//! * `skilled`: its forecasts, off by at most 1 %;
//! * `noise`: forecasts that know nothing of the bar, Gaussian around +-0.5 % with a deviation of
//!   1 %;
//! * `flat`: forecasts that know nothing of the bar, uniform over 0 to +-3 %, a hard family: the
//!   profit has two peaks and is flat around both.

mod synthetic;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use trisect::{
    Batch, DirectOptions, EQUITY_FEE, Evaluate, EvaluateOptions, Evaluator, Exact, ExactOptions,
    ExactSolver, ExitRule, Fields, Groups, Method, Multipliers, OptimaTask, OptimizeOptions,
    Sharing, Weights, exact_profit, optimize,
};

/// Draws simulations of so many bars.
type Source = fn(usize, usize) -> Batch;

const BOX: (f32, f32) = (-0.03, 0.03);

/// The bars of [`synthetic::batch`] with the highs and lows that `forecast` draws.
fn forecast(
    simulations: usize,
    bars: usize,
    mut forecast: impl FnMut(&mut synthetic::Rng) -> (f64, f64),
) -> Batch {
    let mut rng = synthetic::Rng::new(3);
    let skilled = synthetic::batch(simulations, bars);
    let mut builder = Batch::builder();
    for simulation in skilled.simulations() {
        let pairs = (0..simulation.bars()).map(|_| forecast(&mut rng));
        let (high_pred, low_pred): (Vec<f32>, Vec<f32>) =
            pairs.map(|(high, low)| (high as f32, low as f32)).unzip();
        let Weights::EntryExit(position) = simulation.weights else {
            unreachable!("as drawn");
        };
        let simulation = Fields {
            high_pred: &high_pred[..],
            low_pred: &low_pred[..],
            weights: Weights::EntryExit(position),
            ..simulation
        };
        builder.push(simulation).expect("drawn within the limits");
    }
    builder.build().expect("at least one simulation")
}

fn noise(simulations: usize, bars: usize) -> Batch {
    forecast(simulations, bars, |rng| {
        // Box and Muller: two independent numbers.
        let radius = (-2.0 * (1.0 - rng.between(0.0, 1.0)).ln()).sqrt();
        let (sin, cos) = rng.between(0.0, std::f64::consts::TAU).sin_cos();
        (0.005 + 0.01 * radius * cos, -0.005 + 0.01 * radius * sin)
    })
}

fn flat(simulations: usize, bars: usize) -> Batch {
    forecast(simulations, bars, |rng| {
        (rng.between(0.0, 0.03), rng.between(-0.03, 0.0))
    })
}

fn solve(solver: &mut ExactSolver, batch: &Batch, members: &[u32]) -> Exact {
    let options = ExactOptions::default();
    solver
        .solve(
            batch,
            members,
            EQUITY_FEE,
            ExitRule::Intraday,
            BOX,
            BOX,
            &options,
        )
        .expect("a valid group")
}

/// DIRECT with 500 evaluations per group on one thread.
fn direct<'a>(batch: &'a Batch, sharing: Sharing) -> (Evaluator<'a>, OptimizeOptions) {
    let evaluate = EvaluateOptions {
        threads: Some(1),
        ..EvaluateOptions::default()
    };
    let evaluator = Evaluator::cpu(batch, &evaluate).expect("one thread");
    let options = OptimizeOptions {
        sharing,
        method: Method::Direct(DirectOptions {
            max_evaluations: 500,
            ..DirectOptions::production()
        }),
        ..OptimizeOptions::default()
    };
    (evaluator, options)
}

/// Exact optima are proved and never below what DIRECT finds.
fn check(batch: &Batch, groups: &[Vec<u32>], sharing: Sharing) {
    let (mut evaluator, options) = direct(batch, sharing);
    let outcome = optimize(&mut evaluator, &options, ()).expect("a search");
    let mut solver = ExactSolver::new();
    for (members, found) in groups.iter().zip(&outcome.groups) {
        let best = solve(&mut solver, batch, members);
        let at: Multipliers = found.multipliers;
        let value = exact_profit(batch, members, EQUITY_FEE, ExitRule::Intraday, at);
        assert!(best.is_proved() && best.profit >= value.expect("a valid pair"));
    }
}

fn exact(criterion: &mut Criterion) {
    let shapes = [(200, 2000), (6, 100_000), (2000, 100)];
    let sources: [(&str, Source); 3] = [
        ("skilled", synthetic::batch),
        ("noise", noise),
        ("flat", flat),
    ];
    for (data, draw) in sources {
        let shapes = &shapes[..if data == "flat" { 1 } else { 3 }];
        for &(bars, simulations) in shapes {
            let batch = draw(simulations, bars);
            let groups: Vec<Vec<u32>> = (0..simulations as u32).map(|s| vec![s]).collect();
            check(&batch, &groups, Sharing::PerSimulation);
            let mut group = criterion.benchmark_group(format!("exact/{bars}x{simulations}"));
            group.throughput(Throughput::Elements((simulations * bars) as u64));
            let mut solver = ExactSolver::new();
            group.bench_function(BenchmarkId::new("exact", data), |bencher| {
                bencher.iter(|| {
                    groups
                        .iter()
                        .map(|members| solve(&mut solver, &batch, members).profit)
                        .sum::<f64>()
                });
            });
            let (mut evaluator, options) = direct(&batch, Sharing::PerSimulation);
            group.bench_function(BenchmarkId::new("direct-500", data), |bencher| {
                bencher.iter(|| optimize(&mut evaluator, &options, ()));
            });
            group.finish();
        }
        for simulations in [100, 1000, 10_000] {
            let batch = draw(simulations, 200);
            let groups = [(0..simulations as u32).collect::<Vec<u32>>()];
            check(&batch, &groups, Sharing::All);
            let mut group = criterion.benchmark_group(format!("exact/pooled-{simulations}x200"));
            group.throughput(Throughput::Elements(simulations as u64 * 200));
            let mut solver = ExactSolver::new();
            group.bench_function(BenchmarkId::new("exact", data), |bencher| {
                bencher.iter(|| solve(&mut solver, &batch, &groups[0]));
            });
            println!(
                "{data}: {} heap bytes per leg",
                solver.bytes() / (simulations * 200)
            );
            let (mut evaluator, options) = direct(&batch, Sharing::All);
            group.bench_function(BenchmarkId::new("direct-500", data), |bencher| {
                bencher.iter(|| optimize(&mut evaluator, &options, ()));
            });
            group.finish();
        }
    }
}

fn threads(criterion: &mut Criterion) {
    let batch = synthetic::batch(4000, 200);
    let members: Vec<u32> = (0..4000).collect();
    let mut group = criterion.benchmark_group("exact/threads");
    group.throughput(Throughput::Elements(4000 * 200));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            bencher.iter(|| {
                pool.install(|| {
                    members
                        .par_chunks(1)
                        .with_min_len(64)
                        .map_init(ExactSolver::new, |solver, members| {
                            solve(solver, &batch, members).profit
                        })
                        .collect::<Vec<f64>>()
                })
            });
        });
    }
    group.finish();
}

/// All groups of a batch at once, CPU beside GPU.
fn gpu(criterion: &mut Criterion) {
    for (bars, simulations) in [(6, 100_000), (200, 1000), (200, 10_000), (2000, 100)] {
        let batch = synthetic::batch(simulations, bars);
        let groups = Groups::new(&Sharing::PerSimulation, simulations).expect("a partition");
        let members: Vec<u32> = (0..simulations as u32).collect();
        let on_cpu = || -> Vec<Exact> {
            let members = members.par_chunks(1).with_min_len(64);
            members
                .map_init(ExactSolver::new, |solver, members| {
                    solve(solver, &batch, members)
                })
                .collect()
        };
        let mut group = criterion.benchmark_group(format!("exact/gpu-{bars}x{simulations}"));
        group.throughput(Throughput::Elements((simulations * bars) as u64));
        group.bench_function("cpu", |bencher| bencher.iter(on_cpu));
        match Evaluator::cuda(&batch, &[0], &EvaluateOptions::default()) {
            Err(why) => println!("no GPU: {why}"),
            Ok(mut evaluator) => {
                let task = OptimaTask {
                    groups: &groups,
                    range: 0..groups.len(),
                    exit_rule: ExitRule::Intraday,
                    high_bounds: BOX,
                    low_bounds: BOX,
                };
                let mut on_gpu = || {
                    let optima = evaluator.exact_optima(&task).expect("GPUs offer optima");
                    optima.expect("a valid task")
                };
                for (found, expected) in on_gpu().iter().zip(on_cpu()) {
                    let found = found.expect("a small group");
                    assert_eq!(found.multipliers, expected.multipliers);
                    assert_eq!(found.profit.to_bits(), expected.profit.to_bits());
                }
                group.bench_function("gpu", |bencher| bencher.iter(&mut on_gpu));
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = exact, threads, gpu
}
criterion_main!(benches);
