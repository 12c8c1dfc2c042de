//! Whole searches on the GPU: the evaluations and the results of [`Direct`] on the CPU, bit for bit,
//! under every rule. How they are launched is the matter of [`cuda_launches`](crate::cuda_launches).
//!
//! `TRISECT_TEST_GROUPS` sets how many groups the large comparison takes: 2,000 unless it says so, and
//! 100,000 on a real GPU, whose cases have more groups.

use std::collections::BTreeMap;

use rayon::prelude::*;
use trisect::{
    Batch, Bounds, Direct, DirectOptions, Division, Evaluate, EvaluateOptions, Evaluator, ExitRule,
    Fields, Groups, Multipliers, SearchTask, Searched, Selection, Sharing, SizeMeasure, StopReason,
    Storage, Target, Weights,
};

use crate::cuda::{Standin, alone, has_gpu, options, rounded};
use crate::support::{Columns, KINDS, Kind, Rng};

pub const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

/// The searches as `Direct` makes them, told what the CPU scores.
pub fn expected(cpu: &Evaluator<'_>, task: &SearchTask<'_>) -> Vec<Searched> {
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
pub fn bits(searched: &Searched) -> ([u64; 3], [u64; 3], StopReason) {
    let [high, low] = searched.point.unwrap_or([f64::NAN; 2]);
    (
        [high, low, searched.value].map(f64::to_bits),
        [searched.evaluations, searched.iterations, searched.rounds],
        searched.stop,
    )
}

/// Asserts that a GPU searches as `Direct` does; `None` when it leaves the searches to the driver,
/// else what it found.
pub fn compare(
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
pub fn batch_with_plateaus(kind: Kind, lengths: &[usize]) -> Batch {
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
