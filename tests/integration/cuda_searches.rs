//! Whole searches on the GPU: the evaluations and the results of [`Direct`] on the CPU, bit for bit,
//! under every rule, and what happens where the device leaves them to the driver.
//!
//! `TRISECT_TEST_GROUPS` sets how many groups the large comparison takes.

use trisect::{
    Batch, Bounds, Direct, DirectOptions, Division, Evaluate, EvaluateOptions, Evaluator,
    ExitChoice, ExitRule, Groups, Method, Multipliers, OptimizeOptions, Path, SearchTask, Searched,
    Selection, Sharing, SizeMeasure, StopReason, Storage, Target, optimize,
};

use crate::cuda::{Standin, alone, batch_of, has_gpu, options, rounded};
use crate::support::{Columns, KINDS, Kind, Rng, ragged};

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

/// The searches as `Direct` makes them, told what the CPU scores.
fn expected(cpu: &mut Evaluator<'_>, task: &SearchTask<'_>) -> Vec<Searched> {
    let mut search = Direct::new(task.bounds.clone(), *task.options).unwrap();
    let scorer = cpu.per_group().unwrap();
    let mut all = Vec::new();
    for &rule in task.exit_rules {
        for group in 0..task.groups.len() {
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
            all.push(Searched {
                point: Some([best.x[0], best.x[1]]),
                value: best.value,
                evaluations: search.evaluations() as u64,
                iterations: search.iterations() as u64,
                rounds,
                stop: search.stop().unwrap(),
            });
        }
    }
    all
}

/// Every bit of a result.
fn bits(searched: &Searched) -> ([u64; 3], [u64; 3], StopReason) {
    let [high, low] = searched.point.unwrap_or([f64::NAN; 2]);
    (
        [high, low, searched.value].map(f64::to_bits),
        [
            searched.evaluations,
            searched.iterations,
            searched.rounds,
        ],
        searched.stop,
    )
}

/// Asserts that a GPU searches as `Direct` does; `None` when it leaves the searches to the driver,
/// else how many there were of each reason to stop.
fn compare(
    batch: &Batch,
    devices: &[usize],
    evaluate: &EvaluateOptions,
    task: &SearchTask<'_>,
    what: &str,
) -> Option<Vec<StopReason>> {
    let stored = rounded(batch, evaluate.storage);
    let mut gpu = Evaluator::cuda(batch, devices, evaluate).unwrap();
    let got = gpu.searches().unwrap().search(task).unwrap()?;
    let mut cpu = Evaluator::cpu(&stored, evaluate).unwrap();
    let expected = expected(&mut cpu, task);
    assert_eq!(got.len(), expected.len());
    for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert_eq!(
            bits(got),
            bits(expected),
            "search {index}: {what}, {:?}\n{got:?}\n{expected:?}",
            task.options
        );
    }
    Some(got.iter().map(|searched| searched.stop).collect())
}

/// Any options that can be.
fn draw_options(rng: &mut Rng, budget: usize) -> DirectOptions {
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
        max_evaluations: 1 + rng.below(budget),
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
    }
}

fn draw_bounds(rng: &mut Rng) -> Bounds {
    let intervals = [
        [(-0.03, 0.03), (-0.03, 0.03)],
        [(-0.03, 0.03), (-0.03, 0.03)],
        [(-0.01, 0.025), (-0.1, 0.02)],
        [(0.0, 0.03), (-0.03, 0.0)],
        // So narrow that centres soon equal their neighbours.
        [(1.0, 1.0 + 4e-15), (0.5, 0.5 + 1e-14)],
    ];
    Bounds::new(&intervals[rng.below(intervals.len())]).unwrap()
}

/// Batches of few bars, of many, with ties, without any leg, with values far out.
fn draw_batch(rng: &mut Rng, simulations: usize, longest: usize) -> Batch {
    let kind = KINDS[rng.below(KINDS.len())];
    let mut builder = Batch::builder();
    for index in 0..simulations {
        let bars = 1 + rng.below(longest);
        let mut columns = Columns::draw(rng, kind, bars);
        if index % 9 == 4 {
            // A plateau: nothing is traded.
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

#[test]
fn searches_on_the_gpu_are_those_of_direct() {
    let _alone = alone();
    if !has_gpu() {
        return;
    }
    let wanted = std::env::var("TRISECT_TEST_GROUPS");
    let wanted: usize = wanted.map_or(2000, |text| text.parse().unwrap());
    let standin = Standin::find();
    let mut rng = Rng::new(0x6469_7265);
    let (mut searches, mut left, mut case) = (0, 0, 0);
    let mut reasons = std::collections::BTreeMap::new();
    while searches < wanted {
        if let Some(standin) = &standin {
            standin.set("schedule", [0, 1, 2, 3][case % 4]);
            standin.set("threads", [0, 32, 64, 96, 128, 256][case % 6]);
            standin.set("capability", [90, 75][case / 2 % 2]);
        }
        // Mostly small ones, for a CUDA thread costs a thousand times more here.
        let (budget, longest) = match case % 16 {
            15 => (600, 60),
            14 => (20, 900),
            _ => (70, 40),
        };
        let simulations = 4 + rng.below(12);
        let batch = draw_batch(&mut rng, simulations, longest);
        let groups = Groups::new(&draw_sharing(&mut rng, simulations), simulations).unwrap();
        let bounds = draw_bounds(&mut rng);
        let options_of_search = draw_options(&mut rng, budget);
        let rules = [&RULES[..], &RULES[..1], &RULES[1..]][rng.below(3)];
        let task = SearchTask::new(&groups, rules, &bounds, &options_of_search).unwrap();
        let evaluate = EvaluateOptions {
            storage: [Storage::F32, Storage::F32, Storage::F16][rng.below(3)],
            ..options()
        };
        match compare(&batch, &[0], &evaluate, &task, &format!("case {case}")) {
            Some(stops) => {
                searches += stops.len();
                for stop in stops {
                    *reasons.entry(format!("{stop:?}")).or_insert(0) += 1;
                }
            }
            None => left += 1,
        }
        case += 1;
    }
    println!("{searches} searches in {case} cases, {left} cases left to the driver: {reasons:?}");
    assert!(left * 20 < case, "{left} of {case}");
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
