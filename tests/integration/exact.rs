//! The exact optimum against enumerations that share no code with it.

use trisect::{
    Bar, Batch, Exact, ExactOptions, ExactSolver, ExitRule, Multipliers, exact_profit, profit,
};

use crate::support::{Columns, KINDS, Kind, Rng};

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

/// What a group is tuned under.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub fee: f64,
    pub rule: ExitRule,
    pub high: (f32, f32),
    pub low: (f32, f32),
}

impl Terms {
    pub fn draw(rng: &mut Rng) -> Self {
        let fee = [0.0, 1.0 / 1024.0, 0.000_027_8, 0.008, 0.02][rng.below(5)];
        let (high, low) = match rng.below(6) {
            0 => ((-0.01, 0.002), (-0.004, 0.02)),
            1 => ((0.0, 0.03), (-0.03, 0.0)),
            2 => ((-12.0, 12.0), (-2.5, 2.5)),
            3 => ((0.004, 0.004), (-0.03, 0.03)),
            4 => ((0.005, 0.03), (-0.03, -0.005)),
            _ => ((-0.03, 0.03), (-0.03, 0.03)),
        };
        Self {
            fee,
            rule: RULES[rng.below(2)],
            high,
            low,
        }
    }

    pub fn solve(&self, solver: &mut ExactSolver, batch: &Batch, members: &[u32]) -> Exact {
        let options = ExactOptions::default();
        solver
            .solve(
                batch, members, self.fee, self.rule, self.high, self.low, &options,
            )
            .unwrap()
    }

    pub fn value(&self, batch: &Batch, members: &[u32], at: Multipliers) -> f64 {
        exact_profit(batch, members, self.fee, self.rule, at).unwrap()
    }
}

/// Every bar with a position, of all members.
pub fn positions(batch: &Batch, members: &[u32]) -> Vec<(Bar, f32)> {
    let simulations = members
        .iter()
        .map(|&s| batch.simulation(s as usize).unwrap());
    let mut all = Vec::new();
    for simulation in simulations {
        all.extend(simulation.positions());
    }
    all
}

/// The mean of [`profit`] with compensated summation.
pub fn plain_profit(
    bars: &[(Bar, f32)],
    simulations: usize,
    terms: &Terms,
    at: Multipliers,
) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for (bar, position) in bars {
        let term = profit(bar, *position, at, terms.fee, terms.rule);
        let next = sum + term;
        lost += if sum.abs() >= term.abs() {
            (sum - next) + term
        } else {
            (term - next) + sum
        };
        sum = next;
    }
    (sum + lost) / simulations as f64
}

/// Scale of the rounding errors of the mean.
pub fn magnitude(bars: &[(Bar, f32)], simulations: usize) -> f64 {
    let reach = |x: f32| f64::from(x.abs());
    let total: f64 = bars
        .iter()
        .map(|(bar, position)| {
            let levels = reach(bar.high_pred) + reach(bar.low_pred) + reach(bar.close);
            reach(*position).min(10.0) * (levels + reach(bar.high).min(10.0) + reach(bar.low))
        })
        .sum();
    total / simulations as f64
}

pub fn ordered(x: f32) -> i64 {
    let bits = i64::from(x.to_bits() & 0x7fff_ffff);
    if x.is_sign_negative() { -bits } else { bits }
}

pub fn unordered(i: i64) -> f32 {
    let magnitude = f32::from_bits(i.unsigned_abs() as u32);
    if i < 0 { -magnitude } else { magnitude }
}

/// Last f32 of `[least, greatest]` for which `holds`, which is true up to some point.
fn last_where(least: f32, greatest: f32, holds: impl Fn(f32) -> bool) -> Option<f32> {
    if !holds(least) {
        return None;
    }
    let (mut yes, mut no) = (ordered(least), ordered(greatest) + 1);
    while no - yes > 1 {
        let middle = yes + (no - yes) / 2;
        if holds(unordered(middle)) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    Some(unordered(yes) + 0.0)
}

/// Points of both axes at which something may change, from the formula: gates and clamps found
/// by bisection, the floats around them, the ends of the box, and 0.
pub fn grid(bars: &[(Bar, f32)], terms: &Terms) -> (Vec<f32>, Vec<f32>) {
    let around = |x: f32| (-1..=1).map(move |step| unordered(ordered(x) + step) + 0.0);
    let mut high = vec![terms.high.0, terms.high.1, 0.0];
    let mut low = vec![terms.low.0, terms.low.1, 0.0];
    for (bar, _) in bars {
        let level = |h: f32| (bar.high_pred + h).clamp(0.0, 10.0);
        let (least, greatest) = terms.high;
        let touched = last_where(least, greatest, |h| level(h) <= bar.high);
        let beyond = last_where(least, greatest, |h| level(h) < bar.high);
        high.extend(touched.into_iter().chain(beyond).flat_map(around));
        high.push(-bar.high_pred);
        let level = |l: f32| (bar.low_pred + l).clamp(-1.0, 0.0);
        let (least, greatest) = (-terms.low.1, -terms.low.0);
        let touched = last_where(least, greatest, |l| level(-l) >= bar.low);
        let beyond = last_where(least, greatest, |l| level(-l) > bar.low);
        let mirrored = touched.into_iter().chain(beyond).map(|l| -l);
        low.extend(mirrored.flat_map(around));
        low.push(-bar.low_pred);
    }
    let clean = |mut axis: Vec<f32>, (least, greatest): (f32, f32)| {
        axis.retain(|x| (least..=greatest).contains(x));
        axis.iter_mut().for_each(|x| *x += 0.0);
        axis.sort_by(f32::total_cmp);
        axis.dedup();
        axis
    };
    (clean(high, terms.high), clean(low, terms.low))
}

/// A batch of a few simulations: skilled, noise, ties or wild; long, short, mixed or always-on.
pub fn draw_batch(rng: &mut Rng, simulations: usize, longest: usize) -> (Batch, bool) {
    let kind = KINDS[rng.below(KINDS.len())];
    let sides = rng.below(4);
    let noise = rng.below(3) == 0;
    let always_on = rng.below(4) == 0;
    let with_sell = rng.below(2) == 0;
    let mut builder = Batch::builder();
    for _ in 0..simulations {
        let bars = 1 + rng.below(longest);
        let mut columns = Columns::draw(rng, kind, bars);
        if noise && kind == Kind::Skilled {
            for value in &mut columns.high_pred {
                *value = rng.between(-0.01, 0.03) as f32;
            }
            for value in &mut columns.low_pred {
                *value = rng.between(-0.03, 0.01) as f32;
            }
        }
        for position in &mut columns.position {
            match sides {
                0 => *position = position.abs(),
                1 => *position = -position.abs(),
                _ => {}
            }
        }
        if always_on {
            builder.push(columns.always_on(with_sell)).unwrap();
        } else {
            builder.push(columns.entry_exit()).unwrap();
        }
    }
    (builder.build().unwrap(), kind == Kind::Ties)
}

/// How far a pair is from the forecasts, as documented.
fn change(at: Multipliers) -> (f64, f32, f32, bool, bool) {
    let total = f64::from(at.high.abs()) + f64::from(at.low.abs());
    (
        total,
        at.high.abs(),
        at.low.abs(),
        at.high < 0.0,
        at.low < 0.0,
    )
}

#[test]
fn no_pair_of_an_enumeration_is_better_nor_as_good_and_nearer() {
    let mut rng = Rng::new(71);
    let mut solver = ExactSolver::new();
    let mut ties = 0;
    for case in 0..1500 {
        let simulations = 1 + rng.below(2);
        let longest = [2, 5, 9][rng.below(3)];
        let (batch, dyadic) = draw_batch(&mut rng, simulations, longest);
        let terms = Terms::draw(&mut rng);
        let members: Vec<u32> = (0..batch.len() as u32).collect();
        let found = terms.solve(&mut solver, &batch, &members);
        assert!(found.is_proved());
        let at_best = terms.value(&batch, &members, found.multipliers);
        assert_eq!(found.profit.to_bits(), at_best.to_bits(), "case {case}");

        let bars = positions(&batch, &members);
        let tolerance = 1e-14 * (bars.len() + 8) as f64 * (magnitude(&bars, simulations) + 1e-9);
        let (high, low) = grid(&bars, &terms);
        let mut greatest = f64::NEG_INFINITY;
        for &l in &low {
            for &h in &high {
                let at = Multipliers::new(h, l);
                let value = terms.value(&batch, &members, at);
                let plain = plain_profit(&bars, simulations, &terms, at);
                assert!(
                    (value - plain).abs() <= tolerance,
                    "case {case}: {value} is not the plain sum {plain} at {at:?}"
                );
                greatest = greatest.max(plain);
                assert!(
                    value <= found.profit,
                    "case {case}: {value} at {at:?} is more than {found:?} under {terms:?}"
                );
                if value == found.profit && at != found.multipliers {
                    ties += 1;
                    // A last bit of h may be worth less than a unit of the value.
                    assert!(
                        !dyadic || change(found.multipliers).0 <= change(at).0 + 1e-8,
                        "case {case}: {at:?} is as good as {found:?} and nearer, under {terms:?}"
                    );
                }
            }
        }
        assert!(
            (found.profit - greatest).abs() <= tolerance,
            "case {case}: found {found:?}, the enumeration {greatest}"
        );
    }
    assert!(ties > 1000, "only {ties} ties were met");
}

#[test]
fn no_sampled_pair_is_better() {
    sample(72, 600, 400);
}

/// Groups that the zoom and the branch and bound take, not the lattice alone.
#[test]
fn no_sampled_pair_is_better_in_large_groups() {
    sample(73, 40, 12_000);
}

fn sample(seed: u64, cases: usize, longest: usize) {
    let mut rng = Rng::new(seed);
    let mut solver = ExactSolver::new();
    for case in 0..cases {
        let simulations = 1 + rng.below(3);
        let (batch, _) = draw_batch(&mut rng, simulations, longest / simulations);
        let terms = Terms::draw(&mut rng);
        let members: Vec<u32> = (0..batch.len() as u32).collect();
        let found = terms.solve(&mut solver, &batch, &members);
        let at_best = terms.value(&batch, &members, found.multipliers);
        assert_eq!(found.profit.to_bits(), at_best.to_bits(), "case {case}");
        let bars = positions(&batch, &members);
        for sample in 0..60 {
            let near = |rng: &mut Rng, gate: f32, best: f32, (least, greatest): (f32, f32)| {
                let x = match rng.below(4) {
                    0 => rng.between(f64::from(least), f64::from(greatest)) as f32,
                    1 => unordered(ordered(best) + rng.below(7) as i64 - 3),
                    _ => unordered(ordered(gate) + rng.below(7) as i64 - 3),
                };
                x.clamp(least, greatest) + 0.0
            };
            let (bar, _) = bars[rng.below(bars.len())];
            let best = found.multipliers;
            let h = near(&mut rng, bar.high - bar.high_pred, best.high, terms.high);
            let (bar, _) = bars[rng.below(bars.len())];
            let l = near(&mut rng, bar.low - bar.low_pred, best.low, terms.low);
            let at = Multipliers::new(h, l);
            let value = terms.value(&batch, &members, at);
            assert!(
                value <= found.profit,
                "case {case}, sample {sample}: {value} at {at:?} beats {found:?} under {terms:?}"
            );
        }
    }
}
