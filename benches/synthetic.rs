//! Seeded batches for the benches and the example `strategies`. Not a bench of its own.

use trisect::{Batch, Fields, Multipliers, Weights};

/// SplitMix64: the same numbers everywhere.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        low + (high - low) * ((z >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// What the forecasts of a batch know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "not every bench draws noise")]
pub enum Forecasts {
    /// Off by at most 1 %.
    Skilled,
    /// Nothing: they are drawn as the bars are, from other numbers.
    Noise,
}

/// `simulations` windows of `bars` bars: skilled forecasts, long and short positions at random.
#[allow(dead_code, reason = "the example draws both kinds")]
pub fn batch(simulations: usize, bars: usize) -> Batch {
    drawn(simulations, bars, Forecasts::Skilled, 1)
}

/// `simulations` windows of `bars` bars, long and short positions at random.
pub fn drawn(simulations: usize, bars: usize, forecasts: Forecasts, seed: u64) -> Batch {
    let mut rng = Rng::new(seed);
    let mut builder = Batch::builder();
    let mut columns: [Vec<f32>; 6] = Default::default();
    for _ in 0..simulations {
        columns.iter_mut().for_each(Vec::clear);
        for _ in 0..bars {
            let (close, high, low) = moves(&mut rng);
            let (high_pred, low_pred) = match forecasts {
                Forecasts::Skilled => (
                    high + rng.between(-0.01, 0.01),
                    low + rng.between(-0.01, 0.01),
                ),
                Forecasts::Noise => {
                    let (_, high, low) = moves(&mut rng);
                    (high, low)
                }
            };
            let position = rng.between(-1.0, 1.0).signum();
            let bar = [close, high, low, high_pred, low_pred, position];
            for (column, value) in columns.iter_mut().zip(bar) {
                column.push(value as f32);
            }
        }
        let [close, high, low, high_pred, low_pred, position] = &columns;
        let simulation = Fields {
            close: &close[..],
            high,
            low,
            high_pred,
            low_pred,
            weights: Weights::EntryExit(&position[..]),
        };
        builder.push(simulation).expect("drawn within the limits");
    }
    builder.build().expect("at least one simulation")
}

/// Close, high and low of a bar.
fn moves(rng: &mut Rng) -> (f64, f64, f64) {
    let close = rng.between(-0.03, 0.03);
    let high = close.max(0.0) + rng.between(0.0, 0.02);
    let low = close.min(0.0) - rng.between(0.0, 0.02);
    (close, high, low)
}

/// `count` pairs within ±0.03.
#[allow(dead_code, reason = "not every bench scores a list")]
pub fn candidates(count: usize) -> Vec<Multipliers> {
    let mut rng = Rng::new(2);
    let mut value = || rng.between(-0.03, 0.03) as f32;
    (0..count)
        .map(|_| Multipliers::new(value(), value()))
        .collect()
}
