//! The groups whose searches a device runs: where their simulations lie, in which order they are
//! launched, and how the kernels read them.

use std::cmp::Reverse;
use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;

use super::super::Span;
use crate::evaluate::fixed_point::{fraction_bits_of, power_of_two};
use crate::groups::Groups;

/// A group as the kernel reads it, or the part of it that a block of a wide search scores.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Group {
    /// Of the members of all groups.
    pub first: u32,
    pub members: u32,
    /// Index among the groups of the device, in the order of the launches.
    pub index: u32,
    pub legs: u32,
    /// 2^fraction bits, and its inverse.
    pub scale: f64,
    pub unit: f64,
}

/// Groups that one thread writes at a time.
const BLOCK: usize = 1 << 12;

/// Where a group has its simulations, instead of in a chunk.
const ELSEWHERE: u32 = u32::MAX;
const SPREAD: u32 = u32::MAX - 1;

/// A group of a device, in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Key {
    /// Index of the chunk, or one of the above.
    pub chunk: u32,
    pub legs: u32,
    pub members: u32,
    /// Number among all groups.
    pub number: u32,
}

/// The groups of one device.
pub(super) struct Share {
    /// In the order of the launches: chunk by chunk, longest first.
    pub keys: Vec<Key>,
    pub members: usize,
}

/// What tells where the groups have their simulations.
pub(super) struct Places<'p> {
    pub simulations: &'p Range<usize>,
    /// Of each simulation.
    pub slots: &'p [u32],
    /// Of each slot.
    pub spans: &'p [Span],
    /// The slots of each chunk.
    pub chunks: &'p [Range<usize>],
}

impl Places<'_> {
    /// The slot of a simulation, and its legs.
    fn find(&self, member: u32) -> (u32, usize) {
        let slot = self.slots[member as usize - self.simulations.start];
        (slot, self.spans[slot as usize].legs())
    }

    fn key(&self, groups: &Groups, number: usize) -> Key {
        let members = groups.members(number);
        let key = |chunk, legs| Key {
            chunk,
            legs,
            members: members.len() as u32,
            number: number as u32,
        };
        let (Some(&first), Some(&last)) = (members.first(), members.last()) else {
            return key(SPREAD, 0);
        };
        if !self.simulations.contains(&(first as usize)) {
            return key(ELSEWHERE, 0);
        }
        // Members ascend.
        if !self.simulations.contains(&(last as usize)) {
            return key(SPREAD, 0);
        }
        let (slot, _) = self.find(first);
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.end <= slot as usize);
        let mut sum = 0;
        for &member in members {
            let (slot, legs) = self.find(member);
            if !self.chunks[chunk].contains(&(slot as usize)) {
                return key(SPREAD, 0);
            }
            sum += legs;
        }
        match u32::try_from(sum) {
            Ok(legs) => key(chunk as u32, legs),
            Err(_) => key(SPREAD, 0),
        }
    }
}

impl Share {
    /// The groups that begin on a device; `None` if one of them has its simulations in several chunks
    /// or on several devices.
    pub fn new(places: &Places<'_>, groups: &Groups) -> Option<Self> {
        let numbers = (0..groups.len()).into_par_iter().with_min_len(BLOCK);
        let mut keys: Vec<Key> = numbers.map(|number| places.key(groups, number)).collect();
        // Equal lengths keep their order, whose neighbours share legs in the cache.
        let order = |key: &Key| (key.chunk, Reverse(key.legs));
        if !keys.is_sorted_by_key(order) {
            keys.par_sort_by_key(order);
        }
        keys.truncate(keys.partition_point(|key| key.chunk != ELSEWHERE));
        if keys.last().is_some_and(|key| key.chunk == SPREAD) {
            return None;
        }
        let members = keys.iter().map(|key| key.members as usize).sum();
        Some(Self { keys, members })
    }

    /// The groups of each chunk that has any.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        let alike = self.keys.chunk_by(|one, other| one.chunk == other.chunk);
        alike.map(move |run| {
            let run = start..start + run.len();
            start = run.end;
            run
        })
    }

    /// Writes the groups, and of each member its slot, and the place of its first leg where they are
    /// staged.
    pub fn write(
        &self,
        places: &Places<'_>,
        all: &Groups,
        bounds: &[f64],
        mut groups: &mut [Group],
        mut members: &mut [[u32; 2]],
    ) {
        let (mut index, mut first) = (0, 0);
        let mut blocks = Vec::with_capacity(self.keys.len() / BLOCK + 1);
        for keys in self.keys.chunks(BLOCK) {
            let count = keys.iter().map(|key| key.members as usize).sum();
            let (groups_here, rest) = std::mem::take(&mut groups).split_at_mut(keys.len());
            groups = rest;
            let (members_here, rest) = std::mem::take(&mut members).split_at_mut(count);
            members = rest;
            blocks.push((keys, groups_here, members_here, index, first));
            index += keys.len() as u32;
            first += count as u32;
        }
        let block = |block: (&[Key], &mut [Group], &mut [[u32; 2]], u32, u32)| {
            let (keys, groups, members, mut index, mut first) = block;
            let mut members = members.iter_mut();
            for (key, group) in keys.iter().zip(groups) {
                let of_group = all.members(key.number as usize);
                let mut before = 0;
                for (&member, place) in of_group.iter().zip(members.by_ref()) {
                    let (slot, legs) = places.find(member);
                    *place = [slot, before];
                    before += legs as u32;
                }
                let bits = fraction_bits_of(of_group, bounds);
                *group = Group {
                    first,
                    members: key.members,
                    index,
                    legs: key.legs,
                    scale: power_of_two(bits),
                    unit: power_of_two(-bits),
                };
                first += key.members;
                index += 1;
            }
        };
        blocks.into_par_iter().for_each(block);
    }
}

/// Cuts a group into parts of about equal legs, one per block, some without members where a member
/// has much of the group; places the legs of each part. `members`: those of all groups.
pub(super) fn cut(
    group: Group,
    members: &mut [[u32; 2]],
    blocks: usize,
    spans: &[Span],
) -> Vec<Group> {
    let mut parts = vec![
        Group {
            members: 0,
            legs: 0,
            ..group
        };
        blocks
    ];
    let members = &mut members[group.first as usize..][..group.members as usize];
    let mut before = 0;
    for [slot, place] in members {
        let legs = spans[*slot as usize].legs() as u64;
        // The part that has the middle of the member.
        let part = (2 * before + legs) * blocks as u64 / (2 * u64::from(group.legs)).max(1);
        let part = &mut parts[usize::try_from(part).map_or(blocks - 1, |at| at.min(blocks - 1))];
        *place = part.legs;
        part.members += 1;
        part.legs += legs as u32;
        before += legs;
    }
    let mut first = group.first;
    for part in &mut parts {
        part.first = first;
        first += part.members;
    }
    parts
}

/// What `kernels/direct.cu` states.
const _: () = assert!(size_of::<Group>() == 32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Sharing;

    #[test]
    fn groups_come_chunk_by_chunk_longest_first() {
        let simulations = [(3, 9), (0, 7), (1, 5), (2, 5)];
        let spans = simulations.map(|(simulation, longs)| Span {
            simulation,
            longs,
            ..Span::zeroed()
        });
        let share =
            |sharing: &Sharing, here: Range<usize>, slots: &[u32], chunks: &[Range<usize>]| {
                let all = Groups::new(sharing, 4).unwrap();
                let places = Places {
                    simulations: &here,
                    slots,
                    spans: &spans,
                    chunks,
                };
                let share = Share::new(&places, &all)?;
                let mut groups = vec![Group::zeroed(); share.keys.len()];
                let mut members = vec![[0; 2]; share.members];
                share.write(&places, &all, &[1.0; 4], &mut groups, &mut members);
                for (index, (group, key)) in groups.iter().zip(&share.keys).enumerate() {
                    assert_eq!(group.index, index as u32);
                    assert_eq!((group.legs, group.members), (key.legs, key.members));
                    assert_eq!(group.scale * group.unit, 1.0);
                }
                let numbers: Vec<u32> = share.keys.iter().map(|key| key.number).collect();
                Some((numbers, share.runs().collect::<Vec<_>>(), members))
            };
        let (slots, two) = ([1, 2, 3, 0], [0..2, 2..4]);
        let one = std::slice::from_ref(&(0..4));
        let each = share(&Sharing::PerSimulation, 0..4, &slots, &two);
        let members = vec![[0, 0], [1, 0], [2, 0], [3, 0]];
        let expected = (vec![3, 0, 1, 2], vec![0..2, 2..4], members);
        assert_eq!(each, Some(expected));

        let labels = ["a", "b", "b", "a"].map(str::to_owned);
        let named = Sharing::Groups(labels.to_vec());
        let members = vec![[1, 0], [0, 7], [2, 0], [3, 5]];
        let expected = (vec![0, 1], vec![0..1, 1..2], members.clone());
        assert_eq!(share(&named, 0..4, &slots, &two), Some(expected));
        let whole = share(&named, 0..4, &slots, one);
        assert!(whole.is_some_and(|whole| whole.1.len() == 1 && whole.1[0] == (0..2)));

        // In two chunks.
        assert_eq!(share(&Sharing::Chunks(2), 0..4, &slots, &two), None);
        // On two devices; one without simulation 0 has the others.
        assert_eq!(share(&Sharing::Chunks(3), 0..2, &slots, one), None);
        let rest = share(&Sharing::PerSimulation, 1..4, &slots[1..], one);
        assert_eq!(rest.map(|rest| rest.0), Some(vec![3, 1, 2]));
    }
}
