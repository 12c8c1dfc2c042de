//! Which searches a GPU runs whole, and how: on which device, in which launches and lanes, on the way
//! of a streamed batch, until a flag cancels them. What they find is the matter of
//! [`cuda_searches`](crate::cuda_searches).

use std::sync::atomic::{AtomicBool, Ordering};

use trisect::{
    Bounds, Candidates, DirectOptions, Evaluate, EvaluateOptions, Evaluator, ExitChoice, ExitRule,
    Groups, Method, Multipliers, OptimizeOptions, Path, SearchTask, Sharing, StopReason, Storage,
    optimize,
};

use crate::cuda::{Standin, alone, has_gpu, options, rounded};
use crate::cuda_searches::{RULES, batch_with_plateaus, bits, compare, expected};
use crate::support::{Kind, Rng, ragged};

/// Whoever does not watch gets one launch, with the same outcome.
#[test]
fn the_driver_leaves_unwatched_searches_to_the_device() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let standin = Standin::find();
    let mut rng = Rng::new(110);
    let batch = ragged(&mut rng, Kind::Skilled, 30, 60);
    for sharing in [Sharing::All, Sharing::PerSimulation, Sharing::Chunks(4)] {
        for exit_rule in [ExitChoice::Both, ExitChoice::Fixed(ExitRule::AtClose)] {
            let options_of_search = OptimizeOptions {
                sharing: sharing.clone(),
                method: Method::Direct(DirectOptions {
                    max_evaluations: 80,
                    ..DirectOptions::production()
                }),
                exit_rule,
                ..OptimizeOptions::default()
            };
            let mut cpu = Evaluator::cpu(&batch, &options()).unwrap();
            let expected = optimize(&mut cpu, &options_of_search, ()).unwrap();
            assert_ne!(expected.path, Path::OneLaunch);
            let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
            let before = standin.as_ref().map(|standin| standin.get("launches"));
            let got = optimize(&mut gpu, &options_of_search, ()).unwrap();
            assert_eq!(got.path, Path::OneLaunch);
            if let (Some(standin), Some(before)) = (&standin, before) {
                assert_eq!(standin.get("launches"), before + 1);
            }
            let watcher = |_: &trisect::Progress<'_>| std::ops::ControlFlow::Continue(());
            let watched = optimize(&mut gpu, &options_of_search, watcher).unwrap();
            assert_eq!(watched.path, Path::Lockstep);
            let timed = OptimizeOptions {
                time_limit: Some(std::time::Duration::from_secs(3600)),
                ..options_of_search
            };
            let timed = optimize(&mut gpu, &timed, ()).unwrap();
            assert_eq!(timed.path, Path::Lockstep);
            for outcome in [&got, &watched, &timed] {
                assert_eq!(outcome.groups, expected.groups);
                assert_eq!(outcome.profits, expected.profits);
                assert_eq!(outcome.rounds, expected.rounds);
                assert_eq!(outcome.evaluations, expected.evaluations);
                assert_eq!(outcome.bar_candidates, expected.bar_candidates);
            }
        }
    }
}

/// A search that would hold the device for long is cut into launches; few large groups share the
/// device, and small ones follow.
#[test]
fn wide_searches_are_cut_into_launches_and_share_the_device() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    standin.set("threads", 64);
    standin.set("multiprocessors", 3);
    let bounds = Bounds::symmetric(2, 0.03).unwrap();
    let batch = batch_with_plateaus(Kind::Ties, &[3500, 3500]);
    let groups = Groups::new(&Sharing::All, 2).unwrap();
    let long = DirectOptions {
        max_evaluations: 12_000,
        volume_tolerance: 0.0,
        side_tolerance: 0.0,
        ..DirectOptions::production()
    };
    let task = SearchTask::new(&groups, &RULES[..1], &bounds, &long).unwrap();
    let searched = compare(&batch, &[0], &options(), &task, "a cut search").unwrap();
    assert_eq!(searched[0].stop, StopReason::Evaluations);
    assert_eq!(standin.get("wide_launches"), 2);

    // Cancelled after the first launch: what was found so far.
    static FLAG: AtomicBool = AtomicBool::new(false);
    standin.raise(&FLAG, 1);
    let mut task = task;
    task.cancel = Some(&FLAG);
    let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
    let cut = gpu.searches().unwrap().search(&task).unwrap().unwrap()[0];
    assert_eq!(standin.get("wide_launches"), 3);
    assert_eq!(cut.stop, StopReason::Cancelled);
    let budget = usize::try_from(cut.evaluations).unwrap();
    assert!(budget > 1000 && budget < long.max_evaluations, "{budget}");
    let until_then = DirectOptions {
        max_evaluations: budget,
        ..long
    };
    let task = SearchTask::new(&groups, &RULES[..1], &bounds, &until_then).unwrap();
    let cpu = Evaluator::cpu(&batch, &options()).unwrap();
    let expected = expected(&cpu, &task)[0];
    assert_eq!(cut.evaluations, expected.evaluations);
    assert_eq!((cut.point, cut.value), (expected.point, expected.value));

    standin.set("multiprocessors", 7);
    let lengths: Vec<usize> = (0..90)
        .map(|index| if index < 60 { 240 } else { 20 })
        .collect();
    let batch = batch_with_plateaus(Kind::Skilled, &lengths);
    let labels = (0..90).map(|index| {
        let group = if index < 60 { index % 2 } else { index };
        format!("{group}")
    });
    let groups = Groups::new(&Sharing::Groups(labels.collect()), 90).unwrap();
    let few = DirectOptions {
        max_evaluations: 60,
        ..DirectOptions::production()
    };
    let task = SearchTask::new(&groups, &RULES[..1], &bounds, &few).unwrap();
    let (wide, all) = (standin.get("wide_launches"), standin.get("launches"));
    let searched = compare(&batch, &[0], &options(), &task, "large and small groups");
    assert_eq!(searched.map(|searched| searched.len()), Some(32));
    assert_eq!(standin.get("wide_launches"), wide + 1);
    assert_eq!(standin.get("launches"), all + 2);
}

/// Every choice of the three streams that hurry ahead of those for which they are not made to wait.
const ORDERS: [i64; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Runs the same work in each of these orders; once, on a GPU.
fn in_orders(orders: &[i64], mut work: impl FnMut(&str)) {
    let standin = Standin::find();
    let count = if standin.is_some() { orders.len() } else { 1 };
    for &prompt in &orders[..count] {
        if let Some(standin) = &standin {
            standin.set("prompt", prompt);
        }
        work(&format!("prompt {prompt}"));
        if let Some(standin) = &standin {
            standin.assert_nothing_left();
            assert_eq!(standin.get("violations"), 0, "prompt {prompt}");
        }
    }
}

/// Where memory is for few searches at a time, many launches share two lanes. The longest come first,
/// which is not the order of the groups.
#[test]
fn many_launches_in_two_lanes_are_the_searches_of_direct() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let standin = Standin::find();
    let lengths: Vec<usize> = (0..60).map(|index| 20 + index * 37 % 60).collect();
    let batch = batch_with_plateaus(Kind::Skilled, &lengths);
    let groups = Groups::new(&Sharing::PerSimulation, batch.len()).unwrap();
    let bounds = Bounds::symmetric(2, 0.03).unwrap();
    let few = DirectOptions {
        max_evaluations: 60,
        ..DirectOptions::production()
    };
    let evaluate = EvaluateOptions {
        max_device_bytes: Some(100_000),
        ..options()
    };
    for rules in [&RULES[..1], &RULES[..]] {
        let task = SearchTask::new(&groups, rules, &bounds, &few).unwrap();
        in_orders(&ORDERS, |order| {
            let before = standin.as_ref().map(|standin| standin.get("launches"));
            let searched = compare(&batch, &[0], &evaluate, &task, order);
            assert!(searched.is_some(), "{order}");
            if let (Some(standin), Some(before)) = (&standin, before) {
                let launches = standin.get("launches") - before;
                assert!(launches > 10, "{launches}, {order}");
            }
        });
    }
    // Whichever launch fails, nothing of what others still use is freed before they have ended.
    if let Some(standin) = &standin {
        standin.set("prompt", 0);
        let task = SearchTask::new(&groups, &RULES[..1], &bounds, &few).unwrap();
        for launch in [1, 2, 7] {
            let mut gpu = Evaluator::cuda(&batch, &[0], &evaluate).unwrap();
            standin.set("fail_launch", launch);
            assert!(gpu.searches().unwrap().search(&task).is_err());
            drop(gpu);
            standin.assert_nothing_left();
        }
        assert_eq!(standin.get("violations"), 0);
    }
}

/// A batch that does not fit passes through the device chunk by chunk, and so do its searches, again
/// and again.
#[test]
fn searches_of_a_streamed_batch_are_those_of_direct() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let standin = Standin::find();
    let each = ragged(&mut Rng::new(150), Kind::Skilled, 100, 90);
    // All bars are legs: two neighbours are a chunk.
    let pairs = batch_with_plateaus(Kind::Skilled, &[50; 100]);
    let bounds = Bounds::symmetric(2, 0.03).unwrap();
    let few = DirectOptions {
        max_evaluations: 20,
        ..DirectOptions::production()
    };
    let each_alone = Sharing::PerSimulation;
    for (batch, sharing, storage, most, orders) in [
        (&each, each_alone.clone(), Storage::F32, 80_000, &ORDERS[..]),
        (&each, each_alone, Storage::F16, 48_000, &ORDERS[..1]),
        (
            &pairs,
            Sharing::Chunks(2),
            Storage::F32,
            46_080,
            &ORDERS[7..],
        ),
    ] {
        let evaluate = EvaluateOptions {
            storage,
            max_device_bytes: Some(most),
            ..options()
        };
        let groups = Groups::new(&sharing, batch.len()).unwrap();
        let task = SearchTask::new(&groups, &RULES, &bounds, &few).unwrap();
        let stored = rounded(batch, storage);
        let cpu = Evaluator::cpu(&stored, &evaluate).unwrap();
        let expected: Vec<_> = expected(&cpu, &task).iter().map(bits).collect();
        in_orders(orders, |order| {
            let mut gpu = Evaluator::cuda(batch, &[0], &evaluate).unwrap();
            assert!(gpu.device().contains("streamed"), "{}", gpu.device());
            for turn in 0..2 {
                let before = standin.as_ref().map(|standin| standin.get("launches"));
                let got = gpu.searches().unwrap().search(&task).unwrap();
                let got: Vec<_> = got.unwrap().iter().map(bits).collect();
                assert!(got == expected, "{sharing:?}, {storage:?}, {order}, {turn}");
                // More chunks than buffers.
                if let (Some(standin), Some(before)) = (&standin, before) {
                    let launches = standin.get("launches") - before;
                    assert!(launches > 16, "{launches}");
                }
                // Rounds in between use the same buffers.
                let pairs = [Multipliers::new(0.01, -0.01)];
                let candidates = Candidates::shared(pairs.to_vec()).unwrap();
                let [means, of_cpu] = [&mut gpu, &mut Evaluator::cpu(&stored, &evaluate).unwrap()]
                    .map(|evaluator| {
                        let mut means = vec![f64::NAN; groups.len()];
                        let rule = ExitRule::Intraday;
                        evaluator
                            .means(&groups, &candidates, rule, &mut means)
                            .unwrap();
                        means
                    });
                assert_eq!(means, of_cpu, "{order}");
            }
        });
        let options_of_search = OptimizeOptions {
            sharing,
            method: Method::Direct(few),
            ..OptimizeOptions::default()
        };
        let mut cpu = Evaluator::cpu(&stored, &evaluate).unwrap();
        let mut gpu = Evaluator::cuda(batch, &[0], &evaluate).unwrap();
        let expected = optimize(&mut cpu, &options_of_search, ()).unwrap();
        let got = optimize(&mut gpu, &options_of_search, ()).unwrap();
        assert_eq!(got.path, Path::OneLaunch);
        // Outcomes have the profits of the batch itself.
        if storage == Storage::F32 {
            assert!(got.groups == expected.groups, "{most}");
        }
    }
    // Cancelled on the way: what was launched has ended, the rest has not begun.
    let Some(standin) = standin else {
        return;
    };
    static FLAG: AtomicBool = AtomicBool::new(false);
    standin.set("prompt", 0);
    let evaluate = EvaluateOptions {
        max_device_bytes: Some(80_000),
        ..options()
    };
    let groups = Groups::new(&Sharing::PerSimulation, each.len()).unwrap();
    let mut task = SearchTask::new(&groups, &RULES, &bounds, &few).unwrap();
    let mut gpu = Evaluator::cuda(&each, &[0], &evaluate).unwrap();
    let whole = gpu.searches().unwrap().search(&task).unwrap().unwrap();
    task.cancel = Some(&FLAG);
    standin.raise(&FLAG, 12);
    let cut = gpu.searches().unwrap().search(&task).unwrap().unwrap();
    let (mut kept, mut left) = (0, 0);
    for (cut, whole) in cut.iter().zip(&whole) {
        if cut.stop == StopReason::Cancelled {
            assert_eq!((cut.point, cut.evaluations), (None, 0));
            left += 1;
        } else {
            assert_eq!(cut, whole);
            kept += 1;
        }
    }
    assert!(kept >= 24 && left >= 24, "{kept} and {left}");
}

/// On the way of a streamed batch a wide search comes after searches by one block each, of earlier
/// chunks; it waits for both lanes.
#[test]
fn wide_searches_of_a_streamed_batch_overlap_with_no_other() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let standin = Standin::find();
    // A chunk each: two simulations, then two groups of five.
    let lengths = [[5000; 2].as_slice(), &[1000; 10]].concat();
    let batch = batch_with_plateaus(Kind::Skilled, &lengths);
    let labels = (0..12_usize).map(|index| match index {
        0 | 1 => format!("{index}"),
        _ => format!("five {}", (index - 2) / 5),
    });
    let groups = Groups::new(&Sharing::Groups(labels.collect()), batch.len()).unwrap();
    let bounds = Bounds::symmetric(2, 0.03).unwrap();
    let few = DirectOptions {
        max_evaluations: 9,
        ..DirectOptions::production()
    };
    let evaluate = EvaluateOptions {
        max_device_bytes: Some(400_000),
        ..options()
    };
    let task = SearchTask::new(&groups, &RULES[..1], &bounds, &few).unwrap();
    in_orders(&ORDERS, |order| {
        let before = standin.as_ref().map(|standin| standin.get("wide_launches"));
        let searched = compare(&batch, &[0], &evaluate, &task, order);
        assert!(searched.is_some(), "{order}");
        if let (Some(standin), Some(before)) = (&standin, before) {
            assert_eq!(standin.get("wide_launches") - before, 2, "{order}");
        }
    });
}

/// A flag cancels between launches: searches that have ended keep their results, one that has begun
/// has what it found, the others have nothing.
#[test]
fn a_flag_cancels_searches_between_launches() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    standin.set("threads", 32);
    standin.set("multiprocessors", 1);
    static FLAG: AtomicBool = AtomicBool::new(false);
    let batch = ragged(&mut Rng::new(140), Kind::Skilled, 20, 60);
    let few_at_a_time = OptimizeOptions {
        sharing: Sharing::PerSimulation,
        method: Method::Direct(DirectOptions {
            max_evaluations: 20_000,
            max_iterations: Some(4),
            ..DirectOptions::production()
        }),
        ..OptimizeOptions::default()
    };
    let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
    let mut search = |raised_after: i64| {
        FLAG.store(raised_after == 0, Ordering::Relaxed);
        standin.raise(&FLAG, raised_after);
        let before = standin.get("launches");
        let outcome = optimize(&mut gpu, &few_at_a_time, &FLAG).unwrap();
        assert_eq!(outcome.path, Path::OneLaunch);
        (outcome, standin.get("launches") - before)
    };
    let (whole, launches) = search(-1);
    assert!(launches > 5, "{launches}");
    let ended = whole.groups.iter().map(|group| group.stop);
    assert!(ended.into_iter().all(|stop| stop == StopReason::Iterations));
    for after in [0, 1, 2] {
        let (cut, launches) = search(after);
        assert_eq!(launches, after);
        let mut kept = 0;
        for (group, whole) in cut.groups.iter().zip(&whole.groups) {
            if group.stop == StopReason::Cancelled {
                assert_eq!(
                    (group.multipliers, group.evaluations),
                    (Multipliers::BASELINE, 0)
                );
            } else {
                assert_eq!(group, whole);
                kept += 1;
            }
        }
        assert!(
            kept >= after && kept < 20 && (after > 0 || kept == 0),
            "{kept}"
        );
    }
}

/// Without cooperative launches, or where the blocks do not fit, the driver goes round by round.
#[test]
fn a_device_whose_blocks_cannot_wait_for_each_other_leaves_large_groups_to_the_driver() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    standin.set("threads", 64);
    standin.set("multiprocessors", 4);
    let batch = batch_with_plateaus(Kind::Skilled, &[1200; 60]);
    let options_of_search = OptimizeOptions {
        method: Method::Direct(DirectOptions {
            max_evaluations: 40,
            ..DirectOptions::production()
        }),
        exit_rule: ExitChoice::Fixed(ExitRule::Intraday),
        ..OptimizeOptions::default()
    };
    let mut cpu = Evaluator::cpu(&batch, &options()).unwrap();
    let expected = optimize(&mut cpu, &options_of_search, ()).unwrap();
    for (cooperative, path) in [(1, Path::OneLaunch), (0, Path::Lockstep)] {
        standin.set("cooperative", cooperative);
        let mut gpu = Evaluator::cuda(&batch, &[0], &options()).unwrap();
        let got = optimize(&mut gpu, &options_of_search, ()).unwrap();
        assert_eq!(got.path, path);
        assert_eq!(got.groups, expected.groups);
        assert_eq!(got.rounds, expected.rounds);
    }
}

#[test]
fn what_a_device_cannot_search_whole_goes_round_by_round() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let mut rng = Rng::new(120);
    let batch = ragged(&mut rng, Kind::Skilled, 40, 90);
    let search =
        |options_of_search: DirectOptions, evaluate: &EvaluateOptions, devices: &[usize]| {
            let options_of_search = OptimizeOptions {
                sharing: Sharing::Chunks(7),
                method: Method::Direct(options_of_search),
                ..OptimizeOptions::default()
            };
            let mut cpu = Evaluator::cpu(&batch, evaluate).unwrap();
            let mut gpu = Evaluator::cuda(&batch, devices, evaluate).unwrap();
            let expected = optimize(&mut cpu, &options_of_search, ()).unwrap();
            let got = optimize(&mut gpu, &options_of_search, ()).unwrap();
            assert_eq!(got.groups, expected.groups);
            got.path
        };
    let few = DirectOptions {
        max_evaluations: 60,
        ..DirectOptions::production()
    };
    assert_eq!(search(few, &options(), &[0]), Path::OneLaunch);
    let streamed = EvaluateOptions {
        max_device_bytes: Some(40_000),
        ..options()
    };
    // Groups in several chunks.
    assert_eq!(search(few, &streamed, &[0]), Path::Lockstep);
    // Room for the batch, not for the rectangles of a search.
    let tight = EvaluateOptions {
        max_device_bytes: Some(120_000),
        ..options()
    };
    let many = DirectOptions {
        max_evaluations: 20_000,
        max_iterations: Some(4),
        ..DirectOptions::production()
    };
    assert_eq!(search(many, &tight, &[0]), Path::Lockstep);
    if let Some(standin) = Standin::find() {
        standin.set("devices", 2);
        // A group on both devices.
        assert_eq!(search(few, &options(), &[0, 1]), Path::Lockstep);
    }
}

#[test]
fn several_devices_share_the_searches() {
    let _alone = alone();
    let Some(standin) = Standin::needed() else {
        return;
    };
    standin.set("devices", 3);
    let mut rng = Rng::new(130);
    let batch = ragged(&mut rng, Kind::Skilled, 40, 90);
    let groups = Groups::new(&Sharing::PerSimulation, batch.len()).unwrap();
    let bounds = Bounds::symmetric(2, 0.03).unwrap();
    let few = DirectOptions {
        max_evaluations: 60,
        ..DirectOptions::production()
    };
    let task = SearchTask::new(&groups, &RULES, &bounds, &few).unwrap();
    assert!(compare(&batch, &[2, 0, 1], &options(), &task, "three devices").is_some());
}
