//! The CPU evaluator against the canonical scalar sum, bit by bit.

use approx::assert_abs_diff_eq;
use proptest::prelude::*;
use trisect::{
    Batch, CRYPTO_FEE, Candidates, Error, Evaluate, EvaluateOptions, Evaluator, ExitRule, Groups,
    Multipliers, Sharing, Simd, canonical_profit,
};

use crate::support::{Columns, KINDS, Kind, Rng, candidates, legs, magnitude, ragged};

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

fn options(simd: Option<Simd>, threads: usize) -> EvaluateOptions {
    EvaluateOptions {
        fee: 0.001,
        threads: Some(threads),
        simd,
        ..EvaluateOptions::default()
    }
}

/// Profits `(simulation, candidate)` of one list shared by all.
fn profits(
    batch: &Batch,
    pairs: &[Multipliers],
    rule: ExitRule,
    options: &EvaluateOptions,
) -> Vec<f32> {
    let mut evaluator = Evaluator::cpu(batch, options).unwrap();
    let groups = Groups::new(&Sharing::All, batch.len()).unwrap();
    let candidates = Candidates::shared(pairs.to_vec()).unwrap();
    let mut profits = vec![f32::NAN; batch.len() * pairs.len()];
    evaluator
        .profits(&groups, &candidates, rule, &mut profits)
        .unwrap();
    profits
}

fn means(
    batch: &Batch,
    sharing: &Sharing,
    candidates: &Candidates,
    rule: ExitRule,
    options: &EvaluateOptions,
) -> Vec<f64> {
    let mut evaluator = Evaluator::cpu(batch, options).unwrap();
    let groups = Groups::new(sharing, batch.len()).unwrap();
    let mut means = vec![f64::NAN; candidates.total(groups.len())];
    evaluator
        .means(&groups, candidates, rule, &mut means)
        .unwrap();
    means
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn bits_f64(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_instruction_set_gives_the_canonical_bits() {
    let available = Simd::available();
    println!("instruction sets: {available:?}");
    let mut nonzero = 0;
    for (index, kind) in KINDS.into_iter().enumerate() {
        let mut rng = Rng::new(10 + index as u64);
        // Lengths around the widths of vectors, blocks and the 32 lanes, and longer.
        let mut builder = Batch::builder();
        for bars in [
            1, 2, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200, 1031,
        ] {
            builder
                .push(Columns::draw(&mut rng, kind, bars).entry_exit())
                .unwrap();
        }
        let batch = builder.build().unwrap();
        let pairs = candidates(&mut rng, &batch, 23);
        for rule in RULES {
            let mut expected = Vec::new();
            for simulation in batch.simulations() {
                let legs = legs(&simulation, 0.001);
                for &pair in &pairs {
                    expected.push(canonical_profit(&legs, pair, 0.001, rule));
                }
            }
            nonzero += expected.iter().filter(|&&profit| profit != 0.0).count();
            for &simd in &available {
                let got = profits(&batch, &pairs, rule, &options(Some(simd), 1));
                let differs = bits(&got)
                    .iter()
                    .zip(bits(&expected))
                    .position(|(a, b)| *a != b);
                assert_eq!(differs, None, "{kind:?} {rule} {simd:?}");
            }
        }
    }
    assert!(nonzero > 1000);
}

#[test]
fn f32_profits_are_close_to_the_f64_reference() {
    for (index, kind) in KINDS.into_iter().enumerate() {
        let mut rng = Rng::new(20 + index as u64);
        let batch = ragged(&mut rng, kind, 40, 300);
        let pairs = candidates(&mut rng, &batch, 16);
        for rule in RULES {
            let got = profits(&batch, &pairs, rule, &options(None, 1));
            for (s, simulation) in batch.simulations().enumerate() {
                let bound = 1e-5 * magnitude(&simulation);
                for (c, &pair) in pairs.iter().enumerate() {
                    let expected = simulation.profit(pair, 0.001, rule);
                    let error = (f64::from(got[s * pairs.len() + c]) - expected).abs();
                    assert!(
                        error <= bound,
                        "{kind:?} {rule} simulation {s} {pair:?}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn means_are_the_means_of_the_profits() {
    let mut rng = Rng::new(30);
    let batch = ragged(&mut rng, Kind::Skilled, 37, 120);
    let pairs = candidates(&mut rng, &batch, 300);
    let shared = Candidates::shared(pairs.clone()).unwrap();
    let profits = profits(&batch, &pairs, ExitRule::Intraday, &options(None, 2));
    for sharing in [Sharing::All, Sharing::PerSimulation, Sharing::Chunks(5)] {
        let groups = Groups::new(&sharing, batch.len()).unwrap();
        let means = means(
            &batch,
            &sharing,
            &shared,
            ExitRule::Intraday,
            &options(None, 2),
        );
        for group in 0..groups.len() {
            for c in 0..pairs.len() {
                let of = |&s: &u32| f64::from(profits[s as usize * pairs.len() + c]);
                let members = groups.members(group);
                let expected = members.iter().map(of).sum::<f64>() / members.len() as f64;
                let got = means[group * pairs.len() + c];
                assert_abs_diff_eq!(got, expected, epsilon = 1e-12);
            }
        }
    }
}

#[test]
fn always_on_is_the_sum_of_its_two_positions() {
    let mut rng = Rng::new(40);
    let columns = Columns::draw(&mut rng, Kind::Skilled, 150);
    let batch_of = |simulation| {
        let mut builder = Batch::builder();
        builder.push(simulation).unwrap();
        builder.build().unwrap()
    };
    let both = batch_of(columns.always_on(true));
    let buy = batch_of(columns.always_on(false));
    let sell = batch_of(trisect::Fields {
        weights: trisect::Weights::EntryExit(&columns.sell[..]),
        ..columns.entry_exit()
    });
    let pairs = candidates(&mut rng, &both, 32);
    let all = [&both, &buy, &sell].map(|batch| {
        let mut options = options(None, 1);
        options.fee = CRYPTO_FEE;
        profits(batch, &pairs, ExitRule::Intraday, &options)
    });
    for (both, (buy, sell)) in all[0].iter().zip(all[1].iter().zip(&all[2])) {
        assert_abs_diff_eq!(*both, buy + sell, epsilon = 1e-4);
    }
    let traded = |of: &[f32]| of.iter().filter(|&&profit| profit != 0.0).count();
    assert!(traded(&all[1]) > 20 && traded(&all[2]) > 20);
}

#[test]
fn lists_per_group_are_scored_for_their_own_group_only() {
    let mut rng = Rng::new(50);
    let batch = ragged(&mut rng, Kind::Skilled, 9, 60);
    let lists: Vec<Vec<Multipliers>> = [3, 0, 140]
        .map(|count| candidates(&mut rng, &batch, count))
        .to_vec();
    let per_group = Candidates::per_group(&lists).unwrap();
    let sharing = Sharing::Chunks(3);
    let got = means(
        &batch,
        &sharing,
        &per_group,
        ExitRule::Intraday,
        &options(None, 2),
    );
    let mut expected = Vec::new();
    for (group, list) in lists.iter().enumerate() {
        let shared = Candidates::shared(list.clone()).unwrap();
        let all = means(
            &batch,
            &sharing,
            &shared,
            ExitRule::Intraday,
            &options(None, 1),
        );
        expected.extend_from_slice(&all[group * list.len()..(group + 1) * list.len()]);
    }
    assert_eq!(bits_f64(&got), bits_f64(&expected));

    let groups = Groups::new(&sharing, batch.len()).unwrap();
    let mut evaluator = Evaluator::cpu(&batch, &options(None, 1)).unwrap();
    let mut profits = vec![0.0; 3 * 3 + 3 * 140];
    evaluator
        .profits(&groups, &per_group, ExitRule::Intraday, &mut profits)
        .unwrap();
    let alone = self::profits(&batch, &lists[2], ExitRule::Intraday, &options(None, 1));
    assert_eq!(bits(&profits[9..]), bits(&alone[6 * 140..]));
}

#[test]
fn large_and_small_sums_stay_within_the_fixed_point() {
    // The extremes of what a batch accepts: moves of 1e6, ten positions, and next to nothing.
    for scale in [1e6_f32, 1.0, 1e-6, 1e-30] {
        let bars = 40;
        let columns = Columns {
            close: vec![0.9 * scale; bars],
            high: vec![scale; bars],
            low: vec![-0.5_f32.min(scale); bars],
            high_pred: vec![scale; bars],
            low_pred: vec![-0.25 * scale.min(1.0); bars],
            position: vec![10.0; bars],
            sell: vec![-10.0; bars],
        };
        let mut builder = Batch::builder();
        for _ in 0..50 {
            builder.push(columns.always_on(true)).unwrap();
        }
        let batch = builder.build().unwrap();
        let pairs = vec![Multipliers::BASELINE, Multipliers::new(-scale, 0.0)];
        let shared = Candidates::shared(pairs.clone()).unwrap();
        let got = means(
            &batch,
            &Sharing::All,
            &shared,
            ExitRule::AtClose,
            &options(None, 2),
        );
        for (c, &pair) in pairs.iter().enumerate() {
            let simulation = batch.simulation(0).unwrap();
            let expected = simulation.profit(pair, 0.001, ExitRule::AtClose);
            // 80 legs of weight 10, each with its fee.
            let bound = 1e-5 * (magnitude(&simulation) + 800.0 * 0.001);
            assert!(
                (got[c] - expected).abs() <= bound,
                "{scale}: {} {expected}",
                got[c]
            );
        }
    }
}

#[test]
fn what_does_not_fit_the_batch_is_refused() {
    let batch = ragged(&mut Rng::new(60), Kind::Skilled, 4, 10);
    let mut evaluator = Evaluator::cpu(&batch, &options(None, 1)).unwrap();
    let shared = Candidates::shared(vec![Multipliers::BASELINE]).unwrap();
    let groups = Groups::new(&Sharing::All, 4).unwrap();
    let others = Groups::new(&Sharing::All, 5).unwrap();
    let lists = Candidates::per_group(&[[Multipliers::BASELINE]; 3]).unwrap();
    let rule = ExitRule::Intraday;
    let mut run = |groups: &Groups, candidates: &Candidates, length: usize| {
        let means = evaluator.means(groups, candidates, rule, &mut vec![0.0; length]);
        let profits = evaluator.profits(groups, candidates, rule, &mut vec![0.0; 4 * length]);
        (means, profits)
    };
    assert!(matches!(
        run(&others, &shared, 1),
        (
            Err(Error::Length {
                expected: 4,
                got: 5,
                ..
            }),
            Err(_)
        )
    ));
    assert!(matches!(
        run(&groups, &lists, 3),
        (
            Err(Error::Length {
                expected: 1,
                got: 3,
                ..
            }),
            Err(_)
        )
    ));
    assert!(matches!(
        run(&groups, &shared, 2),
        (
            Err(Error::Length {
                expected: 1,
                got: 2,
                ..
            }),
            Err(_)
        )
    ));
    assert_eq!(run(&groups, &shared, 1), (Ok(()), Ok(())));
}

/// The batch with its simulations in another order.
fn permuted(batch: &Batch, order: &[usize]) -> Batch {
    let mut builder = Batch::builder();
    for &s in order {
        builder.push(batch.simulation(s).unwrap()).unwrap();
    }
    builder.build().unwrap()
}

fn shuffled(rng: &mut Rng, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, rng.below(i + 1));
    }
    order
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn order_and_threads_do_not_change_a_bit(seed in any::<u64>(), kind in 0..3_usize) {
        let mut rng = Rng::new(seed);
        let batch = ragged(&mut rng, KINDS[kind], 30, 80);
        let pairs = candidates(&mut rng, &batch, 17);
        let shared = Candidates::shared(pairs.clone()).unwrap();
        for rule in RULES {
            let one = means(&batch, &Sharing::All, &shared, rule, &options(None, 1));
            for threads in [2, 7] {
                let more = means(&batch, &Sharing::All, &shared, rule, &options(None, threads));
                prop_assert_eq!(bits_f64(&one), bits_f64(&more));
            }
            // Simulations in another order: the same means.
            let order = shuffled(&mut rng, batch.len());
            let other = permuted(&batch, &order);
            let moved = means(&other, &Sharing::All, &shared, rule, &options(None, 2));
            prop_assert_eq!(bits_f64(&one), bits_f64(&moved));
            // Candidates in another order: the same means, in that order.
            let order = shuffled(&mut rng, pairs.len());
            let reordered = order.iter().map(|&c| pairs[c]).collect();
            let reordered = Candidates::shared(reordered).unwrap();
            let moved = means(&batch, &Sharing::All, &reordered, rule, &options(None, 2));
            let expected: Vec<f64> = order.iter().map(|&c| one[c]).collect();
            prop_assert_eq!(bits_f64(&expected), bits_f64(&moved));
        }
    }

    #[test]
    fn a_batch_is_its_simulations_one_by_one(seed in any::<u64>(), kind in 0..3_usize) {
        let mut rng = Rng::new(seed);
        let batch = ragged(&mut rng, KINDS[kind], 12, 100);
        let pairs = candidates(&mut rng, &batch, 11);
        for rule in RULES {
            let all = profits(&batch, &pairs, rule, &options(None, 2));
            for s in 0..batch.len() {
                let alone = profits(&permuted(&batch, &[s]), &pairs, rule, &options(None, 1));
                let row = &all[s * pairs.len()..(s + 1) * pairs.len()];
                prop_assert_eq!(bits(row), bits(&alone));
            }
        }
    }
}
