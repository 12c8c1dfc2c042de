//! The profit over a grid, against the plain sums.

use trisect::{
    Batch, Error, ExactOptions, ExitRule, Multipliers, Surface, Threads, exact, flat_region,
    surface,
};

use crate::support::{Columns, KINDS, Kind, Rng};

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

fn axis(rng: &mut Rng, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| (rng.between(-31.0, 31.0).round() / 1024.0) as f32)
        .collect()
}

fn draw(rng: &mut Rng, kind: Kind, always_on: bool) -> Batch {
    let mut builder = Batch::builder();
    for bars in [1, 150, 37, 80] {
        let columns = Columns::draw(rng, kind, bars);
        let simulation = if always_on {
            columns.always_on(true)
        } else {
            columns.entry_exit()
        };
        builder.push(simulation).unwrap();
    }
    builder.build().unwrap()
}

/// Every cell as a plain sum.
fn slow(batch: &Batch, members: &[u32], fee: f64, rule: ExitRule, grid: &Surface) -> Vec<f64> {
    let mut profits = Vec::new();
    for &high in &grid.highs {
        for &low in &grid.lows {
            let of_member = |&member: &u32| {
                let simulation = batch.simulation(member as usize).unwrap();
                simulation.profit(Multipliers::new(high, low), fee, rule)
            };
            profits.push(members.iter().map(of_member).sum::<f64>() / members.len() as f64);
        }
    }
    profits
}

#[test]
fn every_cell_is_the_plain_sum() {
    let mut rng = Rng::new(70);
    let mut cells = 0;
    for kind in KINDS {
        for always_on in [false, true] {
            let batch = draw(&mut rng, kind, always_on);
            for members in [&[0, 1, 2, 3][..], &[2], &[0, 3]] {
                for rule in RULES {
                    let (highs, lows) = (axis(&mut rng, 13), axis(&mut rng, 9));
                    let fee = 0.001;
                    let threads = Threads::new(2).unwrap();
                    let found =
                        surface(&batch, members, fee, rule, &highs, &lows, &threads).unwrap();
                    let alone = Threads::new(1).unwrap();
                    let again = surface(&batch, members, fee, rule, &highs, &lows, &alone);
                    assert_eq!(found, again.unwrap());
                    let expected = slow(&batch, members, fee, rule, &found);
                    assert_eq!((&found.highs, &found.lows), (&highs, &lows));
                    assert_eq!(found.profits.len(), 13 * 9);
                    for (at, (found, expected)) in found.profits.iter().zip(&expected).enumerate() {
                        let close = (found - expected).abs() <= 1e-12 * expected.abs().max(1.0);
                        assert!(
                            close,
                            "{kind:?}, {rule}, cell {at}: {found}, not {expected}"
                        );
                        cells += 1;
                    }
                    assert_eq!(found.profit(12, 8), found.profits.last().copied());
                    assert_eq!((found.profit(13, 0), found.profit(0, 9)), (None, None));
                    let (best, profit) = found.best();
                    assert!(found.profits.iter().all(|other| *other <= profit));
                    let at = found
                        .profits
                        .iter()
                        .position(|other| *other == profit)
                        .unwrap();
                    assert_eq!(best, Multipliers::new(highs[at / 9], lows[at % 9]));
                }
            }
        }
    }
    assert_eq!(cells, 3 * 2 * 3 * 2 * 13 * 9);
}

#[test]
fn the_exact_optimum_tops_the_surface_and_its_flat_region_keeps_the_gain() {
    let mut rng = Rng::new(71);
    let batch = draw(&mut rng, Kind::Skilled, false);
    let members = [0, 1, 2, 3];
    let bounds = (-0.03_f32, 0.03_f32);
    let (fee, options) = (0.0, ExactOptions::default());
    for rule in RULES {
        let best = exact(&batch, &members, fee, rule, bounds, bounds, &options).unwrap();
        let region = flat_region(
            &batch, &members, fee, rule, bounds, bounds, &best, 0.95, None,
        );
        let region = region.unwrap();
        let threads = Threads::default();
        // The optimum, the baseline, the corners of the region and pairs all over the box.
        let mut highs = axis(&mut rng, 20);
        highs.extend([best.multipliers.high, 0.0, region.high.0, region.high.1]);
        let mut lows = axis(&mut rng, 20);
        lows.extend([best.multipliers.low, 0.0, region.low.0, region.low.1]);
        let surface = surface(&batch, &members, fee, rule, &highs, &lows, &threads).unwrap();
        assert!((surface.best().1 - best.profit).abs() < 1e-12);
        let baseline = surface.profit(21, 21).unwrap();
        let kept = baseline + 0.95 * (best.profit - baseline);
        assert!(kept > baseline);
        let mut inside = 0;
        for (i, high) in highs.iter().enumerate() {
            for (j, low) in lows.iter().enumerate() {
                let within = *high >= region.high.0
                    && *high <= region.high.1
                    && *low >= region.low.0
                    && *low <= region.low.1;
                if within {
                    inside += 1;
                    assert!(surface.profit(i, j).unwrap() >= kept - 1e-12);
                }
            }
        }
        assert!(inside >= 5, "{inside}");
    }
}

#[test]
fn grids_that_make_no_sense_are_refused() {
    let batch = draw(&mut Rng::new(72), Kind::Skilled, false);
    let threads = Threads::default();
    let call = |members: &[u32], fee: f64, highs: &[f32], lows: &[f32]| {
        let rule = ExitRule::Intraday;
        let error = surface(&batch, members, fee, rule, highs, lows, &threads).unwrap_err();
        match error {
            Error::InvalidOption { name, .. } => name,
            other => panic!("{other}"),
        }
    };
    assert_eq!(call(&[], 0.0, &[0.0], &[0.0]), "members");
    assert_eq!(call(&[4], 0.0, &[0.0], &[0.0]), "members");
    assert_eq!(call(&[0], 1.0, &[0.0], &[0.0]), "fee");
    assert_eq!(call(&[0], 0.0, &[], &[0.0]), "highs");
    assert_eq!(call(&[0], 0.0, &[0.0], &[]), "lows");
    assert_eq!(call(&[0], 0.0, &[0.0], &[0.0; 4097]), "lows");
    assert_eq!(call(&[0], 0.0, &[f32::NAN], &[0.0]), "highs");
    assert_eq!(call(&[0], 0.0, &[0.0], &[2e6]), "lows");
}
