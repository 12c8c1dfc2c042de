//! Groups over several ranks: each has some of the simulations.
//!
//! A group that lives on one rank is searched there, by the same drivers and without a message. A
//! group that spans ranks is searched by all of them at once: every rank keeps the same searches,
//! scores its simulations of the group, and the integer sums are reduced, once per round for all
//! such groups and exit rules. Integers add up to the same bits in any order, so every rank tells
//! its searches what one process with all simulations would.
//!
//! Every message carries whether its rank failed, so that all ranks return when one does.

mod evaluators;
mod messages;

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hasher};
use std::time::Instant;

use crate::batch::{Batch, BatchBuilder, Weights};
use crate::direct::StopReason;
use crate::error::Error;
use crate::evaluate::Evaluate;
use crate::evaluate::fixed_point::fraction_bits;
use crate::exact::ExactOptions;
use crate::groups::Groups;
use crate::reduce::{self, Reader, Reduce, Writer};

use super::choose::{choose, choose_over_ranks};
use super::exact::upper_bounds;
use super::observe::{Clock, Observer, OfSome, Report};
use super::scores::Scores;
use super::{Found, GroupOutcome, Method, OptimizeOptions, Outcome, Path, Search, Task};

use evaluators::{Gathered, Own, Spanning, no_shard};
use messages::{
    read_found, read_outcome, read_simulation, write_found, write_outcome, write_simulation,
};

/// Tunes the multipliers of every group of a batch whose simulations are spread over ranks.
///
/// `evaluator` has this rank's simulations. The whole batch is those of rank 0, then those of rank
/// 1, and so on; [`shard`](crate::shard) deals them out. Sharing and labels are those of the whole
/// batch, and all ranks are given equal options. Every rank returns the outcome that
/// [`optimize`](crate::optimize()) returns for the whole batch, bit for bit, for any number of
/// ranks; `path`, `wall_time` and the exact method's `work` and `rounds` aside.
///
/// A group with all its simulations on one rank takes no message until the end. For the others the
/// ranks reduce integer sums once per round, and the exact optimum of such a group (the exact
/// method, or [`OptimizeOptions::quality`]) is found by one rank, to which the bars are sent: 24
/// bytes per bar of one group at a time on every rank, and of all groups whose turn it is on the
/// rank that solves them.
///
/// The observer of each rank sees the rounds of the groups that span ranks, then those of the
/// rank's own; [`Progress::running`](crate::Progress::running) counts the groups of the moment.
/// When one rank cancels or is out of time, all ranks end the searches they share after the same
/// round, but each goes on with its own groups until it is told, too. Exact optima of groups that
/// span ranks are found without telling anybody; the time limit ends them on each rank by itself.
///
/// ```
/// use trisect::{Batch, Evaluator, Fields, Local, OptimizeOptions, Weights, optimize_ranks};
///
/// let batch = Batch::from_slices(&[2], Fields {
///     close: &[0.01, -0.01][..],
///     high: &[0.03, 0.01],
///     low: &[-0.02, -0.03],
///     high_pred: &[0.02, 0.02],
///     low_pred: &[-0.01, -0.02],
///     weights: Weights::EntryExit(&[1.0, 1.0]),
/// })?;
/// let mut evaluator = Evaluator::cpu(&batch, &Default::default())?;
/// // One process; with the feature `mpi`, `Mpi::run` gives each rank of `mpirun` its own.
/// let outcome = optimize_ranks(&mut evaluator, &mut Local, &OptimizeOptions::default(), ())?;
/// assert!(outcome.groups[0].profit > outcome.groups[0].baseline);
/// # Ok::<(), trisect::Error>(())
/// ```
///
/// # Errors
/// As [`optimize`](crate::optimize()); [`Error::RanksDiffer`] when the ranks are given other
/// options, fees or kinds of weights; [`Error::Unavailable`] when a group spans ranks and an
/// evaluator is no [`EvaluateShard`](crate::EvaluateShard); what `ranks` reports. When a rank
/// fails, all ranks return an error, the others [`Error::Rank`]. So that no rank waits for one that
/// failed before it came here, call [`agree`](crate::agree) after what may fail.
pub fn optimize_ranks<E: Evaluate + ?Sized>(
    evaluator: &mut E,
    ranks: &mut dyn Reduce,
    options: &OptimizeOptions,
    mut observer: impl Observer,
) -> Result<Outcome, Error> {
    let clock = Clock {
        start: Instant::now(),
        limit: options.time_limit,
    };
    // Whoever can cancel must ask the other ranks after every round, too.
    let watches = observer.watches() || observer.cancel().is_some();
    let agreed = Agreed::new(evaluator, ranks, options, watches)?;
    let all = Groups::new(&options.sharing, agreed.simulations())?;
    let layout = Layout::new(&all, &agreed.starts, ranks.rank());
    let task = Task::new(options, all.len(), clock)?;

    let spanning = match layout.spanning.is_empty() {
        true => Part::default(),
        false => {
            let watched = agreed.watched;
            layout.search_spanning(&task, &all, evaluator, ranks, watched, &mut observer)?
        }
    };
    let own = match layout.own.is_empty() {
        true => Ok(Part::default()),
        false => layout.search_own(&task, &all, evaluator, &mut observer),
    };

    let own_path = own.as_ref().map_or(None, |own| own.path);
    let mut profits = vec![0.0; evaluator.batch().len()];
    let message = own.map(|own| {
        for &(simulation, profit) in own.profits.iter().chain(&spanning.profits) {
            profits[simulation as usize] = profit;
        }
        own.to_message(&profits)
    });
    let messages = reduce::gather(ranks, message)?;

    let mut groups: Vec<Option<GroupOutcome>> = vec![None; all.len()];
    let mut place = |(number, outcome): (usize, GroupOutcome)| {
        if let Some(group) = groups.get_mut(number) {
            *group = Some(outcome);
        }
    };
    let (mut rounds, mut bar_candidates) = (spanning.rounds, spanning.bar_candidates);
    let mut all_profits = Vec::with_capacity(all.simulations());
    for message in &messages {
        let mut message = Reader::new(message);
        rounds = rounds.max(message.u64()?);
        bar_candidates += message.u64()?;
        for _ in 0..message.u64()? {
            place(read_outcome(&mut message, &all)?);
        }
        while !message.is_empty() {
            all_profits.push(message.f64()?);
        }
    }
    spanning.outcomes.into_iter().for_each(place);
    let groups: Vec<GroupOutcome> = groups.into_iter().flatten().collect();
    if groups.len() != all.len() || all_profits.len() != all.simulations() {
        return Err(Error::Length {
            what: "the outcomes of the ranks",
            expected: all.len() + all.simulations(),
            got: groups.len() + all_profits.len(),
            remedy: "run the same build on all ranks",
        });
    }
    Ok(Outcome {
        rounds,
        evaluations: groups.iter().map(|group| group.evaluations).sum(),
        groups,
        bar_candidates,
        path: own_path.unwrap_or(Path::Lockstep),
        wall_time: clock.start.elapsed(),
        profits: all_profits,
        membership: all,
    })
}

/// What the ranks know of each other before any work.
struct Agreed {
    /// First simulation of each rank in the whole batch, and their number.
    starts: Vec<usize>,
    /// Whether some rank's searches are watched.
    watched: bool,
}

impl Agreed {
    fn new<E: Evaluate + ?Sized>(
        evaluator: &E,
        ranks: &mut dyn Reduce,
        options: &OptimizeOptions,
        watches: bool,
    ) -> Result<Self, Error> {
        let OptimizeOptions {
            sharing,
            method,
            exit_rule,
            high_bounds,
            low_bounds,
            polish,
            quality,
            time_limit,
        } = options;
        let weights = match evaluator.batch().simulation(0).map(|first| first.weights) {
            Some(Weights::AlwaysOn { sell: Some(_), .. }) => 2,
            Some(Weights::AlwaysOn { sell: None, .. }) => 1,
            _ => 0,
        };
        let equal = [
            ("sharing", digest(sharing)),
            ("method", digest(method)),
            ("exit_rule", digest(exit_rule)),
            ("high_bounds", digest(high_bounds)),
            ("low_bounds", digest(low_bounds)),
            ("polish", digest(polish)),
            ("quality", digest(quality)),
            ("time_limit", digest(time_limit)),
            ("fee", evaluator.fee().to_bits()),
            ("kind of weights", weights),
        ];
        let mut message = Writer::default();
        message.u64(evaluator.batch().len() as u64);
        message.u64(u64::from(watches || time_limit.is_some()));
        for (_, value) in equal {
            message.u64(value);
        }
        let messages = reduce::gather(ranks, Ok(message.into_bytes()))?;
        if ranks.rank() >= messages.len() {
            let expected = "below Reduce::ranks";
            return Err(Error::option("Reduce::rank", ranks.rank(), expected));
        }
        let mut starts = vec![0_usize];
        let mut watched = false;
        let mut firsts = [0; 10];
        for (rank, message) in messages.iter().enumerate() {
            let mut message = Reader::new(message);
            let before = starts.last().copied().unwrap_or(0);
            let here = usize::try_from(message.u64()?).unwrap_or(usize::MAX);
            starts.push(before.saturating_add(here));
            watched |= message.u64()? != 0;
            for (first, (what, _)) in firsts.iter_mut().zip(equal) {
                let value = message.u64()?;
                if rank == 0 {
                    *first = value;
                } else if *first != value {
                    return Err(Error::RanksDiffer { what, rank });
                }
            }
        }
        Ok(Self { starts, watched })
    }

    fn simulations(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }
}

/// A hash of the text of an option. Text tells every bit of a number, but for those of a NaN.
fn digest(option: &impl Debug) -> u64 {
    struct Sink(DefaultHasher);

    impl std::fmt::Write for Sink {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }

    let mut sink = Sink(DefaultHasher::new());
    let _ = write!(sink, "{option:?}");
    sink.0.finish()
}

/// Which groups are whose.
struct Layout {
    /// Numbers of the groups that are on this rank alone, ascending.
    own: Vec<usize>,
    /// Numbers of the groups that span ranks, ascending; on all ranks the same.
    spanning: Vec<usize>,
    /// Of `spanning`, those with simulations on this rank.
    shared: Vec<usize>,
    /// The groups of this rank's batch: `own`, then `shared`.
    here: Groups,
    /// Those of `spanning`, each with its simulations on this rank, if there are any.
    spanning_here: Groups,
}

impl Layout {
    fn new(all: &Groups, starts: &[usize], rank: usize) -> Self {
        let rank_of = |simulation: Option<&u32>| {
            let simulation = simulation.map_or(0, |&simulation| simulation as usize);
            starts.partition_point(|&start| start <= simulation)
        };
        let (start, end) = (starts[rank], starts[rank + 1]);
        let (mut own, mut spanning, mut shared) = (Vec::new(), Vec::new(), Vec::new());
        let mut lists = Vec::new();
        for group in 0..all.len() {
            // Members ascend, and so do ranks.
            let members = all.members(group);
            let first = members.partition_point(|&simulation| (simulation as usize) < start);
            let last = members.partition_point(|&simulation| (simulation as usize) < end);
            let here = members[first..last].iter();
            let here: Vec<u32> = here.map(|&s| s - start as u32).collect();
            if rank_of(members.first()) != rank_of(members.last()) {
                if !here.is_empty() {
                    shared.push(spanning.len());
                }
                spanning.push(group);
                lists.push(here);
            } else if !here.is_empty() {
                own.push((group, here));
            }
        }
        let lists_of_own = own.iter().map(|(_, list)| list.as_slice());
        let lists_of_shared = shared.iter().map(|&index| lists[index].as_slice());
        Self {
            here: Groups::of_lists(lists_of_own.chain(lists_of_shared)),
            spanning_here: Groups::of_lists(lists.iter().map(Vec::as_slice)),
            own: own.into_iter().map(|(group, _)| group).collect(),
            spanning,
            shared,
        }
    }

    /// Runs the searches of this rank's own groups.
    fn search_own<E: Evaluate + ?Sized>(
        &self,
        task: &Task<'_>,
        all: &Groups,
        evaluator: &mut E,
        observer: &mut dyn Observer,
    ) -> Result<Part, Error> {
        let groups = self.here.first(self.own.len());
        let mut observer = OfSome {
            observer,
            groups: all.len(),
            searched: &self.own,
        };
        let watched = observer.watches() || task.options.time_limit.is_some();
        let mut report = Report {
            observer: &mut observer,
            groups: groups.len(),
            rules: Some(task.rules),
            agree: None,
        };
        let mut evaluator = Own {
            evaluator,
            here: &self.here,
            own: self.own.len(),
        };
        let mut scores = Scores::new(&mut evaluator, &groups, task.rules);
        let (search, upper_bounds) = task.search_here(&mut scores, watched, &mut report)?;
        let bar_candidates = scores.bar_candidates;
        let chosen = choose(&evaluator, &groups, task.rules, &search.found);
        let mut part = Part {
            rounds: search.rounds,
            bar_candidates,
            path: Some(search.path),
            ..Part::default()
        };
        for (index, chosen) in chosen.iter().enumerate() {
            let members = groups.members(index);
            part.add_profits(members, &chosen.profits);
            let number = self.own[index];
            let name = all.name(number).map(str::to_owned);
            let (simulations, bound) = (members.len(), upper_bounds[index]);
            let outcome = task.outcome(&search, index, chosen, name, simulations, bound);
            part.outcomes.push((number, outcome));
        }
        Ok(part)
    }

    /// Runs the searches of the groups that span ranks, on all ranks at once.
    fn search_spanning<E: Evaluate + ?Sized>(
        &self,
        task: &Task<'_>,
        all: &Groups,
        evaluator: &mut E,
        ranks: &mut dyn Reduce,
        watched: bool,
        observer: &mut dyn Observer,
    ) -> Result<Part, Error> {
        let sizes: Vec<usize> = self
            .spanning
            .iter()
            .map(|&g| all.members(g).len())
            .collect();
        let (bars, fraction_bits) = self.agree_on_sums(evaluator, ranks, &sizes)?;
        let mut observer = OfSome {
            observer,
            groups: all.len(),
            searched: &self.spanning,
        };
        let ranks = RefCell::new(ranks);
        let agree = |reason: Option<StopReason>| {
            let cancelled = i64::from(reason == Some(StopReason::Cancelled));
            let late = i64::from(reason == Some(StopReason::TimeLimit));
            let mut flags = vec![cancelled, late];
            reduce::sum(&mut **ranks.borrow_mut(), Ok(()), &mut flags)?;
            Ok(match (flags[0], flags[1]) {
                (0, 0) => None,
                (0, _) => Some(StopReason::TimeLimit),
                _ => Some(StopReason::Cancelled),
            })
        };

        let (search, bar_candidates) = match task.options.method {
            Method::Exact(options) => {
                let ranks = &mut **ranks.borrow_mut();
                (self.exact_on_one_rank(task, evaluator, ranks, options)?, 0)
            }
            _ => {
                let mut report = Report {
                    observer: &mut observer,
                    groups: self.spanning.len(),
                    rules: Some(task.rules),
                    agree: watched.then_some(&agree),
                };
                let mut evaluator = Spanning {
                    evaluator: &mut *evaluator,
                    ranks: &ranks,
                    layout: self,
                    sizes: &sizes,
                    fraction_bits,
                };
                let groups = &self.spanning_here;
                let mut scores = Scores::with_bars(&mut evaluator, groups, task.rules, bars);
                let search = task.search(&mut scores, watched, &mut report, Some(&ranks))?;
                (search, scores.bar_candidates)
            }
        };
        let ranks = ranks.into_inner();
        let bounds = match task.options.method {
            Method::Exact(_) => upper_bounds(&search, sizes.len()),
            _ if task.options.quality => {
                let options = ExactOptions::default();
                let exact = self.exact_on_one_rank(task, evaluator, ranks, options)?;
                upper_bounds(&exact, sizes.len())
            }
            _ => vec![None; sizes.len()],
        };

        let groups = &self.spanning_here;
        let found = &search.found;
        let chosen = choose_over_ranks(evaluator, groups, &sizes, task.rules, found, ranks)?;
        let mut part = Part {
            rounds: search.rounds,
            bar_candidates,
            ..Part::default()
        };
        for (index, chosen) in chosen.iter().enumerate() {
            part.add_profits(groups.members(index), &chosen.profits);
            let number = self.spanning[index];
            let name = all.name(number).map(str::to_owned);
            let outcome = task.outcome(&search, index, chosen, name, sizes[index], bounds[index]);
            part.outcomes.push((number, outcome));
        }
        Ok(part)
    }

    /// Bars, and fraction bits of the sums, of the groups that span ranks.
    fn agree_on_sums<E: Evaluate + ?Sized>(
        &self,
        evaluator: &mut E,
        ranks: &mut dyn Reduce,
        sizes: &[usize],
    ) -> Result<(Vec<u64>, Vec<i32>), Error> {
        let bounds = evaluator.shard().map(|shard| shard.bounds().to_vec());
        let batch = evaluator.batch();
        let message = bounds.filter(|bounds| bounds.len() == batch.len());
        let message = message.ok_or_else(no_shard).map(|bounds| {
            let mut message = Writer::default();
            for index in 0..sizes.len() {
                let members = self.spanning_here.members(index).iter();
                let bars = |&s: &u32| batch.simulation(s as usize).map_or(0, |one| one.bars());
                message.u64(members.clone().map(bars).sum::<usize>() as u64);
                let bounds = members.map(|&s| bounds[s as usize]);
                message.f64(bounds.fold(0.0, f64::max));
            }
            message.into_bytes()
        });
        let messages = reduce::gather(ranks, message)?;
        let (mut bars, mut bounds) = (vec![0; sizes.len()], vec![0.0_f64; sizes.len()]);
        for message in &messages {
            let mut message = Reader::new(message);
            for (bars, bound) in bars.iter_mut().zip(&mut bounds) {
                *bars += message.u64()?;
                *bound = bound.max(message.f64()?);
            }
        }
        let bits = bounds.iter().zip(sizes);
        let bits = bits.map(|(&bound, &size)| fraction_bits(bound, size));
        Ok((bars, bits.collect()))
    }

    /// The exact optima of the groups that span ranks: the bars of each go to one rank, the ranks
    /// taking turns, which solves it and tells the others.
    fn exact_on_one_rank<E: Evaluate + ?Sized>(
        &self,
        task: &Task<'_>,
        evaluator: &E,
        ranks: &mut dyn Reduce,
        options: ExactOptions,
    ) -> Result<Search, Error> {
        let count = self.spanning.len();
        let mut builder = Batch::builder();
        let mut lengths = Vec::new();
        let mut broken = Ok(());
        for index in 0..count {
            let mut message = Writer::default();
            for &simulation in self.spanning_here.members(index) {
                if let Some(simulation) = evaluator.batch().simulation(simulation as usize) {
                    write_simulation(&mut message, &simulation);
                }
            }
            let part = std::mem::replace(&mut broken, Ok(())).map(|()| message.into_bytes());
            let messages = reduce::gather(ranks, part)?;
            if index % ranks.ranks() == ranks.rank() {
                let mut length = 0;
                // Told with the next message.
                broken = messages.iter().try_for_each(|message| {
                    let mut message = Reader::new(message);
                    while !message.is_empty() {
                        read_simulation(&mut message, &mut builder)?;
                        length += 1;
                    }
                    Ok(())
                });
                lengths.push(length);
            }
        }

        let solve = |builder: BatchBuilder| -> Result<Vec<u8>, Error> {
            let batch = builder.build()?;
            let members: Vec<u32> = (0..batch.len() as u32).collect();
            let mut rest = members.as_slice();
            let lists = lengths.iter().map(|&length| {
                let (list, tail) = rest.split_at(length);
                rest = tail;
                list
            });
            let groups = Groups::of_lists(lists);
            let mut gathered = Gathered {
                batch: &batch,
                fee: evaluator.fee(),
                threads: evaluator.threads(),
            };
            let watched = task.options.time_limit.is_some();
            let mut report = Report {
                observer: &mut (),
                groups: groups.len(),
                rules: Some(task.rules),
                agree: None,
            };
            let mut scores = Scores::new(&mut gathered, &groups, task.rules);
            let search = task.exact(&mut scores, options, watched, &mut report)?;
            let mut message = Writer::default();
            message.u64(search.rounds);
            search
                .found
                .iter()
                .for_each(|found| write_found(&mut message, found));
            Ok(message.into_bytes())
        };
        let message = match broken {
            Ok(()) if lengths.is_empty() => Ok(Vec::new()),
            Ok(()) => solve(builder),
            Err(error) => Err(error),
        };
        let messages = reduce::gather(ranks, message)?;
        let mut rounds = 0;
        let mut found: Vec<Option<Found>> = Vec::new();
        found.resize_with(count * task.rules.len(), || None);
        for (rank, message) in messages.iter().enumerate() {
            let solved = (rank..count).step_by(messages.len());
            if solved.len() == 0 {
                continue;
            }
            let mut message = Reader::new(message);
            rounds = rounds.max(message.u64()?);
            for rule in 0..task.rules.len() {
                for index in solved.clone() {
                    found[rule * count + index] = Some(read_found(&mut message)?);
                }
            }
        }
        Ok(Search {
            found: found.into_iter().flatten().collect(),
            rounds,
            path: Path::Lockstep,
        })
    }
}

/// What became of some groups.
#[derive(Default)]
struct Part {
    /// With their numbers among all groups.
    outcomes: Vec<(usize, GroupOutcome)>,
    /// Of simulations of this rank, with their numbers on this rank.
    profits: Vec<(u32, f64)>,
    rounds: u64,
    bar_candidates: u64,
    path: Option<Path>,
}

impl Part {
    fn add_profits(&mut self, members: &[u32], profits: &[f64]) {
        let members = members.iter().copied();
        self.profits.extend(members.zip(profits.iter().copied()));
    }

    fn to_message(&self, profits: &[f64]) -> Vec<u8> {
        let mut message = Writer::default();
        message.u64(self.rounds);
        message.u64(self.bar_candidates);
        message.u64(self.outcomes.len() as u64);
        for (number, outcome) in &self.outcomes {
            write_outcome(&mut message, *number, outcome);
        }
        profits.iter().for_each(|&profit| message.f64(profit));
        message.into_bytes()
    }
}
