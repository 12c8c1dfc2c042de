//! Every fast path of the search against the slow one, on the same rank form.

use super::best::Best;
use super::chunk::{self, Simulations, Source, Take};
use super::fixed::{self, Entered, Grid, Item, Statistics};
use super::kinetic;
use super::lattice::{Block, Sweep, exhaustive};
use super::ranks::{Box2, CLAMPS_APART, Corner, Ranks};
use super::search::Search;
use super::zoom::Zoom;
use super::{ExactOptions, ExactSolver};
use crate::batch::{Batch, Fields, Weights};
use crate::profit::{Bar, ExitRule, Leg, Multipliers, Side};

/// Calls `f` with every bar and position of some simulations.
fn for_each_position(batch: &Batch, members: &[u32], mut f: impl FnMut(&Bar, f32)) {
    for simulation in members.iter().filter_map(|&s| batch.simulation(s as usize)) {
        for (bar, position) in simulation.positions() {
            f(&bar, position);
        }
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Legs of one group with their statistics.
#[derive(Default)]
struct Group {
    long: Vec<Item>,
    short: Vec<Item>,
    statistics: Statistics,
}

impl Group {
    fn push(&mut self, bar: &Bar, position: f32, fee: f64, bounds: &Box2) {
        let Some(leg) = Leg::new(bar, position, 0.0) else {
            return;
        };
        let item = Item {
            high_gate: leg.high_gate,
            low_gate: leg.low_gate + 0.0,
            high_pred: bar.high_pred,
            low_pred: bar.low_pred,
            close: bar.close,
            weight: leg.weight,
        };
        self.statistics.add(bar, item.weight, fee);
        match leg.side {
            Side::Long if bounds.reaches_long(&item) => self.long.push(item),
            Side::Short if bounds.reaches_short(&item) => self.short.push(item),
            _ => {}
        }
    }

    /// `style`: skilled, noise, flat (closes and levels at 0), ties, wild.
    fn draw(rng: &mut Rng, legs: u64, fee: f64, bounds: &Box2) -> Self {
        let style = rng.below(6);
        let mut group = Self::default();
        for _ in 0..legs {
            let close = rng.between(-0.03, 0.03);
            let high = close.max(0.0) + rng.between(0.0, 0.02);
            let low = close.min(0.0) - rng.between(0.0, 0.02);
            let mut values = [close, high, low, high, low, rng.between(-1.0, 1.0)];
            match style {
                0 | 1 => {
                    values[3] += rng.between(-0.01, 0.01);
                    values[4] += rng.between(-0.01, 0.01);
                }
                2 => {
                    values[3] = rng.between(-0.03, 0.03);
                    values[4] = rng.between(-0.03, 0.03);
                }
                3 => {
                    values[..3].fill(0.0);
                    values[1] = rng.between(-0.01, 0.01).max(0.0);
                    values[2] = -values[1];
                    values[3] = rng.between(-0.03, 0.03);
                    values[4] = rng.between(-0.03, 0.03);
                }
                4 => {
                    values[3] += rng.between(-0.01, 0.01);
                    values[4] += rng.between(-0.01, 0.01);
                    for value in &mut values {
                        *value = (*value * 512.0).round() / 512.0;
                    }
                }
                _ => {
                    values[3] += rng.between(-0.01, 0.01);
                    values[4] += rng.between(-0.01, 0.01);
                    if rng.below(4) == 0 {
                        values[1] = 10.5;
                        values[3] = 9.99;
                    }
                    values[5] *= 12.0;
                }
            }
            let [close, high, low, high_pred, low_pred, position] = values.map(|x| x as f32);
            let bar = Bar {
                close,
                high,
                low,
                high_pred,
                low_pred,
            };
            group.push(&bar, position, fee, bounds);
        }
        group
    }
}

fn draw_box(rng: &mut Rng) -> Box2 {
    match rng.below(4) {
        0 => Box2 {
            high: (-0.01, 0.004),
            low: (-0.002, 0.02),
        },
        _ => Box2 {
            high: (-0.03, 0.03),
            low: (-0.03, 0.03),
        },
    }
}

fn assert_same(case: usize, what: &str, fast: &Best, slow: &Best) {
    assert_eq!(fast.value, slow.value, "case {case}: {what}, value");
    let bits = |best: &Best| (best.at.high.to_bits(), best.at.low.to_bits());
    assert_eq!(
        bits(fast),
        bits(slow),
        "case {case}: {what}: {:?}, not {:?}",
        fast.at,
        slow.at
    );
}

#[test]
fn sweep_search_and_tree_find_the_cell_of_the_enumeration() {
    let mut rng = Rng(5);
    let mut ranks = Ranks::default();
    for case in 0..400 {
        let bounds = draw_box(&mut rng);
        let fee = [0.0, 1.0 / 512.0, 0.001, 0.02][rng.below(4) as usize];
        let legs = 1 + rng.below(80);
        let group = Group::draw(&mut rng, legs, fee, &bounds);
        let grid = Grid::new(&group.statistics, fee);
        let base = Entered::default();
        ranks.build(
            pulp::Arch::new(),
            &group.long,
            &group.short,
            &base,
            &grid,
            &bounds,
            Corner::Greatest,
        );
        let slow = exhaustive(&ranks, &grid, &bounds);
        for (lattice_cells, leaf_cells) in [(u64::MAX, 0), (0, 1), (0, 12), (0, 300)] {
            let mut search = Search::default();
            search.lattice_cells = lattice_cells;
            search.leaf_cells = leaf_cells;
            let mut best = Best::none();
            let arch = pulp::Arch::new();
            let searched = search.run(arch, &ranks, &grid, &bounds, u64::MAX, &mut best);
            assert_eq!(searched.open, None);
            assert_same(case, &format!("leaves of {leaf_cells}"), &best, &slow);
        }
        // Blocks that are narrow but tall.
        let (columns, rows) = ranks.shape();
        for arch in [pulp::Arch::new(), pulp::Arch::Scalar] {
            let mut best = Best::none();
            let mut sweep = Sweep::default();
            for j0 in (0..columns).step_by(5) {
                let j1 = columns.min(j0 + 5);
                let block = Block {
                    j0: j0 as u32,
                    j1: j1 as u32,
                    k0: 0,
                    k1: rows as u32,
                    base: ranks.events_at(j1 - 1, 0),
                };
                sweep.run(arch, &ranks, &grid, &bounds, &block, &mut best);
            }
            assert_same(case, "narrow blocks", &best, &slow);
        }
        let mut best = Best::none();
        let swept = kinetic::run(&ranks, &grid, &bounds, u64::MAX, &mut best);
        assert_eq!(swept.open, None);
        assert_same(case, "kinetic tree", &best, &slow);
        let mut best = Best::none();
        let arch = pulp::Arch::Scalar;
        Search::default().run(arch, &ranks, &grid, &bounds, u64::MAX, &mut best);
        assert_same(case, "without vectors", &best, &slow);
    }
}

#[test]
fn cells_of_the_rank_form_have_the_value_of_the_plain_sum() {
    let mut rng = Rng(9);
    let mut ranks = Ranks::default();
    // The last ones have clamps sorted among the gates, the others look them up.
    for case in 0..208 {
        let bounds = draw_box(&mut rng);
        let fee = [0.0, 1.0 / 512.0, 0.001, 0.02][rng.below(4) as usize];
        let legs = match case {
            0..200 => 1 + rng.below(40),
            _ => 40_000,
        };
        let group = Group::draw(&mut rng, legs, fee, &bounds);
        let count = group.long.len() + group.short.len();
        assert!(case < 200 || count >= CLAMPS_APART, "{count} legs");
        let grid = Grid::new(&group.statistics, fee);
        for corner in [Corner::Greatest, Corner::Least] {
            ranks.build(
                pulp::Arch::new(),
                &group.long,
                &group.short,
                &Entered::default(),
                &grid,
                &bounds,
                corner,
            );
            let (columns, rows) = ranks.shape();
            for _ in 0..8 {
                let (j, k) = (rng.below(columns as u64), rng.below(rows as u64));
                let (j, k) = (j as usize, k as usize);
                let at = Multipliers::new(ranks.x[j], ranks.y[k]);
                let mut plain = Entered::default();
                for (side, items) in [(Side::Long, &group.long), (Side::Short, &group.short)] {
                    for item in items {
                        plain.add(side, item, &grid, at, ExitRule::Intraday);
                    }
                }
                let cell = ranks.with_tables(&ranks.events_at(j, k), j, k);
                let (h, l) = (grid.factor(at.high), grid.factor(at.low));
                let value = match corner {
                    Corner::Greatest => grid.value(&cell, h, l),
                    Corner::Least => -grid.negated().value(&cell, h, l),
                };
                assert_eq!(
                    value,
                    plain.value(&grid, at),
                    "case {case}: {corner:?} {at:?}"
                );
            }
        }
    }
}

#[test]
fn the_zoom_keeps_the_cell_of_the_enumeration() {
    let mut rng = Rng(6);
    let (mut whole, mut part) = (Ranks::default(), Ranks::default());
    let mut zoom = Zoom::default();
    let (mut zoomed, mut dropped) = (0, 0);
    for case in 0..600 {
        let bounds = draw_box(&mut rng);
        let fee = [0.0, 1.0 / 512.0, 0.001, 0.02][rng.below(4) as usize];
        let legs = 1 + rng.below(120);
        let mut group = Group::draw(&mut rng, legs, fee, &bounds);
        let mut all = group.long.iter().chain(&group.short);
        if all.any(|item| item.capped(bounds.high.1)) {
            continue;
        }
        let grid = Grid::new(&group.statistics, fee);
        let mut base = Entered::default();
        whole.build(
            pulp::Arch::new(),
            &group.long,
            &group.short,
            &base,
            &grid,
            &bounds,
            Corner::Greatest,
        );
        let slow = exhaustive(&whole, &grid, &bounds);

        let mut inner = bounds;
        let mut floor = f64::NEG_INFINITY;
        let before = group.long.len() + group.short.len();
        let pair = (&mut group.long, &mut group.short);
        zoom.run(
            pulp::Arch::new(),
            pair,
            &grid,
            &mut inner,
            &mut base,
            &mut floor,
            2,
        );
        assert!(
            floor <= slow.value as f64,
            "case {case}: the floor is too high"
        );
        part.build(
            pulp::Arch::new(),
            &group.long,
            &group.short,
            &base,
            &grid,
            &inner,
            Corner::Greatest,
        );
        assert_same(case, "zoomed", &exhaustive(&part, &grid, &inner), &slow);
        zoomed += usize::from(inner != bounds);
        dropped += before - group.long.len() - group.short.len();
    }
    assert!(
        zoomed > 100 && dropped > 1000,
        "{zoomed} zoomed, {dropped} dropped"
    );
}

#[test]
fn the_least_profit_of_a_box_is_below_every_pair_and_attained() {
    let mut rng = Rng(7);
    let mut ranks = Ranks::default();
    for case in 0..300 {
        let bounds = draw_box(&mut rng);
        let fee = [0.0, 1.0 / 512.0, 0.001, 0.02][rng.below(4) as usize];
        let legs = 1 + rng.below(80);
        let group = Group::draw(&mut rng, legs, fee, &bounds);
        let grid = Grid::new(&group.statistics, fee);
        let turned = grid.negated();
        let base = Entered::default();
        let corner = Corner::Least;
        ranks.build(
            pulp::Arch::new(),
            &group.long,
            &group.short,
            &base,
            &grid,
            &bounds,
            corner,
        );
        let slow = exhaustive(&ranks, &turned, &bounds);
        for leaf_cells in [1, 12, 300] {
            let mut search = Search::default();
            search.lattice_cells = 0;
            search.leaf_cells = leaf_cells;
            let mut best = Best::none();
            let arch = pulp::Arch::new();
            search.run(arch, &ranks, &turned, &bounds, u64::MAX, &mut best);
            assert_eq!(
                best.value, slow.value,
                "case {case}: leaves of {leaf_cells}"
            );
        }
        let value = |at: Multipliers| {
            let mut entered = Entered::default();
            for (side, items) in [(Side::Long, &group.long), (Side::Short, &group.short)] {
                for item in items {
                    entered.add(side, item, &grid, at, ExitRule::Intraday);
                }
            }
            entered.value(&grid, at)
        };
        let (columns, rows) = ranks.shape();
        let mut least = i64::MAX;
        for j in 0..columns {
            for k in 0..rows {
                least = least.min(value(Multipliers::new(ranks.x[j], ranks.y[k])));
            }
        }
        assert_eq!(-slow.value, least, "case {case}");
        for _ in 0..200 {
            let within = |rng: &mut Rng, (least, greatest): (f32, f32)| {
                rng.between(f64::from(least), f64::from(greatest)) as f32
            };
            let at = Multipliers::new(within(&mut rng, bounds.high), within(&mut rng, bounds.low));
            assert!(value(at) >= least, "case {case}: {at:?}");
        }
    }
}

#[test]
fn sums_of_shards_added_in_any_order_are_those_of_the_group() {
    let mut rng = Rng(8);
    for case in 0..200 {
        let bounds = draw_box(&mut rng);
        let fee = [0.0, 0.001, 0.02][rng.below(3) as usize];
        let shards: Vec<Group> = (0..1 + rng.below(6))
            .map(|_| {
                let legs = rng.below(300);
                Group::draw(&mut rng, legs, fee, &bounds)
            })
            .collect();
        let at = Multipliers::new(
            rng.between(-0.03, 0.03) as f32,
            rng.between(-0.03, 0.03) as f32,
        );
        let value = |order: &mut dyn Iterator<Item = &Group>, whole: bool| {
            let shards: Vec<&Group> = order.collect();
            let mut statistics = Statistics::default();
            shards
                .iter()
                .for_each(|shard| statistics.merge(&shard.statistics));
            let grid = Grid::new(&statistics, fee);
            let mut total = Entered::default();
            for shard in shards {
                let mut sums = Entered::default();
                let into = if whole { &mut total } else { &mut sums };
                for (side, items) in [(Side::Long, &shard.long), (Side::Short, &shard.short)] {
                    for item in items {
                        into.add(side, item, &grid, at, ExitRule::Intraday);
                    }
                }
                total.merge(&sums);
            }
            (
                total.value(&grid, at),
                grid.profit(total.value(&grid, at), 3).to_bits(),
            )
        };
        let one = value(&mut shards.iter(), true);
        assert_eq!(value(&mut shards.iter(), false), one, "case {case}");
        assert_eq!(value(&mut shards.iter().rev(), false), one, "case {case}");
    }
}

/// Simulations of any lengths, some always-on, with bars of every style and positions of 0.
fn draw_batch(rng: &mut Rng, simulations: u64, longest: u64) -> Batch {
    let mut builder = Batch::builder();
    let always_on = rng.below(3) == 0;
    let style = rng.below(5);
    // Prices on a grid of 0.2 % or of 1.6 %.
    let grid = [512.0, 64.0][rng.below(2) as usize];
    for _ in 0..simulations {
        let mut columns: [Vec<f32>; 7] = Default::default();
        for _ in 0..1 + rng.below(longest) {
            let close = rng.between(-0.03, 0.03);
            let high = close.max(0.0) + rng.between(0.0, 0.02);
            let low = close.min(0.0) - rng.between(0.0, 0.02);
            let (high_pred, low_pred) = match style {
                0 => (rng.between(0.0, 0.03), rng.between(-0.03, 0.0)),
                1 => (rng.between(-0.02, 0.03), rng.between(-0.03, 0.02)),
                _ => (
                    high + rng.between(-0.01, 0.01),
                    low + rng.between(-0.01, 0.01),
                ),
            };
            let mut weight = || match rng.below(8) {
                0 => 0.0,
                1 => 1.0,
                2 => 9.5,
                _ => rng.between(-1.0, 1.0),
            };
            let mut values = [close, high, low, high_pred, low_pred, weight(), weight()];
            if style >= 3 {
                for value in &mut values {
                    *value = (*value * grid).round() / grid;
                }
            }
            for (column, value) in columns.iter_mut().zip(values) {
                column.push(value as f32);
            }
        }
        let [close, high, low, high_pred, low_pred, first, second] = &columns;
        let weights = if always_on {
            let (buy, sell) = (&first[..], Some(&second[..]));
            Weights::AlwaysOn { buy, sell }
        } else {
            Weights::EntryExit(&first[..])
        };
        let simulation = Fields {
            close: &close[..],
            high,
            low,
            high_pred,
            low_pred,
            weights,
        };
        builder.push(simulation).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn statistics_in_chunks_are_those_of_one_leg_at_a_time() {
    let mut rng = Rng(9);
    for case in 0..200 {
        let simulations = 1 + rng.below(9);
        let batch = draw_batch(&mut rng, simulations, 150);
        let members: Vec<u32> = (0..simulations as u32).rev().collect();
        let mut slow = Statistics::default();
        for_each_position(&batch, &members, |bar, position| {
            if position != 0.0 {
                slow.add(bar, position.abs().min(10.0), 0.001);
            }
        });
        let all = Simulations::Members(&batch, &members);
        for arch in [pulp::Arch::new(), pulp::Arch::Scalar] {
            let fast = chunk::statistics(arch, all, 0.001);
            assert_eq!(fast, slow, "case {case}");
        }
    }
}

/// The same simulations, a quarter of their bars with highs and forecasts of them far out.
fn with_spikes(rng: &mut Rng, batch: &Batch) -> Batch {
    let mut builder = Batch::builder();
    for index in 0..batch.len() {
        let simulation = batch.simulation(index).unwrap();
        let mut high = simulation.high.to_vec();
        let mut high_pred = simulation.high_pred.to_vec();
        for (high, pred) in high.iter_mut().zip(&mut high_pred) {
            if rng.below(4) == 0 {
                (*high, *pred) = (500.0 * *high, 500.0 * *pred);
            }
        }
        let simulation = Fields {
            high: &high[..],
            high_pred: &high_pred,
            ..simulation
        };
        builder.push(simulation).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn sums_in_chunks_are_those_of_one_leg_at_a_time() {
    let mut rng = Rng(14);
    let mut kinds = [0; 4];
    for case in 0..400 {
        let simulations = 1 + rng.below(5);
        let batch = draw_batch(&mut rng, simulations, 150);
        let batch = with_spikes(&mut rng, &batch);
        let members: Vec<u32> = (0..simulations as u32).rev().collect();
        let fee = [0.0, 0.001][rng.below(2) as usize];
        let rule = [ExitRule::Intraday, ExitRule::AtClose][rng.below(2) as usize];
        let reach = [0.005, 0.03, 8.0][rng.below(3) as usize];
        let mut within = || rng.between(-reach, reach) as f32;
        let at = Multipliers::new(within(), within());
        let arch = pulp::Arch::Scalar;
        let all = Simulations::Members(&batch, &members);
        let grid = Grid::new(&chunk::statistics(arch, all, fee), fee);
        let mut slow = Entered::default();
        for_each_position(&batch, &members, |bar, position| {
            if let Some((side, item)) = Item::new(bar, position) {
                slow.add(side, &item, &grid, at, rule);
                if at.high <= item.high_gate {
                    kinds[0] += u32::from(f64::from(item.high_pred) + f64::from(at.high) <= 0.0);
                    kinds[1] += u32::from(item.high_capped(at.high));
                }
                if at.low >= item.low_gate {
                    kinds[2] += u32::from(f64::from(item.low_pred) + f64::from(at.low) >= 0.0);
                    kinds[3] += 1;
                }
            }
        });
        for arch in [pulp::Arch::new(), arch] {
            let fast = chunk::entered(arch, all, &grid, at, rule);
            assert_eq!(fast.sums, slow.sums, "case {case}");
            assert_eq!(fast.weight, slow.weight, "case {case}");
            let mut sum = Entered::default();
            for &member in &members {
                let one = Simulations::One(batch.simulation(member as usize));
                sum.merge(&chunk::entered(arch, one, &grid, at, rule));
            }
            assert_eq!(sum.sums, slow.sums, "case {case}");
            assert_eq!(sum.weight, slow.weight, "case {case}");
        }
    }
    assert!(kinds.iter().all(|&count| count > 500), "{kinds:?}");
}

#[test]
fn legs_taken_and_legs_folded_make_up_the_group() {
    let mut rng = Rng(10);
    let mut folded = 0;
    for case in 0..300 {
        let simulations = 1 + rng.below(5);
        let batch = draw_batch(&mut rng, simulations, 150);
        let members: Vec<u32> = (0..simulations as u32).collect();
        let fee = [0.0, 0.001][rng.below(2) as usize];
        let arch = [pulp::Arch::new(), pulp::Arch::Scalar][rng.below(2) as usize];
        let rule = [ExitRule::Intraday, ExitRule::AtClose][rng.below(2) as usize];
        let all = Simulations::Members(&batch, &members);
        let statistics = chunk::statistics(arch, all, fee);
        let grid = Grid::new(&statistics, fee);
        let ends = |rng: &mut Rng| {
            let least = rng.between(-0.03, 0.03) as f32;
            (least, least + rng.between(0.0, 0.02) as f32)
        };
        let bounds = Box2 {
            high: ends(&mut rng),
            low: ends(&mut rng),
        };
        let (mut long, mut short) = (Vec::new(), Vec::new());
        let mut base = Entered::default();
        let taken = arch.dispatch(Take {
            source: Source::Batch(&batch, &members, rule),
            grid: &grid,
            bounds: &bounds,
            base: &mut base,
            long: &mut long,
            short: &mut short,
            store: true,
        });
        assert_eq!(taken.counts, [long.len(), short.len()], "case {case}");
        folded += statistics.legs as usize - long.len() - short.len();
        for corner in 0..12 {
            let within = |rng: &mut Rng, (least, greatest): (f32, f32)| match corner {
                0 => least,
                1 => greatest,
                _ => rng.between(f64::from(least), f64::from(greatest)) as f32,
            };
            let at = Multipliers::new(within(&mut rng, bounds.high), within(&mut rng, bounds.low));
            let mut parts = base;
            for (side, items) in [(Side::Long, &long), (Side::Short, &short)] {
                for item in items {
                    parts.add(side, item, &grid, at, rule);
                }
            }
            let whole = chunk::entered(arch, all, &grid, at, rule);
            let (parts, whole) = (parts.value(&grid, at), whole.value(&grid, at));
            assert_eq!(parts, whole, "case {case}: {at:?} in {bounds:?}");
        }
    }
    assert!(folded > 10_000, "{folded} folded");
}

#[test]
fn no_pair_exceeds_the_bound_of_its_block() {
    let mut rng = Rng(11);
    let mut zoom = Zoom::default();
    let mut near = 0;
    for case in 0..150 {
        let simulations = 1 + rng.below(5);
        let batch = draw_batch(&mut rng, simulations, 400);
        let members: Vec<u32> = (0..simulations as u32).collect();
        let fee = [0.0, 0.001][rng.below(2) as usize];
        let arch = [pulp::Arch::new(), pulp::Arch::Scalar][rng.below(2) as usize];
        let rule = [ExitRule::Intraday, ExitRule::AtClose][rng.below(2) as usize];
        let all = Simulations::Members(&batch, &members);
        let grid = Grid::new(&chunk::statistics(arch, all, fee), fee);
        let bounds = draw_box(&mut rng);
        let mut floor = f64::NEG_INFINITY;
        let source = Source::Batch(&batch, &members, rule);
        // As for more legs than there are: more lines, tighter bounds, and jumps in units so fine
        // that some sums reach the greatest u32.
        let legs = [batch.bars(), 40_000, 20_000_000][rng.below(3) as usize];
        let base = Entered::default();
        let regions = zoom
            .regions(arch, &source, legs, &grid, &bounds, &base, &mut floor)
            .expect("a box with an extent");
        let mut items = Vec::new();
        for_each_position(&batch, &members, |bar, position| {
            items.extend(Item::new(bar, position));
        });
        if items.is_empty() {
            continue;
        }
        for _ in 0..300 {
            // The greatest values are at gates.
            let (_, of_high) = items[rng.below(items.len() as u64) as usize];
            let (_, of_low) = items[rng.below(items.len() as u64) as usize];
            let clamp = |x: f32, (least, greatest): (f32, f32)| x.clamp(least, greatest);
            let at = Multipliers::new(
                clamp(of_high.high_gate, bounds.high),
                clamp(of_low.low_gate, bounds.low),
            );
            let entered = chunk::entered(arch, all, &grid, at, rule);
            let value = entered.value(&grid, at) as f64;
            let bound = zoom.bound_at(at);
            assert!(value <= bound, "case {case}: {value} at {at:?}, {bound}");
            near += u32::from(value > 0.99 * bound);
            let inside = |region: &super::zoom::Region| {
                let Box2 { high, low } = region.bounds;
                (high.0 <= at.high && at.high <= high.1) && (low.0 <= at.low && at.low <= low.1)
            };
            let kept = regions.iter().any(inside);
            assert!(kept || value < floor, "case {case}: {at:?} is lost");
        }
    }
    assert!(near > 100, "only {near} pairs are near their bound");
}

#[test]
fn a_group_that_is_zoomed_has_the_optimum_of_all_its_ranks() {
    let mut rng = Rng(12);
    let mut solver = ExactSolver::new();
    let mut ranks = Ranks::default();
    for case in 0..40 {
        let simulations = 8 + rng.below(8);
        let batch = draw_batch(&mut rng, simulations, 500);
        let members: Vec<u32> = (0..simulations as u32).collect();
        let fee = [0.0, 1.0 / 512.0, 0.001][rng.below(3) as usize];
        let bounds = draw_box(&mut rng);
        let rule = ExitRule::Intraday;
        let (high, low) = (bounds.high, bounds.low);
        let options = ExactOptions::default();
        let found = solver
            .solve(&batch, &members, fee, rule, high, low, &options)
            .unwrap();
        assert!(found.is_proved(), "case {case}");

        let (mut long, mut short) = (Vec::new(), Vec::new());
        for_each_position(&batch, &members, |bar, position| {
            match Item::new(bar, position) {
                Some((Side::Long, item)) if bounds.reaches_long(&item) => long.push(item),
                Some((Side::Short, item)) if bounds.reaches_short(&item) => short.push(item),
                _ => {}
            }
        });
        let arch = pulp::Arch::new();
        let all = Simulations::Members(&batch, &members);
        let grid = Grid::new(&chunk::statistics(arch, all, fee), fee);
        let base = Entered::default();
        let corner = Corner::Greatest;
        ranks.build(arch, &long, &short, &base, &grid, &bounds, corner);
        let mut slow = Best::none();
        let cap = u64::MAX;
        Search::default().run(arch, &ranks, &grid, &bounds, cap, &mut slow);
        let profit = grid.profit(slow.value, members.len());
        assert_eq!(found.profit, profit, "case {case}");
        assert_eq!(found.multipliers, slow.at, "case {case}");
    }
}

#[test]
fn a_floor_without_a_cast_is_the_floor() {
    let mut rng = Rng(13);
    for _ in 0..100_000 {
        let exponent = rng.below(61) as i32;
        let x = rng.between(-1.0, 1.0) * 2.0_f64.powi(exponent);
        for x in [x, x.round(), x.round() + 0.5, -x.round()] {
            assert_eq!(fixed::floor_lane(x), fixed::floor(x), "{x}");
        }
    }
}
