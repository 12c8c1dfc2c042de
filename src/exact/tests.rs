//! Every fast path of the search against the slow one, on the same rank form.

use super::best::Best;
use super::fixed::{Entered, Grid, Item, Statistics};
use super::kinetic;
use super::lattice::{Block, Sweep, exhaustive};
use super::ranks::{Box2, CLAMPS_APART, Corner, Ranks};
use super::search::Search;
use super::zoom::Zoom;
use crate::profit::{Bar, ExitRule, Multipliers, Side};

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
        let Some((side, item)) = Item::new(bar, position) else {
            return;
        };
        self.statistics.add(bar, item.weight, fee);
        match side {
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
