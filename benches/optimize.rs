//! Whole searches, all in: 1000 simulations of 200 bars, per sharing, method and thread count.

mod synthetic;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trisect::{
    DirectOptions, EvaluateOptions, Evaluator, EvolutionOptions, ExactOptions, Method,
    OptimizeOptions, Sharing, optimize,
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

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = searches
}
criterion_main!(benches);
