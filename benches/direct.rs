//! Bookkeeping of DIRECT: what a search costs beside its objective, in evaluations per second.
//!
//! The objective is the six-hump camel, a dozen flops, shifted a little per search so that the
//! searches differ. It is part of the measured time (about 3 ns per evaluation).
//!
//! `lockstep` is the driver's case: 1000 searches of 500 evaluations that are alive together and
//! take turns, one round each. `single` is one long search.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use trisect::{Bounds, Direct, DirectOptions, Selection, SizeMeasure};

const RULES: [(&str, Selection, SizeMeasure); 5] = [
    ("hull-side", Selection::ConvexHull, SizeMeasure::LongestSide),
    (
        "hull-diagonal",
        Selection::ConvexHull,
        SizeMeasure::HalfDiagonal,
    ),
    (
        "scipy-side",
        Selection::ScipyCompat,
        SizeMeasure::LongestSide,
    ),
    (
        "scipy-diagonal",
        Selection::ScipyCompat,
        SizeMeasure::HalfDiagonal,
    ),
    (
        "aggressive-side",
        Selection::Aggressive,
        SizeMeasure::LongestSide,
    ),
];

fn camel(x: &[f64], shift: f64) -> f64 {
    let (x, y) = (x[0] - shift, x[1] + shift);
    let (a, b) = (x * x, y * y);
    (4.0 - 2.1 * a + a * a / 3.0) * a + x * y + (-4.0 + 4.0 * b) * b
}

fn search(selection: Selection, size_measure: SizeMeasure, max_evaluations: usize) -> Direct {
    let bounds = Bounds::new(&[(-3.0, 3.0), (-2.0, 2.0)]).expect("a valid box");
    let options = DirectOptions {
        selection,
        size_measure,
        max_evaluations,
        volume_tolerance: 0.0,
        side_tolerance: 0.0,
        ..DirectOptions::default()
    };
    Direct::new(bounds, options).expect("valid options")
}

/// Runs all searches to their end, one round each in turn; returns the evaluations made.
fn lockstep(searches: &mut [Direct]) -> usize {
    let mut values = Vec::new();
    loop {
        let mut alive = false;
        for (i, search) in searches.iter_mut().enumerate() {
            if search.stop().is_some() {
                continue;
            }
            alive = true;
            let shift = i as f64 * 1e-4;
            values.clear();
            values.extend(search.ask().chunks_exact(2).map(|x| camel(x, shift)));
            search.tell(&values).expect("one value per point");
        }
        if !alive {
            break;
        }
    }
    searches.iter().map(Direct::evaluations).sum()
}

fn bookkeeping(c: &mut Criterion) {
    for (group, searches, evaluations) in [
        ("direct/lockstep", 1000, 500),
        ("direct/single", 1, 10_000),
        ("direct/single", 1, 100_000),
    ] {
        let mut group = c.benchmark_group(group);
        group.sample_size(20);
        for (name, selection, size_measure) in RULES {
            let fresh = vec![search(selection, size_measure, evaluations); searches];
            let mut finished = fresh.clone();
            let total = lockstep(&mut finished);
            assert!(
                total >= searches * evaluations * 9 / 10,
                "{name}: the searches ended early, after {total} evaluations"
            );
            let bytes: usize = finished.iter().map(Direct::bytes).sum();
            println!("{name}: {} heap bytes per search", bytes / searches);
            group.throughput(Throughput::Elements(total as u64));
            group.bench_with_input(BenchmarkId::new(name, evaluations), &fresh, |b, fresh| {
                b.iter_batched_ref(
                    || fresh.clone(),
                    |searches| black_box(lockstep(searches)),
                    BatchSize::LargeInput,
                );
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bookkeeping);
criterion_main!(benches);
