//! Memory held and needed, counted by the allocator. A binary of its own with one test, because
//! every other test would be counted, too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use trisect::{
    Batch, DirectOptions, Evaluate, EvaluateOptions, Evaluator, Fields, Method, OptimizeOptions,
    Progress, Sharing, Weights, optimize,
};

/// The system's allocator, counting bytes held and their peak.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to `System` unchanged, which upholds the contract; the counters
// allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout`, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise that `pointer` came from `alloc` with `layout`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A twentieth of the stated 100,000 simulations.
const SIMULATIONS: usize = 5_000;
const BARS: usize = 200;
const SCALE: usize = 20;

fn batch() -> Batch {
    let bars = SIMULATIONS * BARS;
    let wave = |seed: usize, size: f32| -> Vec<f32> {
        (0..bars)
            .map(|t| size * (((t * seed) % 1009) as f32 / 1009.0 - 0.5))
            .collect()
    };
    let close = wave(7, 0.04);
    let above = wave(31, 0.02);
    let high: Vec<f32> = close.iter().zip(&above).map(|(c, a)| c + a.abs()).collect();
    let low: Vec<f32> = close.iter().zip(&above).map(|(c, a)| c - a.abs()).collect();
    let position: Vec<f32> = wave(613, 2.0).iter().map(|x| x.signum()).collect();
    let columns = Fields {
        close: &close[..],
        high: &high,
        low: &low,
        high_pred: &wave(101, 0.05),
        low_pred: &wave(211, 0.05),
        weights: Weights::EntryExit(&position),
    };
    Batch::from_slices(&[BARS; SIMULATIONS], columns).unwrap()
}

#[test]
fn a_batch_and_its_search_stay_within_the_stated_memory() {
    let before = HELD.load(Ordering::Relaxed);
    let batch = batch();
    let options = EvaluateOptions {
        threads: Some(2),
        ..EvaluateOptions::default()
    };
    let mut evaluator = Evaluator::cpu(&batch, &options).unwrap();
    let held = HELD.load(Ordering::Relaxed) - before;
    let stated = batch.bytes() + evaluator.bytes();
    println!("batch and legs: {held} bytes, stated {stated}");
    assert!(held <= (1 << 30) / SCALE, "{held} bytes held");
    // What the library says it holds is what it holds, up to its own small parts.
    assert!(
        held.abs_diff(stated) < 100_000,
        "{held} held, {stated} stated"
    );
    assert_eq!(evaluator.batch().bars(), SIMULATIONS * BARS);

    // Watched, so that all searches are alive at once, which is what needs most.
    let watch = |_: &Progress<'_>| ControlFlow::Continue(());
    let limits = [(Sharing::Chunks(16), 256 << 20), (Sharing::All, 64 << 20)];
    for (sharing, limit) in limits {
        let options = OptimizeOptions {
            sharing,
            method: Method::Direct(DirectOptions::production()),
            ..OptimizeOptions::default()
        };
        let held = HELD.load(Ordering::Relaxed);
        PEAK.store(held, Ordering::Relaxed);
        let outcome = optimize(&mut evaluator, &options, watch).unwrap();
        let beyond = PEAK.load(Ordering::Relaxed) - held;
        println!("{:?}: {beyond} bytes beyond", options.sharing);
        assert!(outcome.evaluations > 400);
        assert!(beyond <= limit / SCALE, "{beyond} bytes beyond");
    }
}
