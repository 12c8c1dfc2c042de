//! Memory held and needed, counted by the allocator. A binary of its own whose parts run one after
//! the other, because every other test would be counted, too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use trisect::{
    Batch, DirectOptions, EQUITY_FEE, Error, Evaluate, EvaluateOptions, Evaluator, ExactOptions,
    ExactSolver, ExitRule, Fields, FlatRegion, Method, OptimizeOptions, Progress, RobustOptions,
    Sharing, Weights, flat_region, optimize, robust_optimum,
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
fn memory_stays_within_what_is_stated() {
    a_batch_and_its_search_stay_within_the_stated_memory();
    an_exact_optimum_takes_at_most_64_bytes_per_leg();
    a_limit_on_memory_is_kept_or_refused();
    #[cfg(feature = "csv")]
    csv::a_long_text_streams_in_bounded_memory();
}

#[cfg(feature = "csv")]
mod csv {
    use std::io::{self, Read, Write};

    use trisect::{ReadOptions, csv_symbols, read_csv};

    use super::peak;

    /// Bars of one symbol: a year of minutes of an exchange.
    const BARS: u64 = 100_000;

    /// Text of so many bytes or a few more, never held: rows of one symbol after the other.
    struct Rows {
        left: u64,
        row: u64,
        ready: Vec<u8>,
        used: usize,
    }

    impl Read for Rows {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.used == self.ready.len() && self.left > 0 {
                self.ready.clear();
                self.used = 0;
                // A few thousand bytes at a time.
                for _ in 0..64 {
                    let (symbol, bar) = (self.row / BARS, self.row % BARS);
                    let time = 1_000_000_000 + 60 * bar;
                    let cents = bar * 7919 % 1000;
                    writeln!(
                        self.ready,
                        "S{symbol},{time},100.{cents:03},102.125,98.5,101.{cents:03},{bar}"
                    )?;
                    self.row += 1;
                }
                self.left = self.left.saturating_sub(self.ready.len() as u64);
            }
            let count = (&self.ready[self.used..]).read(buffer)?;
            self.used += count;
            Ok(count)
        }
    }

    fn rows(bytes: u64) -> Rows {
        Rows {
            left: bytes,
            row: 0,
            ready: b"symbol,time,open,high,low,close,volume\n".to_vec(),
            used: 0,
        }
    }

    /// `TRISECT_TEST_CSV_MIB`: MiB of text, for a run by hand; 64 by default.
    pub fn a_long_text_streams_in_bounded_memory() {
        let mib = std::env::var("TRISECT_TEST_CSV_MIB").map_or(64, |mib| mib.parse().unwrap());
        let options = ReadOptions::default();
        let (bars, beyond) = peak(|| {
            let symbols = csv_symbols(rows(mib << 20), "long.csv", &options).unwrap();
            symbols
                .map(|prices| prices.unwrap().len() as u64)
                .sum::<u64>()
        });
        println!("{mib} MiB of CSV, {bars} bars one symbol at a time: {beyond} bytes at most");
        assert!(bars > (mib << 20) / 64, "{bars} bars");
        // Columns grow by doubling: at most twice the 56 bytes of a bar, one column half as large
        // again while it moves, and the 48 bytes of the symbol that was handed out.
        assert!(
            beyond as u64 <= BARS * (2 * 56 + 8 + 48) + 1_000_000,
            "{beyond} bytes"
        );

        let mib = mib.min(64);
        let (read, beyond) = peak(|| read_csv(rows(mib << 20), "long.csv", &options).unwrap());
        let bars: usize = read.prices.iter().map(|prices| prices.len()).sum();
        println!("{mib} MiB of CSV, {bars} bars at once: {beyond} bytes at most");
        assert!(beyond <= bars * (2 * 56 + 8) + 1_000_000, "{beyond} bytes");
    }
}

/// One simulation of so many bars; forecasts that know the bar, or that lie anywhere around usual
/// levels, so that the profit is flat around its optimum.
fn pooled(bars: usize, skilled: bool) -> Batch {
    let mut state = 1_u64;
    let mut between = |low: f64, high: f64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (low + (high - low) * ((state >> 11) as f64 / (1_u64 << 53) as f64)) as f32
    };
    let mut columns: [Vec<f32>; 6] = Default::default();
    for _ in 0..bars {
        let close = between(-0.03, 0.03);
        let high = close.max(0.0) + between(0.0, 0.02);
        let low = close.min(0.0) - between(0.0, 0.02);
        let (high_pred, low_pred) = if skilled {
            (high + between(-0.01, 0.01), low + between(-0.01, 0.01))
        } else {
            (between(0.0, 0.03), between(-0.03, 0.0))
        };
        let position = between(-1.0, 1.0).signum();
        let bar = [close, high, low, high_pred, low_pred, position];
        for (column, value) in columns.iter_mut().zip(bar) {
            column.push(value);
        }
    }
    let [close, high, low, high_pred, low_pred, position] = &columns;
    let fields = Fields {
        close: &close[..],
        high,
        low,
        high_pred,
        low_pred,
        weights: Weights::EntryExit(&position[..]),
    };
    Batch::from_slices(&[bars], fields).unwrap()
}

const BOX: (f32, f32) = (-0.03, 0.03);

/// The most that `f` holds at once, in bytes beyond what is held before.
fn peak<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let held = HELD.load(Ordering::Relaxed);
    PEAK.store(held, Ordering::Relaxed);
    let result = f();
    (result, PEAK.load(Ordering::Relaxed) - held)
}

fn an_exact_optimum_takes_at_most_64_bytes_per_leg() {
    let legs = 200_000;
    for (skilled, rule) in [
        (true, ExitRule::Intraday),
        (false, ExitRule::Intraday),
        (true, ExitRule::AtClose),
    ] {
        let batch = pooled(legs, skilled);
        let mut solver = ExactSolver::new();
        let options = ExactOptions::default();
        let before = HELD.load(Ordering::Relaxed);
        let (best, beyond) =
            peak(|| solver.solve(&batch, &[0], EQUITY_FEE, rule, BOX, BOX, &options));
        assert!(best.unwrap().is_proved());
        let held = HELD.load(Ordering::Relaxed) - before;
        println!("skilled {skilled}, {rule}: {held} bytes held, {beyond} at most");
        assert!(beyond <= 64 * legs, "{beyond} bytes for {legs} legs");
        let stated = solver.bytes();
        // The first buffers of a sweep have a fixed size and are not stated.
        assert!(
            held.abs_diff(stated) < 50_000,
            "{held} held, {stated} stated"
        );
    }
}

fn a_limit_on_memory_is_kept_or_refused() {
    let rule = ExitRule::Intraday;
    let (mut kept, mut refused) = (0, 0);
    for legs in [500, 3000, 100_000] {
        let batch = pooled(legs, false);
        let free = ExactOptions::default();
        let solve = |options: &ExactOptions| {
            ExactSolver::new().solve(&batch, &[0], EQUITY_FEE, rule, BOX, BOX, options)
        };
        let best = solve(&free).unwrap();
        for per_leg in [1, 10, 20, 30, 50, 100, 200, 300, 500] {
            let limit = per_leg * legs;
            let options = ExactOptions {
                max_bytes: Some(limit),
                ..free
            };
            let robust = RobustOptions {
                max_boxes: 3,
                max_bytes: Some(limit),
                ..RobustOptions::default()
            };
            let mut check = |result: Result<(), Error>, bytes: usize| match result {
                Ok(()) => {
                    kept += 1;
                    // Buffers of a fixed size come on top.
                    let allowed = limit + 100_000;
                    assert!(bytes <= allowed, "{legs} legs: {bytes} of {limit} bytes");
                }
                Err(Error::Memory { needed, limit, .. }) => {
                    refused += 1;
                    assert!(Some(needed) > limit, "{legs} legs: {needed} needed");
                }
                Err(error) => panic!("{error}"),
            };
            let (found, bytes) = peak(|| solve(&options));
            check(
                found.map(|found| assert_eq!(found.profit, best.profit)),
                bytes,
            );
            let (found, bytes) = peak(|| {
                robust_optimum(&batch, &[0], EQUITY_FEE, rule, BOX, BOX, &robust).map(drop)
            });
            check(found, bytes);
            if legs < 1000 {
                let max_bytes = options.max_bytes;
                let region = || -> Result<FlatRegion, Error> {
                    let (share, fee) = (0.95, EQUITY_FEE);
                    flat_region(&batch, &[0], fee, rule, BOX, BOX, &best, share, max_bytes)
                };
                let (found, bytes) = peak(region);
                check(found.map(drop), bytes);
            }
        }
    }
    println!("{kept} kept, {refused} refused");
    assert!(kept > 15 && refused > 15, "{kept} kept, {refused} refused");
}

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
