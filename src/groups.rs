//! Who shares multipliers with whom, and the candidates that each group is scored under.

use std::collections::HashMap;
use std::ops::Range;

use crate::batch::{MAX_BARS, MAX_MOVE};
use crate::error::Error;
use crate::profit::Multipliers;

/// Which simulations share one pair of multipliers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Sharing {
    /// One pair for the whole batch.
    #[default]
    All,
    /// A pair for each simulation.
    PerSimulation,
    /// A pair for each run of `n` consecutive simulations; the last may be shorter.
    Chunks(usize),
    /// A pair for each label; one label per simulation.
    Groups(Vec<String>),
}

/// The groups of a batch: a partition of its simulations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// Simulations in group order, `[S]`.
    members: Vec<u32>,
    /// Members of group `g` are `offsets[g]..offsets[g + 1]`.
    offsets: Vec<usize>,
    /// Labels of named groups, in order of first appearance.
    names: Option<Vec<String>>,
}

impl Groups {
    /// The groups that `sharing` makes of `simulations` simulations.
    ///
    /// # Errors
    /// No simulations or more than [`MAX_BARS`]; chunks of 0; another number of labels than
    /// simulations.
    pub fn new(sharing: &Sharing, simulations: usize) -> Result<Self, Error> {
        if simulations == 0 {
            return Err(Error::EmptyBatch);
        }
        if simulations > MAX_BARS {
            return Err(Error::BatchTooLarge {
                bars: simulations,
                limit: MAX_BARS,
            });
        }
        let chunk = match sharing {
            Sharing::All => simulations,
            Sharing::PerSimulation => 1,
            Sharing::Chunks(0) => {
                return Err(Error::option("Sharing::Chunks", 0, "at least 1"));
            }
            Sharing::Chunks(n) => *n,
            Sharing::Groups(labels) => return Self::named(labels, simulations),
        };
        let starts = (0..simulations).step_by(chunk);
        Ok(Self {
            members: (0..simulations as u32).collect(),
            offsets: starts.chain([simulations]).collect(),
            names: None,
        })
    }

    /// Groups of consecutive simulations, of the given sizes.
    pub(crate) fn consecutive(sizes: &[usize]) -> Result<Self, Error> {
        let mut offsets = vec![0];
        let mut end = 0_usize;
        for size in sizes {
            end = end.saturating_add(*size);
            offsets.push(end);
        }
        // Its checks.
        let all = Self::new(&Sharing::All, end)?;
        Ok(Self { offsets, ..all })
    }

    fn named(labels: &[String], simulations: usize) -> Result<Self, Error> {
        if labels.len() != simulations {
            return Err(Error::LabelCount {
                expected: simulations,
                got: labels.len(),
            });
        }
        let mut index_of = HashMap::new();
        let mut names = Vec::new();
        let mut group_of = Vec::with_capacity(simulations);
        for label in labels {
            let group = *index_of.entry(label.as_str()).or_insert_with(|| {
                names.push(label.clone());
                names.len() - 1
            });
            group_of.push(group);
        }
        let mut offsets = vec![0; names.len() + 1];
        for &group in &group_of {
            offsets[group + 1] += 1;
        }
        for group in 0..names.len() {
            offsets[group + 1] += offsets[group];
        }
        let mut next = offsets.clone();
        let mut members = vec![0; simulations];
        for (simulation, &group) in group_of.iter().enumerate() {
            members[next[group]] = simulation as u32;
            next[group] += 1;
        }
        Ok(Self {
            members,
            offsets,
            names: Some(names),
        })
    }

    /// Number of groups, at least 1.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Never true: there is at least one group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of simulations of all groups together.
    pub fn simulations(&self) -> usize {
        self.members.len()
    }

    /// Simulations of group `g` in ascending order; empty when there is no such group.
    pub fn members(&self, g: usize) -> &[u32] {
        match (self.offsets.get(g), self.offsets.get(g.saturating_add(1))) {
            (Some(&start), Some(&end)) => &self.members[start..end],
            _ => &[],
        }
    }

    /// Label of group `g`, when the groups were made from labels.
    pub fn name(&self, g: usize) -> Option<&str> {
        self.names.as_ref()?.get(g).map(String::as_str)
    }
}

/// The candidates to score: one list shared by all groups, or a list per group.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    pairs: Vec<Multipliers>,
    /// Candidates of group `g` are `offsets[g]..offsets[g + 1]`; `None`: shared.
    offsets: Option<Vec<usize>>,
}

impl Candidates {
    /// One list for every group.
    ///
    /// # Errors
    /// A multiplier that is not finite or beyond ±1e6.
    pub fn shared(pairs: Vec<Multipliers>) -> Result<Self, Error> {
        check_candidates(&pairs)?;
        Ok(Self {
            pairs,
            offsets: None,
        })
    }

    /// A list for each group, in order of the groups. Lists may be empty.
    ///
    /// # Errors
    /// A multiplier that is not finite or beyond ±1e6; its index counts over all lists.
    pub fn per_group<L: AsRef<[Multipliers]>>(lists: &[L]) -> Result<Self, Error> {
        let mut candidates = Self::no_lists();
        for list in lists {
            candidates.pairs.extend_from_slice(list.as_ref());
            candidates.end_list();
        }
        check_candidates(&candidates.pairs)?;
        Ok(candidates)
    }

    /// Number of groups the lists are for; `None` when one list is shared.
    pub fn groups(&self) -> Option<usize> {
        self.offsets.as_ref().map(|offsets| offsets.len() - 1)
    }

    /// The list of group `g`; empty when there is no such group.
    pub fn of_group(&self, g: usize) -> &[Multipliers] {
        &self.pairs[self.range(g)]
    }

    /// Number of candidates, over all groups when each of `groups` has its list or the shared one.
    pub fn total(&self, groups: usize) -> usize {
        match &self.offsets {
            Some(_) => self.pairs.len(),
            None => self.pairs.len().saturating_mul(groups),
        }
    }

    /// The candidates of all lists, one list after the other.
    #[cfg(feature = "cuda")]
    pub(crate) fn pairs(&self) -> &[Multipliers] {
        &self.pairs
    }

    /// Where the candidates of group `g` lie in `pairs`.
    pub(crate) fn range(&self, g: usize) -> Range<usize> {
        match &self.offsets {
            None => 0..self.pairs.len(),
            Some(offsets) => match (offsets.get(g), offsets.get(g.saturating_add(1))) {
                (Some(&start), Some(&end)) => start..end,
                _ => 0..0,
            },
        }
    }

    /// An empty set of lists, to be filled by the drivers round after round.
    pub(crate) fn no_lists() -> Self {
        Self {
            pairs: Vec::new(),
            offsets: Some(vec![0]),
        }
    }

    pub(crate) fn clear_lists(&mut self) {
        self.pairs.clear();
        self.offsets = Some(vec![0]);
    }

    pub(crate) fn push(&mut self, pair: Multipliers) {
        self.pairs.push(pair);
    }

    pub(crate) fn end_list(&mut self) {
        let end = self.pairs.len();
        if let Some(offsets) = &mut self.offsets {
            offsets.push(end);
        }
    }
}

fn check_candidates(pairs: &[Multipliers]) -> Result<(), Error> {
    for (candidate, pair) in pairs.iter().enumerate() {
        let (high, low) = (f64::from(pair.high), f64::from(pair.low));
        if !(high.abs() <= MAX_MOVE && low.abs() <= MAX_MOVE) {
            return Err(Error::Candidate {
                candidate,
                high,
                low,
                limit: MAX_MOVE,
            });
        }
    }
    Ok(())
}
