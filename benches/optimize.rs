//! Whole searches, all in: 1000 simulations of 200 bars, per sharing, method and thread count; and
//! on a GPU, if there is one.

mod synthetic;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trisect::{
    Bounds, DirectOptions, Evaluate, EvaluateOptions, Evaluator, EvolutionOptions, ExactOptions,
    ExitRule, Groups, Method, OptimizeOptions, SearchTask, Sharing, optimize,
};

const SIMULATIONS: usize = 1000;

/// Bars of a simulation of the GPU's; each has a leg.
const LEGS: usize = 200;

fn searches(criterion: &mut Criterion) {
    let batch = synthetic::batch(SIMULATIONS, 200);
    let sharings = [
        ("per-simulation", Sharing::PerSimulation),
        ("chunks-of-16", Sharing::Chunks(16)),
        ("all", Sharing::All),
    ];
    let methods = [
        ("production", Method::Direct(DirectOptions::production())),
        ("fast", Method::Direct(DirectOptions::fast())),
        (
            "evolution",
            Method::Evolution(EvolutionOptions::production()),
        ),
        (
            "evolution-fast",
            Method::Evolution(EvolutionOptions::fast()),
        ),
        ("grid-22x22", Method::Grid { high: 22, low: 22 }),
        ("exact", Method::Exact(ExactOptions::default())),
    ];
    let mut group = criterion.benchmark_group("optimize");
    // A thousand simulations an iteration: microseconds per iteration are nanoseconds for one.
    group.throughput(Throughput::Elements(SIMULATIONS as u64));
    for threads in [1, 2] {
        let evaluate = EvaluateOptions {
            threads: Some(threads),
            ..EvaluateOptions::default()
        };
        let mut evaluator = Evaluator::cpu(&batch, &evaluate).expect("threads");
        for (method_name, method) in &methods {
            for (sharing_name, sharing) in &sharings {
                let options = OptimizeOptions {
                    sharing: sharing.clone(),
                    method: method.clone(),
                    ..OptimizeOptions::default()
                };
                let name = format!("{sharing_name}/{method_name}");
                let id = BenchmarkId::new(name, format!("{threads}-threads"));
                group.bench_function(id, |bencher| {
                    bencher.iter(|| optimize(&mut evaluator, &options, ()));
                });
            }
        }
    }
    group.finish();
}

/// Whole searches on the first GPU, the host's part included: a search per simulation, and one search
/// over all of them. Legs are resident, as after one transfer from pinned memory; "streamed": they lie
/// in pinned host memory, and all 480 MB pass through the device with every search, end to end.
///
/// Prints what a floor needs beside the time: legs times evaluations (on sm_90, 14 instructions of a
/// lane each, counted in the machine code), rounds, and the bytes of the legs.
fn searches_on_a_gpu(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("optimize-gpu");
    let (few, many, each) = (SIMULATIONS, 100 * SIMULATIONS, Sharing::PerSimulation);
    let streamed = Some(400 << 20);
    for (simulations, sharing_name, sharing, max_device_bytes) in [
        (few, "per-simulation", each.clone(), None),
        (many, "per-simulation", each.clone(), None),
        (many, "per-simulation-streamed", each, streamed),
        (few, "all", Sharing::All, None),
    ] {
        let batch = synthetic::batch(simulations, LEGS);
        let groups = Groups::new(&sharing, simulations).expect("simulations");
        let bounds = Bounds::symmetric(2, 0.03).expect("low < high");
        let evaluate = EvaluateOptions {
            max_device_bytes,
            ..EvaluateOptions::default()
        };
        let mut evaluator = match Evaluator::cuda(&batch, &[0], &evaluate) {
            Ok(evaluator) => evaluator,
            Err(why) => {
                println!("no GPU: {why}");
                return;
            }
        };
        let is_streamed = evaluator.device().contains("streamed");
        assert_eq!(is_streamed, max_device_bytes.is_some());
        group.throughput(Throughput::Elements(simulations as u64));
        for (name, options) in [
            ("production", DirectOptions::production()),
            ("fast", DirectOptions::fast()),
        ] {
            let task = SearchTask::new(&groups, &[ExitRule::Intraday], &bounds, &options);
            let task = task.expect("options in range");
            let mut search = || {
                let searches = evaluator.searches().expect("a GPU runs whole searches");
                let found = searches.search(&task).expect("a launch");
                found.expect("searches of few legs are worthwhile")
            };
            let found = search();
            assert_eq!(found.len(), groups.len());
            assert!(found.iter().all(|found| found.value.is_finite()));
            let per_search = (simulations / groups.len() * LEGS) as u64;
            let scored: u64 = found
                .iter()
                .map(|found| found.evaluations * per_search)
                .sum();
            let rounds = found.iter().map(|found| found.rounds).max();
            println!(
                "{sharing_name}/{name}/{simulations}: {scored} legs scored, {} rounds, {} bytes of legs",
                rounds.unwrap_or(0),
                24 * simulations * LEGS
            );
            let id = BenchmarkId::new(sharing_name, format!("{name}/{simulations}"));
            group.bench_function(id, |bencher| bencher.iter(&mut search));
        }
    }
    group.finish();
}

/// All in for 100,000 simulations: legs derived, packed into pinned memory, sent, searched, results
/// fetched. The transfer of 480 MB is the floor.
fn end_to_end_on_a_gpu(criterion: &mut Criterion) {
    let simulations = 100 * SIMULATIONS;
    let batch = synthetic::batch(simulations, LEGS);
    let groups = Groups::new(&Sharing::PerSimulation, simulations).expect("simulations");
    let bounds = Bounds::symmetric(2, 0.03).expect("low < high");
    let options = DirectOptions::production();
    let task = SearchTask::new(&groups, &[ExitRule::Intraday], &bounds, &options);
    let task = task.expect("options in range");
    let evaluate = EvaluateOptions::default();
    // Keeps the device's context, which takes longer to make than all that is measured.
    let one = synthetic::batch(1, 1);
    let _kept = match Evaluator::cuda(&one, &[0], &evaluate) {
        Ok(kept) => kept,
        Err(why) => {
            println!("no GPU: {why}");
            return;
        }
    };
    let mut group = criterion.benchmark_group("optimize-gpu");
    group.throughput(Throughput::Elements(simulations as u64));
    group.bench_function("end-to-end/production/100000", |bencher| {
        bencher.iter(|| {
            let mut evaluator = Evaluator::cuda(&batch, &[0], &evaluate).expect("a GPU");
            let searches = evaluator.searches().expect("a GPU runs whole searches");
            let found = searches.search(&task).expect("a launch");
            found.expect("searches of few legs are worthwhile")
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = searches, searches_on_a_gpu, end_to_end_on_a_gpu
}
criterion_main!(benches);
