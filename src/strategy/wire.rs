//! What crosses the pipes of a worker: words of 64 bits and columns of f32, as they lie in memory.
//! Both ends are one machine, and as a rule one program.
//!
//! A request is a header of [`HEADER`] words, the number of simulations of each group, the number
//! of bars of each simulation, and the columns one after the other, `close` first. Its answer is
//! one word, the bytes the worker held, and [`RECORD`] words per exit rule and group, rules
//! outermost.

use std::io::{self, Read, Write};
use std::iter;

use crate::batch::{Batch, Fields, Weights};
use crate::direct::StopReason;
use crate::error::Error;
use crate::evaluate::Searched;
use crate::groups::{Groups, Sharing};
use crate::profit::ExitRule;

/// What a worker says first. Whatever a program says before it calls the entry is skipped.
pub(super) const GREETING: &[u8] = b"\ntrisect worker 1\n";

/// First word of a request: a version of this file.
const REQUEST: u64 = u64::from_le_bytes(*b"trisect1");

/// Words of a request before its lists.
const HEADER: usize = 12;

/// Words of a search in an answer.
const RECORD: usize = 8;

/// Bytes of a column read at once: a header that promises too much ends in an error, not in a
/// refused allocation.
const PIECE: usize = 1 << 20;

/// Why a DIRECT search left alone can stop; its index stands for it.
const STOPS: [StopReason; 8] = [
    StopReason::Evaluations,
    StopReason::Iterations,
    StopReason::Volume,
    StopReason::SideLength,
    StopReason::Target,
    StopReason::NoProgress,
    StopReason::Slots,
    StopReason::Levels,
];

const RULES: [ExitRule; 2] = [ExitRule::Intraday, ExitRule::AtClose];

/// The terms of a shard's searches.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    pub(super) fee: f64,
    /// Production options but for this budget.
    pub(super) max_evaluations: usize,
    pub(super) exit_rules: Vec<ExitRule>,
    /// `(low, high)` of the two axes.
    pub(super) bounds: [(f64, f64); 2],
}

/// What a worker is given.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) terms: Terms,
    /// The shard: simulations in order of their groups.
    pub(super) batch: Batch,
    pub(super) groups: Groups,
}

fn kind(weights: &Weights<&[f32]>) -> u64 {
    match weights {
        Weights::EntryExit(_) => 0,
        Weights::AlwaysOn { sell: None, .. } => 1,
        Weights::AlwaysOn { sell: Some(_), .. } => 2,
    }
}

/// Writes the groups `range` of a batch.
pub(super) fn write_request(
    out: &mut impl Write,
    terms: &Terms,
    batch: &Batch,
    groups: &Groups,
    range: std::ops::Range<usize>,
) -> io::Result<()> {
    let members = || range.clone().flat_map(|group| groups.members(group));
    let simulations = || members().filter_map(|&s| batch.simulation(s as usize));
    let kind = simulations().next().map_or(0, |first| kind(&first.weights));
    let mut rules = terms.exit_rules.iter().map(|rule| *rule as u64);
    let [high, low] = terms.bounds;
    let header: [u64; HEADER] = [
        REQUEST,
        terms.fee.to_bits(),
        terms.max_evaluations as u64,
        terms.exit_rules.len() as u64,
        rules.next().unwrap_or(0),
        high.0.to_bits(),
        high.1.to_bits(),
        low.0.to_bits(),
        low.1.to_bits(),
        kind,
        range.len() as u64,
        members().count() as u64,
    ];
    write_words(out, header)?;
    write_words(out, range.clone().map(|g| groups.members(g).len() as u64))?;
    write_words(out, simulations().map(|s| s.bars() as u64))?;
    let columns = if kind == 2 { 7 } else { 6 };
    for index in 0..columns {
        for simulation in simulations() {
            if let Some((_, column)) = simulation.columns().nth(index) {
                out.write_all(bytemuck::cast_slice(column))?;
            }
        }
    }
    out.flush()
}

/// Reads a request; `None` at the end of the requests.
pub(super) fn read_request(input: &mut impl Read) -> Result<Option<Request>, String> {
    let said = |error: io::Error| format!("the request cannot be read: {error}");
    let Some(header) = read_header(input).map_err(said)? else {
        return Ok(None);
    };
    if header[0] != REQUEST {
        return Err("the request is of another version of trisect".to_owned());
    }
    let count = |index: usize| usize::try_from(header[index]).unwrap_or(usize::MAX);
    let number = |index: usize| f64::from_bits(header[index]);
    let rules = match (header[3], header[4]) {
        (2, 0) => &RULES[..],
        (1, 0) => &RULES[..1],
        (1, 1) => &RULES[1..],
        _ => return Err("the request names no known exit rule".to_owned()),
    };
    let terms = Terms {
        fee: number(1),
        max_evaluations: count(2),
        exit_rules: rules.to_vec(),
        bounds: [(number(5), number(6)), (number(7), number(8))],
    };
    let sizes = read_values::<u64>(input, count(10)).map_err(said)?;
    let lengths = read_values::<u64>(input, count(11)).map_err(said)?;
    let lengths: Vec<usize> = lengths.into_iter().map(|bars| bars as usize).collect();
    let bars = lengths
        .iter()
        .fold(0_usize, |sum, bars| sum.saturating_add(*bars));
    let mut column = || read_values::<f32>(input, bars).map_err(said);
    let [close, high, low, high_pred, low_pred, first] = [
        column()?,
        column()?,
        column()?,
        column()?,
        column()?,
        column()?,
    ];
    let sell = match header[9] {
        2 => Some(column()?),
        _ => None,
    };
    let weights = match header[9] {
        0 => Weights::EntryExit(&first[..]),
        _ => Weights::AlwaysOn {
            buy: &first[..],
            sell: sell.as_deref(),
        },
    };
    let columns = Fields {
        close: &close[..],
        high: &high,
        low: &low,
        high_pred: &high_pred,
        low_pred: &low_pred,
        weights,
    };
    let request = || -> Result<Request, Error> {
        let batch = Batch::from_slices(&lengths, columns)?;
        let of_group = |(group, &size): (usize, &u64)| {
            // No more labels than there could be simulations, whatever the sizes say.
            iter::repeat_n(group.to_string(), (size as usize).min(lengths.len()))
        };
        let labels = sizes.iter().enumerate().flat_map(of_group).collect();
        let groups = Groups::new(&Sharing::Groups(labels), batch.len())?;
        Ok(Request {
            terms,
            batch,
            groups,
        })
    };
    request().map(Some).map_err(|error| error.to_string())
}

/// Writes what became of a request.
pub(super) fn write_answer(
    out: &mut impl Write,
    held_bytes: usize,
    searched: &[Searched],
) -> io::Result<()> {
    write_words(out, [held_bytes as u64])?;
    for one in searched {
        let [high, low] = one.point.unwrap_or_default().map(f64::to_bits);
        let stop = STOPS.iter().position(|stop| *stop == one.stop);
        let record: [u64; RECORD] = [
            u64::from(one.point.is_some()),
            high,
            low,
            one.value.to_bits(),
            one.evaluations,
            one.iterations,
            one.rounds,
            stop.unwrap_or(STOPS.len()) as u64,
        ];
        write_words(out, record)?;
    }
    out.flush()
}

/// Reads an answer of `searches` searches: the bytes held, and the searches.
pub(super) fn read_answer(
    input: &mut impl Read,
    searches: usize,
) -> io::Result<(usize, Vec<Searched>)> {
    let words = read_values::<u64>(input, 1 + RECORD * searches)?;
    let searched = words[1..].chunks_exact(RECORD).map(|record| {
        let stop = usize::try_from(record[7])
            .ok()
            .and_then(|index| STOPS.get(index));
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, "an unknown reason to stop");
        Ok(Searched {
            point: (record[0] == 1).then(|| [record[1], record[2]].map(f64::from_bits)),
            value: f64::from_bits(record[3]),
            evaluations: record[4],
            iterations: record[5],
            rounds: record[6],
            stop: *stop.ok_or_else(unknown)?,
        })
    });
    Ok((words[0] as usize, searched.collect::<io::Result<_>>()?))
}

fn write_words(out: &mut impl Write, words: impl IntoIterator<Item = u64>) -> io::Result<()> {
    for word in words {
        out.write_all(&word.to_ne_bytes())?;
    }
    Ok(())
}

/// A header, or `None` when the input ends before it.
fn read_header(input: &mut impl Read) -> io::Result<Option<[u64; HEADER]>> {
    let mut header = [0_u64; HEADER];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut header);
    let mut read = 0;
    while read < bytes.len() {
        match input.read(&mut bytes[read..]) {
            Ok(0) if read == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(header))
}

fn read_values<T: bytemuck::Pod>(input: &mut impl Read, count: usize) -> io::Result<Vec<T>> {
    let mut values = Vec::new();
    while values.len() < count {
        let piece = (count - values.len()).min(PIECE / size_of::<T>());
        let start = values.len();
        values.resize(start + piece, T::zeroed());
        input.read_exact(bytemuck::cast_slice_mut(&mut values[start..]))?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(bars: usize, first: f32) -> [Vec<f32>; 7] {
        let column = |low: f32| (0..bars).map(move |t| low + 0.001 * t as f32);
        [0.0, 0.05, -0.05, 0.04, -0.04, 1.0, -2.0].map(|low| column(low + first).collect())
    }

    fn batch(lengths: &[usize], kind: u64) -> Batch {
        let mut builder = Batch::builder();
        for (simulation, &bars) in lengths.iter().enumerate() {
            let [close, high, low, high_pred, low_pred, buy, sell] =
                columns(bars, 0.0001 * simulation as f32);
            let weights = match kind {
                0 => Weights::EntryExit(&buy[..]),
                1 => Weights::AlwaysOn {
                    buy: &buy[..],
                    sell: None,
                },
                _ => Weights::AlwaysOn {
                    buy: &buy[..],
                    sell: Some(&sell),
                },
            };
            let fields = Fields {
                close: &close[..],
                high: &high,
                low: &low,
                high_pred: &high_pred,
                low_pred: &low_pred,
                weights,
            };
            builder.push(fields).unwrap();
        }
        builder.build().unwrap()
    }

    fn terms(exit_rules: &[ExitRule]) -> Terms {
        Terms {
            fee: 0.002,
            max_evaluations: 77,
            exit_rules: exit_rules.to_vec(),
            bounds: [(-0.03, 0.01), (-0.02, 0.04)],
        }
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        // Groups whose members are not neighbours: they are sent in the order of the groups.
        let labels = ["a", "b", "a", "c", "b"].map(str::to_owned).to_vec();
        let groups = Groups::new(&Sharing::Groups(labels), 5).unwrap();
        for kind in 0..3 {
            let whole = batch(&[3, 1, 4, 1, 5], kind);
            for rules in [&RULES[..], &RULES[..1], &RULES[1..]] {
                let mut bytes = Vec::new();
                write_request(&mut bytes, &terms(rules), &whole, &groups, 0..2).unwrap();
                write_request(&mut bytes, &terms(rules), &whole, &groups, 2..3).unwrap();
                let mut input = &bytes[..];
                let request = read_request(&mut input).unwrap().unwrap();
                assert_eq!(request.terms, terms(rules));
                assert_eq!(request.groups.len(), 2);
                assert_eq!(request.groups.members(0), [0, 1]);
                assert_eq!(request.groups.members(1), [2, 3]);
                for (got, sent) in request.batch.simulations().zip([0, 2, 1, 4]) {
                    assert_eq!(Some(got), whole.simulation(sent));
                }
                let request = read_request(&mut input).unwrap().unwrap();
                assert_eq!(request.batch.simulation(0), whole.simulation(3));
                assert_eq!(request.batch.len(), 1);
                assert_eq!(read_request(&mut input), Ok(None));
            }
        }
    }

    #[test]
    fn a_request_that_is_cut_or_wrong_is_refused() {
        let whole = batch(&[3, 2], 0);
        let groups = Groups::new(&Sharing::PerSimulation, 2).unwrap();
        let mut bytes = Vec::new();
        write_request(&mut bytes, &terms(&RULES), &whole, &groups, 0..2).unwrap();
        for cut in 1..bytes.len() {
            let error = read_request(&mut &bytes[..cut]).unwrap_err();
            assert!(error.starts_with("the request cannot be read"), "{error}");
        }
        let with = |word: usize, value: u64| {
            let mut bytes = bytes.clone();
            bytes[8 * word..8 * (word + 1)].copy_from_slice(&value.to_ne_bytes());
            read_request(&mut &bytes[..]).unwrap_err()
        };
        assert!(with(0, 1).contains("another version"));
        assert!(with(3, 3).contains("exit rule"));
        assert!(with(4, 1).contains("exit rule"));
        // Counts that promise more than comes.
        for word in [10, 11] {
            assert!(with(word, u64::MAX).contains("cannot be read"));
        }
        // Group sizes that are not those of the simulations.
        assert!(with(HEADER, 5).contains("labels"));
    }

    #[test]
    fn an_answer_arrives_as_it_was_sent() {
        let searched: Vec<Searched> = STOPS
            .iter()
            .enumerate()
            .map(|(index, &stop)| Searched {
                point: (index != 1).then_some([0.01 * index as f64, -0.02]),
                value: if index == 1 { f64::INFINITY } else { -0.5 },
                evaluations: 3 + index as u64,
                iterations: 40,
                rounds: 41,
                stop,
            })
            .collect();
        let mut bytes = Vec::new();
        write_answer(&mut bytes, 12_345, &searched).unwrap();
        let (held, got) = read_answer(&mut &bytes[..], searched.len()).unwrap();
        assert_eq!((held, got), (12_345, searched));
        assert!(read_answer(&mut &bytes[..bytes.len() - 1], STOPS.len()).is_err());
        let last = bytes.len() - 8;
        bytes[last..].copy_from_slice(&99_u64.to_ne_bytes());
        assert!(read_answer(&mut &bytes[..], STOPS.len()).is_err());
    }
}
