//! Seeded inputs for the tests of this binary.

use std::path::PathBuf;

use trisect::{Batch, Fields, Leg, Multipliers, Simulation, Weights};

/// Folder of the package. Cargo says where it is now; without cargo, whoever moved the test's
/// binary says it the same way, or it is where it was compiled.
pub fn package() -> PathBuf {
    let now = std::env::var_os("CARGO_MANIFEST_DIR");
    now.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Whether something that a test needs must be there: `TRISECT_TEST_REQUIRE` lists such things,
/// separated by commas. What is missing otherwise ends the test with its reason.
pub fn required(what: &str) -> bool {
    let required = std::env::var("TRISECT_TEST_REQUIRE").unwrap_or_default();
    required.split(',').any(|word| word.trim() == what)
}

/// Folder for what tests write, as [`package`] is found.
pub fn scratch() -> PathBuf {
    let now = std::env::var_os("CARGO_TARGET_TMPDIR");
    now.map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from)
}

/// SplitMix64: small, seeded, the same everywhere.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        low + (high - low) * unit
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// What kind of bars to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Forecasts near what happened.
    Skilled,
    /// Everything on a grid of 2^-10, so that gates tie exactly.
    Ties,
    /// Positions beyond ±10, zeros, moves above +1000 %, lows near -1, levels at the clamps.
    Wild,
}

pub const KINDS: [Kind; 3] = [Kind::Skilled, Kind::Ties, Kind::Wild];

/// Columns of one simulation.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    pub close: Vec<f32>,
    pub high: Vec<f32>,
    pub low: Vec<f32>,
    pub high_pred: Vec<f32>,
    pub low_pred: Vec<f32>,
    pub position: Vec<f32>,
    pub sell: Vec<f32>,
}

impl Columns {
    pub fn draw(rng: &mut Rng, kind: Kind, bars: usize) -> Self {
        let mut columns = Self::default();
        for _ in 0..bars {
            columns.push(rng, kind);
        }
        columns
    }

    fn push(&mut self, rng: &mut Rng, kind: Kind) {
        let snap = |x: f64| match kind {
            Kind::Ties => (x * 1024.0).round() / 1024.0,
            _ => x,
        } as f32;
        let close = rng.between(-0.03, 0.03);
        let high = close.max(0.0) + rng.between(0.0, 0.02);
        let low = close.min(0.0) - rng.between(0.0, 0.02);
        let high_pred = high + rng.between(-0.01, 0.01);
        let low_pred = low + rng.between(-0.01, 0.01);
        let position = rng.between(-1.0, 1.0);
        let mut bar = [close, high, low, high_pred, low_pred, position].map(snap);
        if kind == Kind::Wild {
            match rng.below(12) {
                0 => bar[5] = 12.5,
                1 => bar[5] = -11.0,
                2 => bar[5] = 0.0,
                3 => bar[1] = 11.0,
                4 => (bar[1], bar[3]) = (10.0, 9.99),
                5 => bar[1] = 25.0,
                6 => bar[2] = -0.999,
                7 => (bar[2], bar[4]) = (-0.98, -0.99),
                8 => (bar[3], bar[4]) = (-0.02, 0.02),
                9 => bar[1] = bar[1].max(1.5),
                10 => (bar[1], bar[2], bar[0]) = (0.0, 0.0, 0.0),
                _ => {}
            }
        }
        self.close.push(bar[0]);
        self.high.push(bar[1]);
        self.low.push(bar[2]);
        self.high_pred.push(bar[3]);
        self.low_pred.push(bar[4]);
        self.position.push(bar[5]);
        self.sell.push(-bar[5].abs());
    }

    pub fn entry_exit(&self) -> Simulation<'_> {
        self.with(Weights::EntryExit(&self.position))
    }

    pub fn always_on(&self, with_sell: bool) -> Simulation<'_> {
        self.with(Weights::AlwaysOn {
            buy: &self.position,
            sell: with_sell.then_some(&self.sell),
        })
    }

    fn with<'a>(&'a self, weights: Weights<&'a [f32]>) -> Simulation<'a> {
        Fields {
            close: &self.close,
            high: &self.high,
            low: &self.low,
            high_pred: &self.high_pred,
            low_pred: &self.low_pred,
            weights,
        }
    }
}

/// A ragged entry-exit batch: lengths drawn from 1 to `longest`.
pub fn ragged(rng: &mut Rng, kind: Kind, simulations: usize, longest: usize) -> Batch {
    let mut builder = Batch::builder();
    for _ in 0..simulations {
        let bars = 1 + rng.below(longest);
        let columns = Columns::draw(rng, kind, bars);
        builder.push(columns.entry_exit()).unwrap();
    }
    builder.build().unwrap()
}

/// Candidates around the box, some of them aimed at the gates of the batch.
pub fn candidates(rng: &mut Rng, batch: &Batch, count: usize) -> Vec<Multipliers> {
    let aimed = |rng: &mut Rng| {
        let simulation = batch.simulation(rng.below(batch.len())).unwrap();
        let bar = simulation.bar(rng.below(simulation.bars())).unwrap();
        Multipliers::new(bar.high - bar.high_pred, bar.low - bar.low_pred)
    };
    (0..count)
        .map(|index| match index % 3 {
            0 => aimed(rng),
            _ => Multipliers::new(
                rng.between(-0.04, 0.04) as f32,
                rng.between(-0.04, 0.04) as f32,
            ),
        })
        .collect()
}

/// The legs of a simulation in order.
pub fn legs(simulation: &Simulation<'_>, fee: f32) -> Vec<Leg> {
    simulation
        .positions()
        .filter_map(|(bar, position)| Leg::new(&bar, position, fee))
        .collect()
}

/// Sum of the magnitudes that make up a simulation's profit: the scale of its rounding errors.
pub fn magnitude(simulation: &Simulation<'_>) -> f64 {
    let reach = |x: f32| f64::from(x.abs());
    simulation
        .positions()
        .map(|(bar, position)| {
            reach(position).min(10.0) * (reach(bar.high) + reach(bar.low) + reach(bar.close))
        })
        .sum()
}
