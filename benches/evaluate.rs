//! Scoring: bars x candidates per second, per instruction set, over S, T and C.

mod synthetic;

use std::cell::OnceCell;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trisect::{
    Batch, Candidates, Device, Evaluate, EvaluateOptions, Evaluator, ExitRule, Groups, Sharing,
    Simd,
};

/// Time of one call of `means` with a list shared by all simulations, each its own group.
fn means(
    criterion: &mut Criterion,
    id: BenchmarkId,
    batch: &Batch,
    count: usize,
    rule: ExitRule,
    options: &EvaluateOptions,
) {
    let mut evaluator = Evaluator::cpu(batch, options).expect("an instruction set of this machine");
    let groups = Groups::new(&Sharing::PerSimulation, batch.len()).expect("simulations");
    let candidates = Candidates::shared(synthetic::candidates(count)).expect("finite");
    let mut means = vec![0.0; candidates.total(groups.len())];
    let mut group = criterion.benchmark_group("evaluate");
    group.throughput(Throughput::Elements((batch.bars() * count) as u64));
    group.bench_function(id, |bencher| {
        bencher.iter(|| evaluator.means(&groups, &candidates, rule, &mut means));
    });
    group.finish();
}

/// One core, 1000 simulations of 200 bars, 12 candidates each as in a round of DIRECT.
fn instruction_sets(criterion: &mut Criterion) {
    let batch = synthetic::batch(1000, 200);
    for simd in Simd::available() {
        for rule in [ExitRule::Intraday, ExitRule::AtClose] {
            let options = EvaluateOptions {
                threads: Some(1),
                simd: Some(simd),
                ..EvaluateOptions::default()
            };
            let id = BenchmarkId::new(format!("{simd:?}"), rule);
            means(criterion, id, &batch, 12, rule, &options);
        }
    }
}

/// The widest instruction set, one and all threads, over simulations, bars and candidates: one of the
/// three changes, the others stay at 1000, 200 and 12, a round of DIRECT over a thousand windows.
fn sizes(criterion: &mut Criterion) {
    for (simulations, bars, count) in grid() {
        let batch = synthetic::batch(simulations, bars);
        for threads in [Some(1), None] {
            let options = EvaluateOptions {
                threads,
                ..EvaluateOptions::default()
            };
            let name = threads.map_or("all-threads", |_| "one-thread");
            let id = BenchmarkId::new(name, size(simulations, bars, count));
            means(criterion, id, &batch, count, ExitRule::Intraday, &options);
        }
    }
}

/// The sizes `(S, T, C)`, the common point once.
fn grid() -> impl Iterator<Item = (usize, usize, usize)> {
    let simulations = [1, 10, 100, 1000, 10_000].map(|s| (s, 200, 12));
    let bars = [6, 20, 2000].map(|t| (1000, t, 12));
    let candidates = [1, 100, 500].map(|c| (1000, 200, c));
    simulations.into_iter().chain(bars).chain(candidates)
}

fn size(simulations: usize, bars: usize, count: usize) -> String {
    format!("S{simulations}-T{bars}-C{count}")
}

/// The GPU beside all CPU threads: the same sizes, whole launches, rounds of a search, and sizes around
/// the one from which the GPU is faster. Every GPU result is checked against the CPU's first.
fn gpu(criterion: &mut Criterion) {
    let others = [
        // Throughput of the kernel.
        (20_000, 200, 500),
        (100_000, 6, 50),
        (2_000_000, 6, 50),
        // Rounds of a search.
        (1000, 200, 20),
        // Where the GPU overtakes the CPU.
        (1, 200, 20),
        (4, 200, 20),
        (16, 200, 20),
        (64, 200, 20),
        (256, 200, 20),
    ];
    let options = EvaluateOptions::default();
    let one = synthetic::batch(1, 1);
    match Evaluator::cuda(&one, &[0], &options) {
        Ok(gpu) => println!("{}", gpu.device()),
        Err(why) => {
            println!("no GPU: {why}");
            return;
        }
    }
    for (simulations, bars, count) in grid().chain(others) {
        // Drawn when a benchmark that was asked for needs it.
        let batch = OnceCell::new();
        let draw = || synthetic::batch(simulations, bars);
        let groups = Groups::new(&Sharing::All, simulations).expect("simulations");
        let pairs = Candidates::shared(synthetic::candidates(count)).expect("finite");
        for rule in [ExitRule::Intraday, ExitRule::AtClose] {
            let mut group = criterion.benchmark_group(format!("evaluate/gpu-{rule}"));
            group.throughput(Throughput::Elements((simulations * bars * count) as u64));
            for device in [Device::Cuda(0), Device::Cpu] {
                let name = match device {
                    Device::Cpu => "cpu-all-threads",
                    _ => "cuda",
                };
                let id = BenchmarkId::new(name, size(simulations, bars, count));
                group.bench_function(id, |bencher| {
                    let batch = batch.get_or_init(draw);
                    let mut evaluator = Evaluator::new(batch, device, &options).expect("a device");
                    let mut means = vec![0.0; count];
                    let mut score = |evaluator: &mut Evaluator<'_>| {
                        evaluator
                            .means(&groups, &pairs, rule, &mut means)
                            .expect("a round");
                        means.clone()
                    };
                    let mut cpu = Evaluator::cpu(batch, &options).expect("valid options");
                    assert_eq!(score(&mut evaluator), score(&mut cpu));
                    drop(cpu);
                    bencher.iter(|| evaluator.means(&groups, &pairs, rule, &mut means));
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = instruction_sets, sizes, gpu
}
criterion_main!(benches);
