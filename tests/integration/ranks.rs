//! Groups over several ranks: threads stand for the processes, and the outcome must have the bits
//! of one process with the whole batch.

use std::cell::Cell;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use trisect::{
    Batch, Candidates, DirectOptions, Error, Evaluate, EvaluateOptions, EvaluateShard, Evaluator,
    EvolutionOptions, ExactOptions, ExitChoice, ExitRule, Groups, Local, Method, Observer,
    OptimizeOptions, Outcome, Path, Progress, Reduce, Sharing, StopReason, agree, optimize,
    optimize_ranks, shard,
};

use crate::support::{Columns, KINDS, Kind, Rng, ragged};

const FEE: f64 = 0.001;

/// Threads that share memory as the ranks of a job.
struct Meeting {
    barrier: Barrier,
    sums: Mutex<Vec<i64>>,
    bytes: Mutex<Vec<Vec<u8>>>,
}

struct Member {
    meeting: Arc<Meeting>,
    rank: usize,
    ranks: usize,
    /// Calls of `sum` and of `gather`.
    calls: [usize; 2],
}

fn members(ranks: usize) -> Vec<Member> {
    let meeting = Arc::new(Meeting {
        barrier: Barrier::new(ranks),
        sums: Mutex::default(),
        bytes: Mutex::new(vec![Vec::new(); ranks]),
    });
    let member = |rank| Member {
        meeting: Arc::clone(&meeting),
        rank,
        ranks,
        calls: [0; 2],
    };
    (0..ranks).map(member).collect()
}

impl Reduce for Member {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn sum(&mut self, values: &mut [i64]) -> Result<(), Error> {
        self.calls[0] += 1;
        let meeting = &self.meeting;
        {
            let mut sums = meeting.sums.lock().unwrap();
            if sums.is_empty() {
                sums.resize(values.len(), 0);
            }
            assert_eq!(sums.len(), values.len(), "ranks sum lists of one length");
            for (sum, value) in sums.iter_mut().zip(&*values) {
                *sum = sum.checked_add(*value).expect("no sum overflows");
            }
        }
        meeting.barrier.wait();
        values.copy_from_slice(&meeting.sums.lock().unwrap());
        if meeting.barrier.wait().is_leader() {
            meeting.sums.lock().unwrap().clear();
        }
        meeting.barrier.wait();
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        self.calls[1] += 1;
        self.meeting.bytes.lock().unwrap()[self.rank] = bytes.to_vec();
        self.meeting.barrier.wait();
        let gathered = self.meeting.bytes.lock().unwrap().clone();
        self.meeting.barrier.wait();
        Ok(gathered)
    }
}

/// What `work` gives on each rank.
fn on_ranks<T: Send>(ranks: usize, work: impl Fn(&mut Member) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let start = |mut member| {
            let work = &work;
            scope.spawn(move || work(&mut member))
        };
        let handles: Vec<_> = members(ranks).into_iter().map(start).collect();
        let results = handles.into_iter().map(|handle| handle.join().unwrap());
        results.collect()
    })
}

fn part(batch: &Batch, simulations: Range<usize>) -> Batch {
    let mut builder = Batch::builder();
    for s in simulations {
        builder.push(batch.simulation(s).unwrap()).unwrap();
    }
    builder.build().unwrap()
}

fn evaluator(batch: &Batch) -> Evaluator<'_> {
    let options = EvaluateOptions {
        fee: FEE,
        threads: Some(2),
        ..EvaluateOptions::default()
    };
    Evaluator::cpu(batch, &options).unwrap()
}

/// An outcome without what may differ.
fn comparable(mut outcome: Outcome) -> Outcome {
    outcome.wall_time = Duration::ZERO;
    outcome.path = Path::Lockstep;
    outcome.groups.iter_mut().for_each(|group| group.work = 0);
    outcome
}

/// Every bit of an outcome: `==` takes 0.0 for -0.0.
fn bits(outcome: &Outcome) -> Vec<u64> {
    let of_group = outcome.groups.iter().flat_map(|group| {
        [
            u64::from(group.multipliers.high.to_bits()),
            u64::from(group.multipliers.low.to_bits()),
            group.profit.to_bits(),
            group.baseline.to_bits(),
            group.upper_bound.unwrap_or(0.0).to_bits(),
        ]
    });
    let profits = outcome.profits.iter().map(|profit| profit.to_bits());
    of_group.chain(profits).collect()
}

/// Shards of uneven sizes, in order, at least one simulation each.
fn ragged_cuts(rng: &mut Rng, simulations: usize, ranks: usize) -> Vec<usize> {
    let mut inner: Vec<usize> = (1..simulations).collect();
    while inner.len() > ranks - 1 {
        inner.remove(rng.below(inner.len()));
    }
    let inner = inner.into_iter();
    [0].into_iter().chain(inner).chain([simulations]).collect()
}

/// Runs the batch on one process and on ranks; returns the number of sums per rank.
fn assert_same_on_ranks(batch: &Batch, options: &OptimizeOptions, cuts: &[usize]) -> Vec<usize> {
    let whole = comparable(optimize(&mut evaluator(batch), options, ()).unwrap());
    let outcomes = on_ranks(cuts.len() - 1, |member| {
        let rank = member.rank;
        let here = part(batch, cuts[rank]..cuts[rank + 1]);
        let outcome = optimize_ranks(&mut evaluator(&here), member, options, ());
        (outcome.unwrap(), member.calls[0])
    });
    let sums = outcomes.iter().map(|(_, sums)| *sums).collect();
    for (rank, (outcome, _)) in outcomes.into_iter().enumerate() {
        let outcome = comparable(outcome);
        assert_eq!(outcome, whole, "rank {rank}, {cuts:?}, {options:?}");
        assert_eq!(bits(&outcome), bits(&whole), "rank {rank}, {cuts:?}");
    }
    sums
}

fn labels(simulations: usize) -> Sharing {
    Sharing::Groups(
        (0..simulations)
            .map(|s| format!("g{}", s * s % 5))
            .collect(),
    )
}

/// Local groups, spanning ones, and both at once.
fn sharings(simulations: usize) -> [Sharing; 4] {
    [
        Sharing::All,
        Sharing::PerSimulation,
        Sharing::Chunks(4),
        labels(simulations),
    ]
}

fn methods() -> [OptimizeOptions; 4] {
    let with = |method| OptimizeOptions {
        method,
        ..OptimizeOptions::default()
    };
    [
        OptimizeOptions {
            polish: 3,
            quality: true,
            ..with(Method::Direct(DirectOptions::fast()))
        },
        with(Method::Evolution(EvolutionOptions::fast())),
        with(Method::Grid { high: 7, low: 6 }),
        with(Method::Exact(ExactOptions::default())),
    ]
}

#[test]
fn every_number_of_ranks_gives_the_bits_of_one_process() {
    let mut rng = Rng::new(70);
    for kind in KINDS {
        let batch = ragged(&mut rng, kind, 19, 40);
        for ranks in [1, 2, 3, 7] {
            for sharing in sharings(batch.len()) {
                for mut options in methods() {
                    options.sharing = sharing.clone();
                    let rules = [
                        ExitChoice::Fixed(ExitRule::AtClose),
                        ExitChoice::Both,
                        ExitChoice::Fixed(ExitRule::Intraday),
                    ];
                    options.exit_rule = rules[rng.below(rules.len())];
                    let cuts = ragged_cuts(&mut rng, batch.len(), ranks);
                    assert_same_on_ranks(&batch, &options, &cuts);
                }
            }
        }
    }
}

#[test]
fn both_exit_rules_of_every_method_give_the_bits_of_one_process() {
    let mut rng = Rng::new(71);
    let batch = ragged(&mut rng, Kind::Skilled, 12, 60);
    for mut options in methods() {
        options.exit_rule = ExitChoice::Both;
        options.sharing = labels(batch.len());
        assert_same_on_ranks(&batch, &options, &[0, 5, 6, 12]);
    }
}

#[test]
fn always_on_batches_span_ranks_too() {
    let mut rng = Rng::new(72);
    for with_sell in [false, true] {
        let mut builder = Batch::builder();
        for bars in [5, 40, 17, 3, 28] {
            let mut columns = Columns::draw(&mut rng, Kind::Skilled, bars);
            columns.position.iter_mut().for_each(|x| *x = x.abs());
            builder.push(columns.always_on(with_sell)).unwrap();
        }
        let batch = builder.build().unwrap();
        for options in methods() {
            assert_same_on_ranks(&batch, &options, &[0, 2, 5]);
        }
    }
}

#[test]
fn groups_of_several_thousand_legs_have_their_exact_optimum_across_ranks() {
    let batch = ragged(&mut Rng::new(73), Kind::Skilled, 30, 400);
    let options = OptimizeOptions {
        method: Method::Exact(ExactOptions::default()),
        ..OptimizeOptions::default()
    };
    assert_same_on_ranks(&batch, &options, &[0, 11, 30]);
}

#[test]
fn groups_on_one_rank_take_no_sum_and_the_others_one_per_round() {
    let batch = ragged(&mut Rng::new(74), Kind::Skilled, 12, 50);
    let mut options = OptimizeOptions {
        sharing: Sharing::Chunks(4),
        method: Method::Direct(DirectOptions::fast()),
        exit_rule: ExitChoice::Both,
        ..OptimizeOptions::default()
    };
    let aligned = assert_same_on_ranks(&batch, &options, &[0, 4, 12]);
    assert_eq!(aligned, [0, 0]);
    options.sharing = Sharing::All;
    let rounds = optimize(&mut evaluator(&batch), &options, ())
        .unwrap()
        .rounds;
    let spanning = assert_same_on_ranks(&batch, &options, &[0, 4, 12]);
    // Both exit rules in one sum; one more for the reported profits.
    assert_eq!(spanning, [rounds as usize + 1; 2]);
}

#[test]
fn one_process_alone_is_a_job_of_one_rank() {
    let batch = ragged(&mut Rng::new(75), Kind::Wild, 9, 40);
    let options = OptimizeOptions {
        sharing: Sharing::Chunks(2),
        ..OptimizeOptions::default()
    };
    let whole = optimize(&mut evaluator(&batch), &options, ()).unwrap();
    let alone = optimize_ranks(&mut evaluator(&batch), &mut Local, &options, ()).unwrap();
    assert_eq!(alone.path, whole.path);
    assert_eq!(comparable(alone), comparable(whole));
}

#[test]
fn shards_cover_all_simulations_once_in_order_and_keep_runs_together() {
    for simulations in 1..40_usize {
        for together in 1..6 {
            for ranks in 1..=simulations.div_ceil(together) {
                let mut next = 0;
                let mut sizes = Vec::new();
                for rank in 0..ranks {
                    let range = shard(simulations, together, rank, ranks).unwrap();
                    assert_eq!(range.start, next);
                    assert!(!range.is_empty());
                    assert_eq!(range.start % together, 0);
                    sizes.push(range.len().div_ceil(together));
                    next = range.end;
                }
                assert_eq!(next, simulations);
                assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            }
        }
    }
}

#[test]
fn more_ranks_than_simulations_are_refused() {
    let refused = [
        shard(3, 1, 0, 4),
        shard(8, 4, 0, 3),
        shard(8, 4, 0, 0),
        shard(8, 0, 0, 1),
        shard(8, 1, 2, 2),
        shard(0, 1, 0, 1),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::InvalidOption { .. })));
    }
    let text = shard(3, 1, 0, 4).unwrap_err().to_string();
    assert!(text.starts_with("ranks = 4: must be between 1"), "{text}");
}

#[test]
fn a_rank_with_a_bad_shard_is_named_on_every_other_rank() {
    let results = on_ranks(3, |member| {
        let batch = match member.rank {
            1 => Batch::builder().build(),
            _ => Ok(ragged(&mut Rng::new(76), Kind::Skilled, 2, 10)),
        };
        agree(member, batch).map(|batch| batch.len())
    });
    let error = Error::EmptyBatch.to_string();
    let other = Err(Error::Rank { rank: 1, error });
    assert_eq!(results, [other.clone(), Err(Error::EmptyBatch), other]);
}

#[test]
fn ranks_with_other_options_are_refused_before_any_work() {
    let batch = ragged(&mut Rng::new(77), Kind::Skilled, 2, 10);
    type Change = fn(&mut OptimizeOptions);
    let changes: [(&str, Change); 8] = [
        ("sharing", |o| o.sharing = Sharing::PerSimulation),
        ("method", |o| o.method = Method::Grid { high: 1, low: 1 }),
        ("exit_rule", |o| o.exit_rule = ExitChoice::Both),
        ("high_bounds", |o| {
            o.high_bounds.1 = 0.030_000_000_000_000_002
        }),
        ("low_bounds", |o| o.low_bounds.0 = -0.04),
        ("polish", |o| o.polish = 1),
        ("quality", |o| o.quality = true),
        ("time_limit", |o| {
            o.time_limit = Some(Duration::from_secs(60))
        }),
    ];
    for (what, change) in changes {
        let results = on_ranks(3, |member| {
            let mut options = OptimizeOptions::default();
            if member.rank == 2 {
                change(&mut options);
            }
            optimize_ranks(&mut evaluator(&batch), member, &options, ()).unwrap_err()
        });
        assert_eq!(results, vec![Error::RanksDiffer { what, rank: 2 }; 3]);
    }
    let results = on_ranks(2, |member| {
        let fee = [0.001, 0.002][member.rank];
        let evaluate = EvaluateOptions {
            fee,
            ..EvaluateOptions::default()
        };
        let mut evaluator = Evaluator::cpu(&batch, &evaluate).unwrap();
        let options = OptimizeOptions::default();
        optimize_ranks(&mut evaluator, member, &options, ()).unwrap_err()
    });
    assert_eq!(
        results,
        vec![
            Error::RanksDiffer {
                what: "fee",
                rank: 1
            };
            2
        ]
    );
}

#[test]
fn options_out_of_range_are_refused_on_all_ranks() {
    let batch = ragged(&mut Rng::new(78), Kind::Skilled, 2, 10);
    let options = OptimizeOptions {
        method: Method::Grid { high: 0, low: 3 },
        ..OptimizeOptions::default()
    };
    let results = on_ranks(2, |member| {
        optimize_ranks(&mut evaluator(&batch), member, &options, ()).unwrap_err()
    });
    for error in results {
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    }
}

/// An evaluator that fails from some call on, or is no [`EvaluateShard`].
struct Fails<'a> {
    evaluator: Evaluator<'a>,
    calls_left: usize,
    shard: bool,
}

impl Fails<'_> {
    fn call(&mut self) -> Result<(), Error> {
        self.calls_left = self
            .calls_left
            .checked_sub(1)
            .ok_or_else(|| Error::Objective("out of luck".to_owned()))?;
        Ok(())
    }
}

impl Evaluate for Fails<'_> {
    fn batch(&self) -> &Batch {
        self.evaluator.batch()
    }

    fn fee(&self) -> f64 {
        self.evaluator.fee()
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        self.call()?;
        self.evaluator.means(groups, candidates, exit_rule, means)
    }

    fn shard(&mut self) -> Option<&mut dyn EvaluateShard> {
        self.shard.then_some(self)
    }
}

impl EvaluateShard for Fails<'_> {
    fn bounds(&self) -> &[f64] {
        match &self.evaluator {
            Evaluator::Cpu(cpu) => cpu.bounds(),
            _ => unreachable!("made on the CPU"),
        }
    }

    fn sums(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        fraction_bits: &[i32],
        sums: &mut [i64],
    ) -> Result<(), Error> {
        self.call()?;
        let shard = self.evaluator.shard().unwrap();
        shard.sums(groups, candidates, exit_rule, fraction_bits, sums)
    }
}

#[test]
fn a_rank_whose_evaluator_fails_ends_the_search_on_all_ranks() {
    let batch = ragged(&mut Rng::new(79), Kind::Skilled, 6, 30);
    // Spanning groups, a rank's own groups, and both.
    for sharing in [Sharing::All, Sharing::PerSimulation, Sharing::Chunks(4)] {
        for calls_left in [0, 1, 5] {
            for mut options in methods() {
                if matches!(options.method, Method::Exact(_)) {
                    continue;
                }
                if matches!(options.method, Method::Grid { .. }) && calls_left > 0 {
                    continue;
                }
                options.sharing = sharing.clone();
                let results = on_ranks(2, |member| {
                    let here = part(&batch, [0..3, 3..6][member.rank].clone());
                    let mut evaluator = Fails {
                        evaluator: evaluator(&here),
                        calls_left: [usize::MAX, calls_left][member.rank],
                        shard: true,
                    };
                    optimize_ranks(&mut evaluator, member, &options, ()).unwrap_err()
                });
                let error = "out of luck".to_owned();
                assert_eq!(results[1], Error::Objective(error));
                let text = results[0].to_string();
                assert!(text.starts_with("rank 1 failed: "), "{text}");
                assert!(text.ends_with("out of luck"), "{text}");
            }
        }
    }
}

#[test]
fn an_evaluator_without_parts_of_groups_may_have_groups_of_its_own_only() {
    let batch = ragged(&mut Rng::new(80), Kind::Skilled, 4, 30);
    let run = |sharing: &Sharing| {
        on_ranks(2, |member| {
            let here = part(&batch, [0..2, 2..4][member.rank].clone());
            let mut evaluator = Fails {
                evaluator: evaluator(&here),
                calls_left: usize::MAX,
                shard: false,
            };
            let options = OptimizeOptions {
                sharing: sharing.clone(),
                ..OptimizeOptions::default()
            };
            optimize_ranks(&mut evaluator, member, &options, ())
        })
    };
    for result in run(&Sharing::Chunks(2)) {
        assert_eq!(result.unwrap().groups.len(), 2);
    }
    for result in run(&Sharing::All) {
        assert!(
            matches!(result, Err(Error::Unavailable { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn a_rank_that_cancels_ends_the_shared_searches_of_all_ranks_in_that_round() {
    let batch = ragged(&mut Rng::new(81), Kind::Skilled, 6, 30);
    let options = OptimizeOptions::default();
    let outcomes = on_ranks(3, |member| {
        let here = part(&batch, shard(6, 1, member.rank, 3).unwrap());
        let rank = member.rank;
        let cancel = |progress: &Progress<'_>| match rank == 1 && progress.rounds == 4 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        match rank {
            // One that does not watch at all.
            0 => optimize_ranks(&mut evaluator(&here), member, &options, ()).unwrap(),
            _ => optimize_ranks(&mut evaluator(&here), member, &options, cancel).unwrap(),
        }
    });
    let cancel = |progress: &Progress<'_>| match progress.rounds == 4 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let whole = comparable(optimize(&mut evaluator(&batch), &options, cancel).unwrap());
    assert_eq!(whole.groups[0].stop, StopReason::Cancelled);
    for outcome in outcomes {
        assert_eq!(comparable(outcome), whole);
    }
}

#[test]
fn a_flag_of_one_rank_ends_the_shared_searches_of_all_ranks() {
    let batch = ragged(&mut Rng::new(86), Kind::Skilled, 6, 30);
    let options = OptimizeOptions::default();
    let outcomes = on_ranks(3, |member| {
        let here = part(&batch, shard(6, 1, member.rank, 3).unwrap());
        let flag = AtomicBool::new(true);
        match member.rank {
            1 => optimize_ranks(&mut evaluator(&here), member, &options, &flag).unwrap(),
            _ => optimize_ranks(&mut evaluator(&here), member, &options, ()).unwrap(),
        }
    });
    for outcome in outcomes {
        assert_eq!(outcome.rounds, 1);
        assert_eq!(outcome.groups[0].stop, StopReason::Cancelled);
    }
}

#[test]
fn ranks_that_are_out_of_time_stop_after_one_round() {
    let batch = ragged(&mut Rng::new(82), Kind::Skilled, 4, 30);
    let options = OptimizeOptions {
        time_limit: Some(Duration::ZERO),
        sharing: Sharing::Chunks(3),
        ..OptimizeOptions::default()
    };
    let outcomes = on_ranks(2, |member| {
        let here = part(&batch, [0..2, 2..4][member.rank].clone());
        optimize_ranks(&mut evaluator(&here), member, &options, ()).unwrap()
    });
    for outcome in outcomes {
        assert_eq!(outcome.rounds, 1);
        let stops = outcome.groups.iter().map(|group| group.stop);
        assert!(stops.into_iter().all(|stop| stop == StopReason::TimeLimit));
    }
}

/// Remembers which groups it was told a best of.
struct Sees<'a>(&'a Cell<Vec<usize>>);

impl Observer for Sees<'_> {
    fn round(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        let mut seen = self.0.take();
        seen.extend((0..progress.groups).filter(|&group| progress.best(group).is_some()));
        seen.sort_unstable();
        seen.dedup();
        self.0.set(seen);
        ControlFlow::Continue(())
    }
}

#[test]
fn an_observer_sees_shared_groups_and_its_own_by_their_numbers_in_the_batch() {
    let batch = ragged(&mut Rng::new(83), Kind::Skilled, 9, 30);
    let options = OptimizeOptions {
        sharing: Sharing::Chunks(2),
        ..OptimizeOptions::default()
    };
    let seen = on_ranks(2, |member| {
        let here = part(&batch, [0..5, 5..9][member.rank].clone());
        let seen = Cell::default();
        let mut evaluator = evaluator(&here);
        optimize_ranks(&mut evaluator, member, &options, Sees(&seen)).unwrap();
        seen.take()
    });
    assert_eq!(seen, [vec![0, 1, 2], vec![2, 3, 4]]);
}

#[test]
fn parts_of_sums_add_up_to_the_sum_of_the_whole() {
    let batch = ragged(&mut Rng::new(84), Kind::Wild, 8, 60);
    let pairs = crate::support::candidates(&mut Rng::new(85), &batch, 9);
    let candidates = Candidates::shared(pairs).unwrap();
    let sums = |batch: &Batch| {
        let groups = Groups::new(&Sharing::All, batch.len()).unwrap();
        let mut evaluator = evaluator(batch);
        let mut sums = [0; 9];
        let shard = evaluator.shard().unwrap();
        shard
            .sums(&groups, &candidates, ExitRule::Intraday, &[30], &mut sums)
            .unwrap();
        sums
    };
    let [whole, first, second] = [
        sums(&batch),
        sums(&part(&batch, 0..3)),
        sums(&part(&batch, 3..8)),
    ];
    assert!(whole.iter().any(|&sum| sum != 0));
    for ((whole, first), second) in whole.into_iter().zip(first).zip(second) {
        assert_eq!(whole, first + second);
    }

    let groups = Groups::new(&Sharing::All, batch.len()).unwrap();
    let mut evaluator = evaluator(&batch);
    let shard = evaluator.shard().unwrap();
    let rule = ExitRule::Intraday;
    let refused = [
        shard.sums(&groups, &candidates, rule, &[], &mut [0; 9]),
        shard.sums(&groups, &candidates, rule, &[30], &mut [0; 8]),
        shard.sums(&groups, &candidates, rule, &[i32::MIN], &mut [0; 9]),
    ];
    assert!(matches!(refused[0], Err(Error::Length { .. })));
    assert!(matches!(refused[1], Err(Error::Length { .. })));
    assert!(matches!(refused[2], Err(Error::InvalidOption { .. })));
}

#[cfg(feature = "mpi")]
#[test]
fn mpi_that_is_not_initialised_is_an_error() {
    let error = trisect::Mpi::world().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("MPI is not initialised"), "{text}");
}
