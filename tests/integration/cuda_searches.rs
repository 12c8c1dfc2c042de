//! Whole searches on the GPU: the evaluations and the results of [`Direct`] on the CPU, bit for bit,
//! under every rule, and what happens where the device leaves them to the driver.
//!
//! `TRISECT_TEST_GROUPS` sets how many groups the large comparison takes: 2,000 unless it says so, and
//! 100,000 on a real GPU, whose cases have more groups.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use trisect::{
    Batch, Bounds, Candidates, Direct, DirectOptions, Division, Evaluate, EvaluateOptions,
    Evaluator, ExitChoice, ExitRule, Fields, Groups, Method, Multipliers, OptimizeOptions, Path,
    SearchTask, Searched, Selection, Sharing, SizeMeasure, StopReason, Storage, Target, Weights,
    optimize,
};

use crate::cuda::{Standin, alone, has_gpu, options, rounded};
use crate::support::{Columns, KINDS, Kind, Rng, ragged};

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

/// The searches as `Direct` makes them, told what the CPU scores.
fn expected(cpu: &Evaluator<'_>, task: &SearchTask<'_>) -> Vec<Searched> {
    let start = || Direct::new(task.bounds.clone(), *task.options).unwrap();
    let scorer = cpu.per_group().unwrap();
    let groups = task.groups.len();
    let searches = (0..task.exit_rules.len() * groups).into_par_iter();
    let run = |search: &mut Direct, index: usize| {
        let (rule, group) = (task.exit_rules[index / groups], index % groups);
        search.restart();
        let mut rounds = 0;
        while search.stop().is_none() {
            let points = search.ask().chunks(2);
            let pairs: Vec<Multipliers> = points
                .map(|x| Multipliers::new(x[0] as f32, x[1] as f32))
                .collect();
            let mut means = vec![f64::NAN; pairs.len()];
            scorer
                .group_means(task.groups, group, &pairs, rule, &mut means)
                .unwrap();
            let values: Vec<f64> = means.iter().map(|mean| -mean).collect();
            search.tell(&values).unwrap();
            rounds += 1;
        }
        let best = search.best().unwrap();
        Searched {
            point: Some([best.x[0], best.x[1]]),
            value: best.value,
            evaluations: search.evaluations() as u64,
            iterations: search.iterations() as u64,
            rounds,
            stop: search.stop().unwrap(),
        }
    };
    searches.map_init(start, run).collect()
}

/// Every bit of a result.
fn bits(searched: &Searched) -> ([u64; 3], [u64; 3], StopReason) {
    let [high, low] = searched.point.unwrap_or([f64::NAN; 2]);
    (
        [high, low, searched.value].map(f64::to_bits),
        [searched.evaluations, searched.iterations, searched.rounds],
        searched.stop,
    )
}

/// Asserts that a GPU searches as `Direct` does; `None` when it leaves the searches to the driver,
/// else what it found.
fn compare(
    batch: &Batch,
    devices: &[usize],
    evaluate: &EvaluateOptions,
    task: &SearchTask<'_>,
    what: &str,
) -> Option<Vec<Searched>> {
    let stored = rounded(batch, evaluate.storage);
    let mut gpu = Evaluator::cuda(batch, devices, evaluate).unwrap();
    let got = gpu.searches().unwrap().search(task).unwrap()?;
    let cpu = Evaluator::cpu(&stored, evaluate).unwrap();
    let expected = expected(&cpu, task);
    assert_eq!(got.len(), expected.len());
    for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert_eq!(
            bits(got),
            bits(expected),
            "search {index}: {what}, {:?}\n{got:?}\n{expected:?}",
            task.options
        );
    }
    Some(got)
}

/// Adds what the searches ended with to the counts.
fn count_reasons(searched: &[Searched], reasons: &mut BTreeMap<String, usize>) {
    for one in searched {
        *reasons.entry(format!("{:?}", one.stop)).or_default() += 1;
    }
}

/// Any options that can be.
fn draw_options(rng: &mut Rng) -> DirectOptions {
    let pick = |rng: &mut Rng, count: usize| rng.below(count);
    let selection = [
        Selection::ConvexHull,
        Selection::ConvexHull,
        Selection::ScipyCompat,
        Selection::Aggressive,
    ][pick(rng, 4)];
    let division = match (selection, pick(rng, 3)) {
        (Selection::ScipyCompat, _) | (_, 0 | 1) => Division::AllLongest,
        _ => Division::OneLongest,
    };
    let tolerances = [(1e-16, 1e-6), (0.0, 0.0), (1e-6, 0.0), (0.0, 1e-2)][pick(rng, 4)];
    DirectOptions {
        selection,
        size_measure: [SizeMeasure::LongestSide, SizeMeasure::HalfDiagonal][pick(rng, 2)],
        division,
        eps: [1e-4, 1e-4, 0.0, -1e-4, 1e-2][pick(rng, 5)],
        max_iterations: [None, None, None, Some(1), Some(2), Some(7)][pick(rng, 6)],
        volume_tolerance: tolerances.0,
        side_tolerance: tolerances.1,
        target: match pick(rng, 4) {
            0 => Some(Target {
                value: [-0.5, -0.01, 0.0][pick(rng, 3)],
                relative_tolerance: [0.0, 1e-2][pick(rng, 2)],
            }),
            _ => None,
        },
        ..DirectOptions::production()
    }
}

fn draw_bounds(rng: &mut Rng) -> Bounds {
    let intervals = [
        [(-0.03, 0.03), (-0.03, 0.03)],
        [(-0.03, 0.03), (-0.03, 0.03)],
        [(-0.01, 0.025), (-0.1, 0.02)],
        [(0.0, 0.03), (-0.03, 0.0)],
        // So narrow that centres soon equal their neighbours.
        [(1.0, 1.0 + 7e-16), (0.5, 0.5 + 3e-16)],
        [(1.0, 1.0 + 4e-15), (0.5, 0.5 + 1e-14)],
    ];
    Bounds::new(&intervals[rng.below(intervals.len())]).unwrap()
}

/// Whether nothing is traded in a simulation of [`draw_batch`]: a plateau.
fn is_plateau(simulation: usize) -> bool {
    simulation % 9 == 4
}

/// Batches with ties, with values far out, with simulations without any leg; the first simulation
/// has `longest` bars, the others have at most that.
fn draw_batch(rng: &mut Rng, kind: Kind, simulations: usize, longest: usize) -> Batch {
    let mut builder = Batch::builder();
    for index in 0..simulations {
        let bars = if index == 0 {
            longest
        } else {
            1 + rng.below(longest)
        };
        let mut columns = Columns::draw(rng, kind, bars);
        if is_plateau(index) {
            columns.position.fill(0.0);
        }
        builder.push(columns.entry_exit()).unwrap();
    }
    builder.build().unwrap()
}

fn draw_sharing(rng: &mut Rng, simulations: usize) -> Sharing {
    match rng.below(5) {
        0 => Sharing::All,
        1 => Sharing::Chunks(3),
        2 => {
            let labels = (0..simulations).map(|_| format!("{}", rng.below(4)));
            Sharing::Groups(labels.collect())
        }
        _ => Sharing::PerSimulation,
    }
}

/// A number of any magnitude between 1 and `most`.
fn any_magnitude(rng: &mut Rng, most: usize) -> usize {
    let logarithm = rng.between(0.0, ((most + 1) as f64).ln());
    (logarithm.exp() as usize).clamp(1, most)
}

/// Threads of a block; 0: as planned.
const THREADS: [i64; 6] = [0, 32, 64, 96, 128, 256];

const MOST_BARS: usize = 5000;
const MOST_EVALUATIONS: usize = 10_000;

#[test]
fn searches_on_the_gpu_are_those_of_direct() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let standin = Standin::find();
    let wanted = std::env::var("TRISECT_TEST_GROUPS");
    let usual = if standin.is_some() { 2000 } else { 100_000 };
    let wanted: usize = wanted.map_or(usual, |text| text.parse().unwrap());
    let mut rng = Rng::new(0x6469_7265);
    let (mut done, mut left, mut case) = (0, 0, 0);
    let (mut most_bars, mut most_evaluations, mut fewest) = (0, 0, u64::MAX);
    let (mut seen, mut reasons) = (BTreeMap::<String, usize>::new(), BTreeMap::new());
    while done < wanted {
        let threads = THREADS[rng.below(THREADS.len())];
        let schedule = rng.below(4) as i64;
        let capability = [90, 75][rng.below(2)];
        if let Some(standin) = &standin {
            standin.set("schedule", schedule);
            standin.set("threads", threads);
            standin.set("capability", capability);
        }
        // Mostly small ones, for a CUDA thread costs a thousand times more on the stand-in: one in 16 is of any
        // size, and now and then comes the largest of one kind or of both.
        let many = if standin.is_some() { 1 } else { 16 };
        let largest = case % 64 == 63;
        let (budget, longest, simulations) = match case % 512 {
            63 => (MOST_EVALUATIONS, 12, 1),
            127 => (MOST_EVALUATIONS, MOST_BARS, 1),
            at if at % 64 == 63 => (100, MOST_BARS, 2),
            at if at % 16 == 15 => (
                any_magnitude(&mut rng, MOST_EVALUATIONS),
                any_magnitude(&mut rng, MOST_BARS),
                1 + rng.below(2),
            ),
            _ => (
                any_magnitude(&mut rng, 100),
                any_magnitude(&mut rng, 300),
                many * (4 + rng.below(12)),
            ),
        };
        let kind = KINDS[rng.below(KINDS.len())];
        let batch = draw_batch(&mut rng, kind, simulations, longest);
        let groups = Groups::new(&draw_sharing(&mut rng, simulations), simulations).unwrap();
        let mut bounds = draw_bounds(&mut rng);
        let mut options_of_search = DirectOptions {
            max_evaluations: budget,
            ..draw_options(&mut rng)
        };
        if largest {
            // To the last evaluation.
            bounds = Bounds::symmetric(2, 0.03).unwrap();
            options_of_search = DirectOptions {
                max_iterations: None,
                volume_tolerance: 0.0,
                side_tolerance: 0.0,
                target: None,
                ..options_of_search
            };
        }
        let rules = [&RULES[..], &RULES[..1], &RULES[1..]][rng.below(3)];
        let task = SearchTask::new(&groups, rules, &bounds, &options_of_search).unwrap();
        let evaluate = EvaluateOptions {
            storage: [Storage::F32, Storage::F32, Storage::F16][rng.below(3)],
            ..options()
        };
        case += 1;
        let what = format!("case {}", case - 1);
        let Some(searched) = compare(&batch, &[0], &evaluate, &task, &what) else {
            left += 1;
            continue;
        };
        done += groups.len();
        most_bars = most_bars.max(longest);
        let evaluations = searched.iter().map(|one| one.evaluations);
        most_evaluations = evaluations.clone().fold(most_evaluations, u64::max);
        fewest = evaluations.fold(fewest, u64::min);
        count_reasons(&searched, &mut reasons);
        let plateau = |&group: &usize| {
            let mut members = groups.members(group).iter();
            members.all(|&member| is_plateau(member as usize))
        };
        let plateaus = (0..groups.len()).filter(plateau).count();
        for (what, count) in [
            (format!("{kind:?}"), groups.len()),
            ("plateau".to_owned(), plateaus),
            (format!("{:?}", evaluate.storage), groups.len()),
            (format!("{threads} threads"), groups.len()),
            (format!("schedule {schedule}"), groups.len()),
        ] {
            *seen.entry(what).or_default() += count;
        }
    }
    println!(
        "{done} groups in {case} cases, {left} cases left to the driver; up to {most_bars} bars, \
         {fewest} to {most_evaluations} evaluations; {seen:?}; {reasons:?}"
    );
    assert!(left * 20 < case, "{left} of {case}");
    assert_eq!((most_bars, fewest), (MOST_BARS, 1));
    // The last division does not always fit.
    assert!(most_evaluations > MOST_EVALUATIONS as u64 - 4);
    for kind in KINDS {
        assert!(
            seen[&format!("{kind:?}")] > wanted / 5,
            "{kind:?}: {seen:?}"
        );
    }
    assert!(seen["plateau"] > wanted / 50, "{seen:?}");
    if standin.is_some() {
        for threads in THREADS {
            let groups = seen[&format!("{threads} threads")];
            assert!(groups > wanted / 10, "{threads} threads: {seen:?}");
        }
    }
    for reason in [
        "Evaluations",
        "Iterations",
        "NoProgress",
        "SideLength",
        "Target",
        "Volume",
    ] {
        assert!(reasons.contains_key(reason), "{reason}: {reasons:?}");
    }
}

/// One simulation of each of these lengths, nothing traded in those of 0.
fn batch_with_plateaus(kind: Kind, lengths: &[usize]) -> Batch {
    let mut rng = Rng::new(7);
    let mut builder = Batch::builder();
    for &bars in lengths {
        let mut columns = Columns::draw(&mut rng, kind, bars.max(3));
        if bars == 0 {
            columns.position.fill(0.0);
        }
        builder.push(columns.entry_exit()).unwrap();
    }
    builder.build().unwrap()
}

/// Sums in shared and in global memory, thousands of ties, a large group, and searches that end as
/// scipy's do: with a full store or a full list.
#[test]
fn large_searches_are_those_of_direct() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let production = DirectOptions::production();
    let half_diagonal = DirectOptions {
        size_measure: SizeMeasure::HalfDiagonal,
        ..production
    };
    let scipy = DirectOptions {
        selection: Selection::ScipyCompat,
        ..half_diagonal
    };
    let aggressive = DirectOptions {
        selection: Selection::Aggressive,
        ..production
    };
    let evaluations = |options: DirectOptions, max_evaluations| DirectOptions {
        max_evaluations,
        ..options
    };
    let each = Sharing::PerSimulation;
    let cases = [
        (
            Kind::Skilled,
            &[5000][..],
            &each,
            evaluations(production, 300),
        ),
        (
            Kind::Wild,
            &[200, 2000, 1],
            &each,
            evaluations(half_diagonal, 500),
        ),
        (
            Kind::Ties,
            &[6, 0, 30],
            &each,
            evaluations(production, 2000),
        ),
        (Kind::Ties, &[6, 0], &each, evaluations(half_diagonal, 1500)),
        (
            Kind::Skilled,
            &[20, 0],
            &each,
            evaluations(aggressive, 1500),
        ),
        (Kind::Skilled, &[40], &each, evaluations(scipy, 1200)),
        (Kind::Skilled, &[0], &each, evaluations(scipy, 740)),
        (Kind::Skilled, &[0], &each, evaluations(scipy, 7000)),
        (
            Kind::Skilled,
            &[15; 400],
            &Sharing::All,
            evaluations(production, 120),
        ),
    ];
    let standin = Standin::find();
    let mut reasons = Vec::new();
    for (case, (kind, lengths, sharing, options_of_search)) in cases.into_iter().enumerate() {
        if let Some(standin) = &standin {
            standin.set("schedule", [2, 1, 0][case % 3]);
        }
        let batch = batch_with_plateaus(kind, lengths);
        let groups = Groups::new(sharing, batch.len()).unwrap();
        let bounds = Bounds::symmetric(2, 0.03).unwrap();
        let task = SearchTask::new(&groups, &RULES[..1], &bounds, &options_of_search).unwrap();
        let what = format!("large case {case}");
        let searched = compare(&batch, &[0], &options(), &task, &what);
        let searched = searched.unwrap_or_else(|| panic!("{what} is left to the driver"));
        reasons.extend(searched.iter().map(|one| one.stop));
    }
    for reason in [StopReason::Slots, StopReason::Levels] {
        assert!(reasons.contains(&reason), "{reason:?}: {reasons:?}");
    }
}

/// Rectangles as small as f64 can tell apart.
#[test]
fn deep_searches_are_those_of_direct() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    // Towards 0 there are always smaller numbers, so that rectangles can be cut for ever; and the
    // smaller `high`, the more of these bars are entered, to their profit.
    let bars = 64;
    let high: Vec<f32> = (0..bars).map(|bar| 0.02 * 3_f32.powi(-bar)).collect();
    let all = |value: f32| vec![value; high.len()];
    let fields = Fields {
        close: &all(-0.5)[..],
        high: &high,
        low: &all(-0.5),
        high_pred: &all(0.0),
        low_pred: &all(0.0),
        weights: Weights::EntryExit(&all(-1.0)[..]),
    };
    let steps = Batch::from_slices(&[high.len()], fields).unwrap();
    let groups = Groups::new(&Sharing::All, 1).unwrap();
    let bounds = Bounds::new(&[(0.0, 0.03), (-0.01, 0.01)]).unwrap();
    let deep = DirectOptions {
        eps: 0.0,
        max_evaluations: 2000,
        volume_tolerance: 0.0,
        side_tolerance: 0.0,
        ..DirectOptions::production()
    };
    let task = SearchTask::new(&groups, &RULES[1..], &bounds, &deep).unwrap();
    assert!(compare(&steps, &[0], &options(), &task, "deep").is_some());
}

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

/// Large groups, of which a search takes many blocks: all rules, all storages, members of equal and
/// of very different lengths, some of which do not trade.
#[test]
fn wide_searches_are_those_of_direct() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let standin = Standin::find();
    let mut rng = Rng::new(0x7769_6465);
    // Each of what follows with several of each other.
    let cases = 18;
    let (mut searches, mut reasons) = (0, BTreeMap::new());
    for case in 0..cases {
        if let Some(standin) = &standin {
            standin.set("schedule", [0, 1, 2, 3][case % 4]);
            standin.set("threads", [32, 64, 128][case % 3]);
            standin.set("multiprocessors", [2, 6, 5, 9, 4][case % 5]);
            standin.set("capability", [90, 75][case / 2 % 2]);
        }
        // For 4,096 legs, nearly one per bar, one block is enough.
        let lengths: Vec<usize> = match case % 4 {
            0 => vec![40; 220],
            1 => (0..150).map(|_| 1 + rng.below(110)).collect(),
            2 => vec![5000, 1, 700, 30, 2000, 0],
            _ => (0..700).map(|_| 1 + rng.below(24)).collect(),
        };
        let kind = KINDS[rng.below(KINDS.len())];
        let batch = batch_with_plateaus(kind, &lengths);
        let groups = Groups::new(&Sharing::All, batch.len()).unwrap();
        let bounds = draw_bounds(&mut rng);
        let options_of_search = DirectOptions {
            max_evaluations: 1 + rng.below(if case % 8 == 7 { 400 } else { 70 }),
            ..draw_options(&mut rng)
        };
        let rules = if case % 5 == 1 {
            &RULES[..]
        } else {
            &RULES[case % 2..][..1]
        };
        let task = SearchTask::new(&groups, rules, &bounds, &options_of_search).unwrap();
        let evaluate = EvaluateOptions {
            storage: match (case / 3 % 3, kind) {
                (0, _) => Storage::F32,
                // Lows of wild bars round to -1 in bf16.
                (1, _) | (_, Kind::Wild) => Storage::F16,
                _ => Storage::Bf16,
            },
            ..options()
        };
        let before = standin.as_ref().map(|standin| standin.get("wide_launches"));
        let what = format!("wide case {case}");
        let searched = compare(&batch, &[0], &evaluate, &task, &what);
        let searched = searched.unwrap_or_else(|| panic!("{what} is left to the driver"));
        if let (Some(standin), Some(before)) = (&standin, before) {
            assert_eq!(standin.get("wide_launches"), before + 1, "{what}");
        }
        searches += searched.len();
        count_reasons(&searched, &mut reasons);
    }
    println!("{searches} wide searches: {reasons:?}");
    assert!(reasons.len() > 2, "{reasons:?}");
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

#[test]
fn tasks_out_of_range_are_refused() {
    let groups = Groups::new(&Sharing::All, 1).unwrap();
    let bounds = Bounds::symmetric(3, 0.03).unwrap();
    let options_of_search = DirectOptions::production();
    assert!(SearchTask::new(&groups, &RULES, &bounds, &options_of_search).is_err());
    let bounds = Bounds::symmetric(2, 0.03).unwrap();
    let wrong = DirectOptions {
        max_evaluations: 0,
        ..options_of_search
    };
    assert!(SearchTask::new(&groups, &RULES, &bounds, &wrong).is_err());
    let task = SearchTask::new(&groups, &RULES, &bounds, &options_of_search).unwrap();
    assert_eq!(task.exit_rules.len(), 2);
}
