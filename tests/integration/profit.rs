//! Legs and their breakpoints against the formula.

use proptest::prelude::*;
use trisect::{
    Bar, CRYPTO_FEE, EQUITY_FEE, ExitRule, Leg, Multipliers, Side, canonical_profit, profit,
};

use crate::support::{Columns, KINDS, Kind, Rng};

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

/// The floats from 3 below `x` to 3 above it, as far as they are finite.
fn around(x: f32) -> Vec<f32> {
    let mut all = vec![x];
    let (mut below, mut above) = (x, x);
    for _ in 0..3 {
        below = below.next_down();
        above = above.next_up();
        all.extend([below, above]);
    }
    all.retain(|x| x.is_finite());
    all
}

/// The four comparisons as the formula states them, on f32 sums.
fn gates(bar: &Bar, h: f32, l: f32, side: Side) -> (bool, bool) {
    let high = (bar.high_pred + h).clamp(0.0, 10.0);
    let low = (bar.low_pred + l).clamp(-1.0, 0.0);
    match side {
        Side::Long => (high <= bar.high, low > bar.low),
        Side::Short => (high < bar.high, low >= bar.low),
    }
}

fn draw_bars(seed: u64, kind: Kind, count: usize) -> Vec<(Bar, f32)> {
    let columns = Columns::draw(&mut Rng::new(seed), kind, count);
    columns.entry_exit().positions().collect()
}

#[test]
fn breakpoints_decide_as_the_formula_within_3_ulps_of_every_gate() {
    let mut checked = 0;
    for kind in KINDS {
        for (bar, position) in draw_bars(1, kind, 4000) {
            let Some(leg) = Leg::new(&bar, position, 0.0) else {
                continue;
            };
            // Around each breakpoint, where the level meets the bar, and where clamps begin.
            let of_high = [
                leg.high_gate,
                bar.high - bar.high_pred,
                -bar.high_pred,
                10.0 - bar.high_pred,
                0.0,
            ];
            for h in of_high.into_iter().flat_map(around) {
                let expected = gates(&bar, h, 0.0, leg.side).0;
                assert_eq!(h <= leg.high_gate, expected, "{bar:?} {leg:?} h = {h:e}");
                checked += 1;
            }
            let of_low = [
                leg.low_gate,
                bar.low - bar.low_pred,
                -bar.low_pred,
                -1.0 - bar.low_pred,
                0.0,
            ];
            for l in of_low.into_iter().flat_map(around) {
                let expected = gates(&bar, 0.0, l, leg.side).1;
                assert_eq!(l >= leg.low_gate, expected, "{bar:?} {leg:?} l = {l:e}");
                checked += 1;
            }
        }
    }
    assert!(checked > 500_000, "only {checked} comparisons");
}

#[test]
fn a_leg_is_worth_what_the_formula_says_on_both_sides_of_every_gate() {
    let mut traded = 0;
    for kind in KINDS {
        for (bar, position) in draw_bars(2, kind, 2000) {
            for fee in [0.0, EQUITY_FEE, CRYPTO_FEE] {
                let Some(leg) = Leg::new(&bar, position, fee as f32) else {
                    assert_eq!(position, 0.0);
                    continue;
                };
                let finite = |x: f32| if x.is_finite() { x } else { 0.0 };
                for h in around(finite(leg.high_gate)) {
                    for l in around(finite(leg.low_gate)) {
                        for rule in RULES {
                            let pair = Multipliers::new(h, l);
                            let expected = profit(&bar, position, pair, fee, rule);
                            let got = canonical_profit(&[leg], pair, fee as f32, rule);
                            let reach = bar.high.abs() + bar.low.abs() + bar.close.abs();
                            // A sum in f32 near a far-away level is only as fine as that level.
                            let scale = reach + h.abs() + l.abs() + fee as f32;
                            let bound = 1e-6 * f64::from(position.abs() * scale);
                            let error = (f64::from(got) - expected).abs();
                            assert!(error <= bound, "{bar:?} {leg:?} {pair:?} {rule}");
                            traded += usize::from(expected != 0.0);
                        }
                    }
                }
            }
        }
    }
    assert!(traded > 100_000, "only {traded} trades");
}

#[test]
fn a_wrong_gate_would_be_noticed() {
    // The property behind the test above: next to a gate the profit jumps, by far more than the
    // tolerance. Bought at -1 %, and the low was exactly -1 %: not entered, one ulp higher it is.
    let bar = Bar {
        close: 0.01,
        high: 0.02,
        low: -0.01,
        high_pred: 0.03,
        low_pred: -0.01,
    };
    let leg = Leg::new(&bar, 1.0, 0.0).unwrap();
    let at = |l: f32| profit(&bar, 1.0, Multipliers::new(0.0, l), 0.0, ExitRule::Intraday);
    assert_eq!(at(leg.low_gate.next_down()), 0.0);
    assert!(at(leg.low_gate) > 0.019);
    assert_eq!(at(0.0), 0.0, "L > low is strict");
}

#[test]
fn positions_count_up_to_ten_and_zero_trades_nothing() {
    let bar = Bar {
        close: 0.01,
        high: 0.02,
        low: -0.02,
        high_pred: 0.015,
        low_pred: -0.01,
    };
    let at = |p| {
        profit(
            &bar,
            p,
            Multipliers::BASELINE,
            EQUITY_FEE,
            ExitRule::Intraday,
        )
    };
    assert_eq!(at(0.0), 0.0);
    assert_eq!(at(f32::NAN), 0.0);
    assert_eq!(at(12.0), at(10.0));
    assert_eq!(at(-1e30), at(-10.0));
    assert!((at(2.0) - 2.0 * at(1.0)).abs() < 1e-15);
    assert!(Leg::new(&bar, 0.0, 0.0).is_none());
    assert_eq!(Leg::new(&bar, -12.0, 0.0).unwrap().weight, 10.0);
}

proptest! {
    #[test]
    fn a_higher_fee_never_raises_profit(
        seed in any::<u64>(),
        fees in (0.0..0.02_f64, 0.0..0.02_f64),
        pair in (-0.05..0.05_f32, -0.05..0.05_f32),
    ) {
        let pair = Multipliers::new(pair.0, pair.1);
        let (less, more) = (fees.0.min(fees.1), fees.0.max(fees.1));
        for kind in KINDS {
            for (bar, position) in draw_bars(seed, kind, 8) {
                for rule in RULES {
                    let at = |fee| profit(&bar, position, pair, fee, rule);
                    prop_assert!(at(more) <= at(less));
                }
            }
        }
    }

    #[test]
    fn no_input_makes_the_formula_panic(
        values in prop::array::uniform5(any::<f32>()),
        position in any::<f32>(),
        pair in (any::<f32>(), any::<f32>()),
        fee in any::<f64>(),
    ) {
        let [close, high, low, high_pred, low_pred] = values;
        let bar = Bar { close, high, low, high_pred, low_pred };
        let pair = Multipliers::new(pair.0, pair.1);
        for rule in RULES {
            profit(&bar, position, pair, fee, rule);
            trisect::profit_f64(&bar, position, (0.0, f64::NAN), fee, rule);
            if let Some(leg) = Leg::new(&bar, position, fee as f32) {
                canonical_profit(&[leg], pair, fee as f32, rule);
                prop_assert!(leg.weight >= 0.0 && leg.weight <= 10.0);
            }
        }
    }
}
