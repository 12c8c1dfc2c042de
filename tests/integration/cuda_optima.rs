//! Exact optima found on a GPU: the multipliers, profits and bounds of the CPU, in every bit.
//!
//! Where these tests run, and where they say that they do not, is told at the head of `cuda.rs`.

use std::ops::ControlFlow;

use trisect::{
    Batch, Error, Evaluate, EvaluateOptions, Evaluator, Exact, ExactOptions, ExactSolver,
    ExitChoice, ExitRule, GroupOutcome, Groups, Method, OnCap, OptimaTask, OptimizeOptions,
    Outcome, Progress, Sharing, Storage, optimize,
};

use crate::cuda::{Standin, alone, batch_of, has_gpu, options};
use crate::exact::{Terms, draw_batch};
use crate::support::{Columns, KINDS, Kind, Rng};

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

/// Legs that a group may have on any GPU, whatever its levels.
const SURELY: usize = 400;

fn gpu_options(fee: f64) -> EvaluateOptions {
    EvaluateOptions { fee, ..options() }
}

fn task<'a>(groups: &'a Groups, terms: &Terms) -> OptimaTask<'a> {
    OptimaTask {
        groups,
        range: 0..groups.len(),
        exit_rule: terms.rule,
        high_bounds: terms.high,
        low_bounds: terms.low,
    }
}

fn legs(batch: &Batch, members: &[u32]) -> usize {
    let simulations = members
        .iter()
        .map(|&s| batch.simulation(s as usize).unwrap());
    simulations
        .map(|simulation| simulation.positions().filter(|(_, p)| *p != 0.0).count())
        .sum()
}

/// All that must be equal: multipliers, profit and bound.
fn bits(exact: &Exact) -> [u64; 4] {
    [
        u64::from(exact.multipliers.high.to_bits()),
        u64::from(exact.multipliers.low.to_bits()),
        exact.profit.to_bits(),
        exact.upper_bound.to_bits(),
    ]
}

/// Asserts that what the GPU finds is what the CPU finds; returns how many groups it took.
fn assert_same(
    gpu: &mut Evaluator<'_>,
    batch: &Batch,
    groups: &Groups,
    terms: &Terms,
    what: &str,
) -> usize {
    let found = gpu.exact_optima(&task(groups, terms)).unwrap().unwrap();
    assert_eq!(found.len(), groups.len(), "{what}");
    let mut solver = ExactSolver::new();
    let mut taken = 0;
    for (group, found) in found.iter().enumerate() {
        let members = groups.members(group);
        let Some(found) = found else {
            let legs = legs(batch, members);
            assert!(
                legs > SURELY,
                "{what}: group {group} with {legs} legs is refused"
            );
            continue;
        };
        let expected = terms.solve(&mut solver, batch, members);
        assert!(
            bits(found) == bits(&expected),
            "{what}: group {group} of {} legs: {found:?}, not {expected:?}; {terms:?}",
            legs(batch, members),
        );
        assert!(found.is_proved(), "{what}: group {group}");
        assert!(found.work > 0, "{what}: group {group}");
        taken += 1;
    }
    taken
}

fn sharing(rng: &mut Rng, simulations: usize) -> Sharing {
    match rng.below(4) {
        0 => Sharing::Chunks(1 + rng.below(3)),
        1 => {
            let labels = (0..simulations).map(|_| rng.below(1 + simulations / 2).to_string());
            Sharing::Groups(labels.collect())
        }
        _ => Sharing::PerSimulation,
    }
}

#[test]
fn optima_of_small_groups_have_the_bits_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut rng = Rng::new(300);
    let mut taken = 0;
    let (mut always_on, mut closes) = (0, 0);
    for case in 0..260 {
        let (simulations, longest) = [(60, 2), (40, 9), (25, 40), (12, 150), (6, 400)][case % 5];
        let (batch, _) = draw_batch(&mut rng, simulations, longest);
        let mut terms = Terms::draw(&mut rng);
        if rng.below(12) == 0 {
            // A box of one point.
            terms.high.1 = terms.high.0;
            terms.low.1 = terms.low.0;
        }
        let sharing = sharing(&mut rng, batch.len());
        let groups = Groups::new(&sharing, batch.len()).unwrap();
        let mut gpu = Evaluator::cuda(&batch, &[0], &gpu_options(terms.fee)).unwrap();
        // Twice: the second time the legs are there.
        for rule in [terms.rule, RULES[case / 5 % 2]] {
            let terms = Terms { rule, ..terms };
            taken += assert_same(&mut gpu, &batch, &groups, &terms, &format!("case {case}"));
            closes += usize::from(rule == ExitRule::AtClose);
        }
        let first = batch.simulation(0).unwrap();
        always_on += usize::from(matches!(first.weights, trisect::Weights::AlwaysOn { .. }));
    }
    println!("{taken} groups");
    assert!(taken > 7000, "{taken}");
    assert!(always_on > 30 && closes > 100, "{always_on}, {closes}");
}

#[test]
fn optima_of_groups_near_the_limit_have_the_bits_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let terms = Terms {
        fee: 0.001,
        rule: ExitRule::Intraday,
        high: (-0.03, 0.03),
        low: (-0.03, 0.03),
    };
    let mut taken = 0;
    for (kind, seed) in KINDS.into_iter().zip(310..) {
        // One leg per bar, but in wild ones, where some positions are 0.
        let batch = batch_of(kind, seed, &[2000, 999, 1001, 2047, 2048, 600]);
        let mut gpu = Evaluator::cuda(&batch, &[0], &gpu_options(terms.fee)).unwrap();
        let groups = Groups::new(&Sharing::PerSimulation, batch.len()).unwrap();
        for rule in RULES {
            let terms = Terms { rule, ..terms };
            taken += assert_same(&mut gpu, &batch, &groups, &terms, &format!("{kind:?}"));
        }
    }
    println!("{taken} groups");
    assert!(taken >= 6, "{taken}");
}

/// Legs that all have the same gates, no gates inside the box, or no legs at all.
#[test]
fn optima_of_odd_groups_have_the_bits_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut rng = Rng::new(320);
    let mut builder = Batch::builder();
    for bars in [0, 1, 2, 31, 32, 33, 64, 100] {
        for kind in KINDS {
            let mut columns = Columns::draw(&mut rng, kind, bars.max(1));
            match bars {
                0 => columns.position.fill(0.0),
                33 => {
                    for column in [
                        &mut columns.high,
                        &mut columns.low,
                        &mut columns.high_pred,
                        &mut columns.low_pred,
                        &mut columns.close,
                    ] {
                        let first = column[0];
                        column.fill(first);
                    }
                }
                64 => {
                    // Levels at 0 and on the clamps.
                    columns.high.fill(0.0);
                    columns.low.fill(0.0);
                    columns.close.fill(0.0);
                }
                100 => {
                    // Half of the legs are entered without a move of their level.
                    columns.high_pred.iter_mut().for_each(|x| *x = -x.abs());
                    columns.low_pred.iter_mut().for_each(|x| *x = x.abs());
                }
                _ => {}
            }
            builder.push(columns.entry_exit()).unwrap();
        }
    }
    let batch = builder.build().unwrap();
    let boxes = [
        (-0.03, 0.03),
        (0.0, 0.0),
        (-0.0, 0.01),
        (0.004, 0.004),
        (0.01, 0.03),
        (-0.03, -0.01),
        (-12.0, 12.0),
        (-1e6, 1e6),
        (-1e-30, 1e-38),
    ];
    let mut taken = 0;
    for fee in [0.0, 0.02] {
        let mut gpu = Evaluator::cuda(&batch, &[0], &gpu_options(fee)).unwrap();
        for sharing in [Sharing::PerSimulation, Sharing::Chunks(2)] {
            let groups = Groups::new(&sharing, batch.len()).unwrap();
            for high in boxes {
                for low in boxes {
                    let rule = RULES[taken % 2];
                    let terms = Terms {
                        fee,
                        rule,
                        high,
                        low,
                    };
                    taken += assert_same(&mut gpu, &batch, &groups, &terms, "odd");
                }
            }
        }
    }
    assert!(taken > 3000, "{taken}");
}

#[test]
fn optima_depend_on_neither_the_order_nor_the_number_of_threads() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    let mut rng = Rng::new(330);
    let mut taken = 0;
    for case in 0..24 {
        let (batch, _) = draw_batch(&mut rng, 12, [9, 60, 150][case % 3]);
        let terms = Terms::draw(&mut rng);
        let groups = Groups::new(&sharing(&mut rng, batch.len()), batch.len()).unwrap();
        let mut gpu = Evaluator::cuda(&batch, &[0], &gpu_options(terms.fee)).unwrap();
        for (schedule, threads) in [
            (0, 32),
            (1, 0),
            (1, 64),
            (2, 0),
            (3, 96),
            (4, 256),
            (5, 160),
        ] {
            standin.set("schedule", schedule);
            standin.set("threads", threads);
            let what = format!("case {case}, schedule {schedule}, {threads} threads");
            taken += assert_same(&mut gpu, &batch, &groups, &terms, &what);
        }
    }
    assert!(taken > 1000, "{taken}");
    assert_eq!(standin.get("violations"), 0);
}

fn exact_options(sharing: Sharing, exit_rule: ExitChoice, exact: ExactOptions) -> OptimizeOptions {
    OptimizeOptions {
        sharing,
        exit_rule,
        method: Method::Exact(exact),
        ..OptimizeOptions::default()
    }
}

/// Everything but the work, which is counted differently.
fn without_work(outcome: &Outcome) -> (Vec<GroupOutcome>, &[f64], u64) {
    let groups = outcome.groups.iter().map(|group| GroupOutcome {
        work: 0,
        ..group.clone()
    });
    (groups.collect(), &outcome.profits, outcome.rounds)
}

/// Small groups on the GPU, a large one on the CPU.
#[test]
fn the_exact_method_gives_the_outcome_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let lengths = [200, 3, 40, 2100, 90, 300, 1, 77];
    let batch = batch_of(Kind::Skilled, 340, &lengths);
    let both = ExitChoice::Both;
    let labels = ["a", "b", "a", "c", "b", "a", "d", "d"].map(str::to_owned);
    for sharing in [Sharing::PerSimulation, Sharing::Groups(labels.to_vec())] {
        for rule in [ExitChoice::Fixed(ExitRule::AtClose), both] {
            let options_of_search = exact_options(sharing.clone(), rule, ExactOptions::default());
            let mut cpu = Evaluator::cpu(&batch, &options()).unwrap();
            let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
            let expected = optimize(&mut cpu, &options_of_search, ()).unwrap();
            let got = optimize(&mut gpu, &options_of_search, ()).unwrap();
            assert_eq!(without_work(&got), without_work(&expected));
            assert!(got.groups.iter().all(|group| group.work > 0));
            // The same with somebody who watches.
            let watch = |_: &Progress<'_>| ControlFlow::Continue(());
            let watched = optimize(&mut gpu, &options_of_search, watch).unwrap();
            assert_eq!(without_work(&watched).0, without_work(&expected).0);
        }
    }
}

/// Options that may end a search before its proof, or refuse it, are the CPU's to follow.
#[test]
fn limits_of_work_and_memory_have_the_outcome_of_the_cpu() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let batch = batch_of(Kind::Skilled, 350, &[200, 150, 9]);
    for exact in [
        ExactOptions {
            work_cap: Some(10),
            on_cap: OnCap::Gap,
            ..ExactOptions::default()
        },
        ExactOptions {
            max_bytes: Some(10_000),
            ..ExactOptions::default()
        },
    ] {
        let rule = ExitChoice::Fixed(ExitRule::Intraday);
        let options_of_search = exact_options(Sharing::PerSimulation, rule, exact);
        let mut cpu = Evaluator::cpu(&batch, &options()).unwrap();
        let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
        let expected = optimize(&mut cpu, &options_of_search, ());
        let got = optimize(&mut gpu, &options_of_search, ());
        match (&expected, &got) {
            (Ok(expected), Ok(got)) => assert_eq!(got.groups, expected.groups),
            _ => assert_eq!(got.err(), expected.err()),
        }
    }
}

#[test]
fn several_devices_share_the_groups() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    standin.set("devices", 3);
    let mut rng = Rng::new(360);
    for (simulations, sharing) in [
        (40, Sharing::PerSimulation),
        (40, Sharing::Chunks(3)),
        (3, Sharing::All),
    ] {
        let (batch, _) = draw_batch(&mut rng, simulations, 60);
        let terms = Terms::draw(&mut rng);
        let groups = Groups::new(&sharing, batch.len()).unwrap();
        let mut gpu = Evaluator::cuda(&batch, &[2, 0, 1], &gpu_options(terms.fee)).unwrap();
        let taken = assert_same(&mut gpu, &batch, &groups, &terms, "three devices");
        assert_eq!(taken, groups.len());
        // A part of the groups, over the ends of the devices' runs.
        let whole = gpu.exact_optima(&task(&groups, &terms)).unwrap().unwrap();
        for range in [0..0, 0..1, groups.len() / 2..groups.len(), 0..groups.len()] {
            let part = OptimaTask {
                range: range.clone(),
                ..task(&groups, &terms)
            };
            let part = gpu.exact_optima(&part).unwrap().unwrap();
            assert_eq!(part, whole[range]);
        }
    }
}

#[test]
fn who_stores_halves_and_who_is_a_cpu_offers_no_optima() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let batch = batch_of(Kind::Skilled, 370, &[20, 3]);
    let groups = Groups::new(&Sharing::PerSimulation, batch.len()).unwrap();
    let terms = Terms::draw(&mut Rng::new(1));
    let mut cpu = Evaluator::cpu(&batch, &options()).unwrap();
    assert_eq!(cpu.exact_optima(&task(&groups, &terms)), None);
    for storage in [Storage::F16, Storage::Bf16] {
        let options = EvaluateOptions {
            storage,
            ..options()
        };
        let mut gpu = Evaluator::cuda(&batch, &[0], &options).unwrap();
        assert_eq!(gpu.exact_optima(&task(&groups, &terms)), None);
    }
}

#[test]
fn wrong_tasks_are_refused_and_leave_the_evaluator_usable() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let batch = batch_of(Kind::Skilled, 380, &[20, 3]);
    let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
    let groups = Groups::new(&Sharing::PerSimulation, batch.len()).unwrap();
    let others = Groups::new(&Sharing::All, 3).unwrap();
    let terms = Terms::draw(&mut Rng::new(1));
    let right = task(&groups, &terms);
    #[allow(clippy::reversed_empty_ranges, reason = "to be refused")]
    let wrong = [
        task(&others, &terms),
        OptimaTask {
            range: 0..3,
            ..right.clone()
        },
        OptimaTask {
            range: 2..1,
            ..right.clone()
        },
        OptimaTask {
            high_bounds: (0.1, 0.0),
            ..right.clone()
        },
        OptimaTask {
            low_bounds: (f32::NAN, 0.0),
            ..right.clone()
        },
    ];
    for task in wrong {
        let refused = gpu.exact_optima(&task).unwrap();
        assert!(refused.is_err(), "{task:?}");
        assert!(!matches!(refused, Err(Error::Cuda(_))), "{refused:?}");
    }
    let found = gpu.exact_optima(&right).unwrap().unwrap();
    assert!(found.iter().all(Option::is_some));
}

#[test]
fn a_failed_launch_is_an_error_and_lack_of_memory_is_none() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    let batch = batch_of(Kind::Skilled, 390, &[20, 3, 50]);
    let groups = Groups::new(&Sharing::PerSimulation, batch.len()).unwrap();
    let terms = Terms::draw(&mut Rng::new(1));
    let task = task(&groups, &terms);
    for control in ["fail_allocation", "fail_pinned"] {
        let mut without = 0;
        for n in 1.. {
            let mut gpu = Evaluator::cuda(&batch, &[0], &gpu_options(terms.fee)).unwrap();
            standin.reset();
            standin.set(control, n);
            let found = gpu.exact_optima(&task).unwrap().unwrap();
            standin.reset();
            assert_same(&mut gpu, &batch, &groups, &terms, control);
            if found.iter().all(Option::is_some) {
                break;
            }
            assert_eq!(found, [None; 3], "{control} {n}");
            without += 1;
        }
        assert!(without >= 4, "{control}: {without}");
    }

    let mut gpu = Evaluator::cuda(&batch, &[0], &gpu_options(terms.fee)).unwrap();
    let allocations = |gpu: &mut Evaluator<'_>| {
        gpu.exact_optima(&task).unwrap().unwrap();
        (standin.get("allocations"), standin.get("pinned"))
    };
    let first = allocations(&mut gpu);
    assert_eq!(allocations(&mut gpu), first);

    standin.set("fail_launch", 1);
    let error = gpu.exact_optima(&task).unwrap().unwrap_err();
    assert!(matches!(error, Error::Cuda(_)), "{error:?}");
    assert_eq!(gpu.exact_optima(&task).unwrap().unwrap_err(), error);
    drop(gpu);
    standin.assert_nothing_left();
}
