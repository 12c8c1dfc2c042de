//! The flat region and the robust optimum against enumerations.

use trisect::{
    Batch, ExactSolver, Multipliers, RobustOptions, exact_profit, flat_region, robust_optimum,
};

use crate::exact::{Terms, draw_batch, grid, ordered, positions, unordered};
use crate::support::Rng;

fn least_in_grid(
    batch: &Batch,
    members: &[u32],
    terms: &Terms,
    high: (f32, f32),
    low: (f32, f32),
) -> f64 {
    let bars = positions(batch, members);
    let (h, l) = grid(
        &bars,
        &Terms {
            high,
            low,
            ..*terms
        },
    );
    let mut least = f64::INFINITY;
    for &low in &l {
        for &high in &h {
            let value = terms.value(batch, members, Multipliers::new(high, low));
            least = least.min(value);
        }
    }
    least
}

#[test]
fn the_flat_region_keeps_the_share_and_no_side_can_move() {
    let mut rng = Rng::new(81);
    let mut solver = ExactSolver::new();
    let mut moved = 0;
    for case in 0..60 {
        let (batch, _) = draw_batch(&mut rng, 1, 7);
        let terms = Terms::draw(&mut rng);
        let members = [0];
        let best = terms.solve(&mut solver, &batch, &members);
        let share = [0.5, 0.8, 0.95, 1.0][rng.below(4)];
        let (fee, rule) = (terms.fee, terms.rule);
        let region = flat_region(
            &batch, &members, fee, rule, terms.high, terms.low, &best, share, None,
        )
        .unwrap();
        let at_zero = exact_profit(&batch, &members, fee, rule, Multipliers::BASELINE).unwrap();
        let kept = (at_zero + share * (best.profit - at_zero)).min(best.profit);

        let least = least_in_grid(&batch, &members, &terms, region.high, region.low);
        assert_eq!(least, region.least_profit, "case {case}: {region:?}");
        assert!(least >= kept, "case {case}: {least} is below {kept}");
        let next = |x: f32, step: i64| unordered(ordered(x) + step) + 0.0;
        let (high, low) = (region.high, region.low);
        let sides = [
            (high.0 > terms.high.0, (next(high.0, -1), high.1), low),
            (high.1 < terms.high.1, (high.0, next(high.1, 1)), low),
            (low.0 > terms.low.0, high, (next(low.0, -1), low.1)),
            (low.1 < terms.low.1, high, (low.0, next(low.1, 1))),
        ];
        for (side, (can_move, high, low)) in sides.into_iter().enumerate() {
            if can_move {
                moved += 1;
                let least = least_in_grid(&batch, &members, &terms, high, low);
                assert!(
                    least < kept,
                    "case {case}: side {side} of {region:?} could move: {least} is not below {kept}"
                );
            }
        }
    }
    assert!(moved > 60, "only {moved} sides were put to the test");
}

#[test]
fn the_robust_optimum_is_within_its_proven_gap() {
    let mut rng = Rng::new(82);
    let mut solver = ExactSolver::new();
    for case in 0..40 {
        let (batch, _) = draw_batch(&mut rng, 1, 7);
        let mut terms = Terms::draw(&mut rng);
        terms.high = (-0.03, 0.03);
        terms.low = (-0.03, 0.03);
        let members = [0];
        let radius = [0.0, 0.000_5, 0.002][rng.below(3)];
        let options = RobustOptions {
            radius,
            tolerance: 0.01,
            max_boxes: 400,
            ..RobustOptions::default()
        };
        let robust = robust_optimum(
            &batch, &members, terms.fee, terms.rule, terms.high, terms.low, &options,
        )
        .unwrap();
        assert!(robust.worst_profit <= robust.upper_bound);
        let worst_at = |at: Multipliers| {
            let around = |x: f32| (x - radius, x + radius);
            least_in_grid(&batch, &members, &terms, around(at.high), around(at.low))
        };
        let worst = worst_at(robust.multipliers);
        assert_eq!(worst, robust.worst_profit, "case {case}: {robust:?}");
        let best = terms.solve(&mut solver, &batch, &members);
        if radius == 0.0 {
            assert!(robust.upper_bound <= best.profit, "case {case}");
            assert_eq!(robust.worst_profit, best.profit, "case {case}");
        }
        let mut at = vec![best.multipliers];
        for _ in 0..25 {
            let mut value = || rng.between(-0.03, 0.03) as f32;
            at.push(Multipliers::new(value(), value()));
        }
        for at in at {
            let worst = worst_at(at);
            assert!(
                worst <= robust.upper_bound,
                "case {case}: {at:?} has {worst}, more than {robust:?}"
            );
        }
    }
}
