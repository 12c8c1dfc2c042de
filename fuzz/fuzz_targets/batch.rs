//! Any numbers are a batch or a typed error; every instruction set gives a batch's profits the
//! same bits, and these are close to the f64 specification.
//!
//! Input: a byte of switches, a byte of candidates, a byte of bars per simulation, then values.
//! In tame form a value is one byte: multiples of 1/128 in `[-1, 1)`, so that levels often meet
//! prices exactly. In raw form it is the four bytes of an f32: NaN, infinities, subnormals.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trisect::{
    Batch, Candidates, Error, EvaluateOptions, Evaluator, ExitRule, Fields, Groups, Leg,
    Multipliers, Sharing, Simd, Simulation, Weights, canonical_profit,
};

/// Beyond this the run is slow and finds nothing new: a simulation of 64 bars has every lane twice.
const MAX_BARS: usize = 256;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[switches, pairs, length], mut values)) = bytes.split_first_chunk() else {
        return;
    };
    let tame = switches & 1 != 0;
    let as_f64 = switches & 2 != 0;
    let exit_rule = if switches & 4 != 0 {
        ExitRule::AtClose
    } else {
        ExitRule::Intraday
    };
    let always_on = switches & 8 != 0;
    let sell = switches & 16 != 0;
    let fee = if switches & 32 != 0 { 0.008 } else { 0.0 };

    let mut next = || -> Option<f32> {
        if tame {
            let (&byte, rest) = values.split_first()?;
            values = rest;
            Some(f32::from(byte as i8) / 128.0)
        } else {
            let (bits, rest) = values.split_first_chunk()?;
            values = rest;
            Some(f32::from_le_bytes(*bits))
        }
    };

    let mut candidates = vec![Multipliers::BASELINE];
    for _ in 0..pairs % 40 {
        let (Some(high), Some(low)) = (next(), next()) else {
            return;
        };
        candidates.push(Multipliers::new(high, low));
    }

    let mut columns: [Vec<f32>; 7] = Default::default();
    'bars: while columns[0].len() < MAX_BARS {
        let mut bar = [0.0; 7];
        for value in &mut bar {
            match next() {
                Some(number) => *value = number,
                None => break 'bars,
            }
        }
        // Tame bars are valid but for a low of -1, or most inputs would end here.
        if tame && bar[2] > bar[1] {
            bar.swap(1, 2);
        }
        for (column, value) in columns.iter_mut().zip(bar) {
            column.push(value);
        }
    }

    let bars = columns[0].len();
    let length = usize::from(length % 80) + 1;
    let mut lengths = vec![length; bars / length];
    if bars % length > 0 {
        lengths.push(bars % length);
    }
    let built = if as_f64 {
        let wide = columns.each_ref().map(|column| {
            let wide: Vec<f64> = column.iter().map(|&value| value.into()).collect();
            wide
        });
        build(
            &lengths,
            wide.each_ref().map(Vec::as_slice),
            always_on,
            sell,
        )
    } else {
        build(
            &lengths,
            columns.each_ref().map(Vec::as_slice),
            always_on,
            sell,
        )
    };
    let batch = match built {
        Ok(batch) => batch,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!((batch.len(), batch.bars()), (lengths.len(), bars));

    let Ok(shared) = Candidates::shared(candidates.clone()) else {
        return;
    };
    let groups = Groups::new(&Sharing::All, batch.len()).expect("one group of all simulations");
    let mut expected = Vec::new();
    for simulation in batch.simulations() {
        let legs: Vec<Leg> = simulation
            .positions()
            .filter_map(|(bar, position)| Leg::new(&bar, position, fee as f32))
            .collect();
        for &pair in &candidates {
            let profit = canonical_profit(&legs, pair, fee as f32, exit_rule);
            check_against_f64(&simulation, pair, fee, exit_rule, profit);
            expected.push(profit.to_bits());
        }
    }

    for simd in Simd::available() {
        let options = EvaluateOptions {
            fee,
            simd: Some(simd),
            ..EvaluateOptions::default()
        };
        let mut evaluator = Evaluator::cpu(&batch, &options).expect("an available instruction set");
        let mut profits = vec![0.0; expected.len()];
        evaluator
            .profits(&groups, &shared, exit_rule, &mut profits)
            .expect("groups and candidates fit the batch");
        for (index, (profit, &expected)) in profits.iter().zip(&expected).enumerate() {
            assert_eq!(
                profit.to_bits(),
                expected,
                "{simd:?}, simulation {}, candidate {}: {profit} not {}",
                index / candidates.len(),
                index % candidates.len(),
                f32::from_bits(expected)
            );
        }
    }
});

fn build<T: trisect::Element>(
    lengths: &[usize],
    [close, high, low, high_pred, low_pred, first, second]: [&[T]; 7],
    always_on: bool,
    sell: bool,
) -> Result<Batch, Error> {
    let weights = if always_on {
        Weights::AlwaysOn {
            buy: first,
            sell: sell.then_some(second),
        }
    } else {
        Weights::EntryExit(first)
    };
    let fields = Fields {
        close,
        high,
        low,
        high_pred,
        low_pred,
        weights,
    };
    Batch::from_slices(lengths, fields)
}

/// A wrong gate costs far more than rounding, which grows with the magnitudes that cancel.
fn check_against_f64(
    simulation: &Simulation<'_>,
    pair: Multipliers,
    fee: f64,
    exit_rule: ExitRule,
    profit: f32,
) {
    let expected = simulation.profit(pair, fee, exit_rule);
    let reach: f32 = simulation
        .positions()
        .map(|(bar, position)| {
            let level = bar.high_pred.abs() + bar.low_pred.abs() + pair.high.abs() + pair.low.abs();
            position.abs().min(10.0) * (1.0 + bar.close.abs() + level)
        })
        .sum();
    let error = (f64::from(profit) - expected).abs();
    // 1e-40: terms below the least normal f32 round to multiples of 1.4e-45 each.
    assert!(
        error <= 2e-6 * f64::from(reach) + 1e-40,
        "{profit} in canonical order, {expected} in f64, at {pair:?}"
    );
}
