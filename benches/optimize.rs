//! Whole searches, all in: 1000 simulations of 200 bars, per sharing, method and thread count; and
//! on a GPU, if there is one.

mod synthetic;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trisect::{
    Bounds, DirectOptions, Evaluate, EvaluateOptions, Evaluator, EvolutionOptions, ExactOptions,
    ExitRule, Groups, Method, OptimizeOptions, SearchTask, Sharing, optimize,
};

const SIMULATIONS: usize = 1000;

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

/// Whole searches on the first GPU, a search per simulation: the host's part included.
fn searches_on_a_gpu(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("optimize-gpu");
    for simulations in [SIMULATIONS, 100 * SIMULATIONS] {
        let batch = synthetic::batch(simulations, 200);
        let groups = Groups::new(&Sharing::PerSimulation, simulations).expect("simulations");
        let bounds = Bounds::symmetric(2, 0.03).expect("low < high");
        let evaluate = EvaluateOptions::default();
        let mut evaluator = match Evaluator::cuda(&batch, &[0], &evaluate) {
            Ok(evaluator) => evaluator,
            Err(why) => {
                println!("no GPU: {why}");
                return;
            }
        };
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
            assert_eq!(found.len(), simulations);
            assert!(found.iter().all(|found| found.value.is_finite()));
            let id = BenchmarkId::new("per-simulation", format!("{name}/{simulations}"));
            group.bench_function(id, |bencher| bencher.iter(&mut search));
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = searches, searches_on_a_gpu
}
criterion_main!(benches);
