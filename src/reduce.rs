//! What processes that share a batch tell each other.
//!
//! [`Reduce`] is what [`optimize_ranks`](crate::optimize_ranks) needs of them: integer sums and
//! messages. [`Local`] is one process alone; with the feature `mpi`, `Mpi` is those of `mpirun` or
//! Slurm. Another engine (threads, sockets, a service's own transport) implements [`Reduce`].

#[cfg(feature = "mpi")]
mod mpi;

use std::fmt::Display;
use std::ops::Range;

use crate::error::Error;

#[cfg(feature = "mpi")]
pub use mpi::Mpi;

/// One of several processes (or threads) that share a batch.
///
/// Both operations are collective: every rank calls them in the same order, and nobody returns
/// before all have called. The drivers call them in the same order on all ranks, whatever fails on
/// one of them, so an implementation needs no time limit and no tags.
///
/// ```
/// use trisect::{Local, Reduce};
///
/// let mut alone = Local;
/// let mut sums = [1, 2];
/// alone.sum(&mut sums)?;
/// assert_eq!((alone.rank(), alone.ranks(), sums), (0, 1, [1, 2]));
/// assert_eq!(alone.gather(b"bytes")?, [b"bytes"]);
/// # Ok::<(), trisect::Error>(())
/// ```
pub trait Reduce {
    /// Number of this rank, below [`ranks`](Self::ranks).
    fn rank(&self) -> usize;

    /// Number of ranks, at least 1.
    fn ranks(&self) -> usize;

    /// Replaces every element by its sum over all ranks. All ranks give the same number of
    /// elements, and no sum overflows.
    ///
    /// # Errors
    /// Whatever keeps the ranks from doing so.
    fn sum(&mut self, values: &mut [i64]) -> Result<(), Error>;

    /// The bytes of all ranks, in order of the ranks; each may give another number of them.
    ///
    /// # Errors
    /// Whatever keeps the ranks from doing so.
    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error>;
}

impl<R: Reduce + ?Sized> Reduce for &mut R {
    fn rank(&self) -> usize {
        (**self).rank()
    }

    fn ranks(&self) -> usize {
        (**self).ranks()
    }

    fn sum(&mut self, values: &mut [i64]) -> Result<(), Error> {
        (**self).sum(values)
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        (**self).gather(bytes)
    }
}

/// One process alone: rank 0 of 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Local;

impl Reduce for Local {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn sum(&mut self, _: &mut [i64]) -> Result<(), Error> {
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(vec![bytes.to_vec()])
    }
}

/// The simulations of one rank when `simulations` are dealt out in order, as evenly as can be.
///
/// Runs of `together` simulations stay on one rank: with
/// [`Sharing::Chunks(n)`](crate::Sharing::Chunks) give `n`, then no group spans ranks, which saves
/// all messages; otherwise 1.
///
/// ```
/// use trisect::shard;
///
/// assert_eq!(shard(10, 1, 0, 4)?, 0..3);
/// assert_eq!(shard(10, 4, 1, 3)?, 4..8);
/// let error = shard(3, 1, 0, 4).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "ranks = 4: must be between 1 and the number of simulations (or of runs that stay together)",
/// );
/// # Ok::<(), trisect::Error>(())
/// ```
///
/// # Errors
/// `together` of 0; no rank, or more than there are runs: a rank without simulations has no batch;
/// a `rank` that is not below `ranks`.
pub fn shard(
    simulations: usize,
    together: usize,
    rank: usize,
    ranks: usize,
) -> Result<Range<usize>, Error> {
    if together == 0 {
        return Err(Error::option("together", together, "at least 1"));
    }
    let runs = simulations.div_ceil(together);
    if ranks == 0 || ranks > runs {
        let expected = "between 1 and the number of simulations (or of runs that stay together)";
        return Err(Error::option("ranks", ranks, expected));
    }
    if rank >= ranks {
        return Err(Error::option("rank", rank, "below the number of ranks"));
    }
    // The first ranks have one run more.
    let start = |rank: usize| rank * (runs / ranks) + rank.min(runs % ranks);
    let end = |rank: usize| (start(rank).saturating_mul(together)).min(simulations);
    Ok(end(rank)..end(rank + 1))
}

/// Goes on only where all ranks can: the value where every rank has one, otherwise an error on
/// every rank.
///
/// For what may fail on one rank alone before the search, such as reading its shard: without it
/// the other ranks would wait for the failed one.
///
/// ```
/// use trisect::{Error, Local, agree};
///
/// let batch: Result<(), Error> = Err(Error::EmptyBatch);
/// assert_eq!(agree(&mut Local, batch), Err(Error::EmptyBatch));
/// ```
///
/// # Errors
/// This rank's own error, if it has one; otherwise [`Error::Rank`] with that of the first rank
/// that failed.
pub fn agree<T, E: Display + From<Error>>(
    ranks: &mut (impl Reduce + ?Sized),
    result: Result<T, E>,
) -> Result<T, E> {
    match result {
        Ok(value) => {
            gather(ranks, Ok(Vec::new()))?;
            Ok(value)
        }
        Err(error) => {
            // The own error tells more than what the ranks agree on.
            let _ = exchange(ranks, Err(&error.to_string()));
            Err(error)
        }
    }
}

/// [`Reduce::sum`] that carries whether a rank failed: then all ranks return an error.
pub(crate) fn sum(
    ranks: &mut (impl Reduce + ?Sized),
    part: Result<(), Error>,
    values: &mut Vec<i64>,
) -> Result<(), Error> {
    if part.is_err() {
        values.fill(0);
    }
    values.push(i64::from(part.is_err()));
    let summed = ranks.sum(values);
    let failed = values.pop().unwrap_or(0);
    match part {
        Ok(()) => {
            summed?;
            if failed > 0 {
                gather(ranks, Ok(Vec::new()))?;
            }
            Ok(())
        }
        Err(error) => {
            if summed.is_ok() {
                let _ = gather(ranks, Err(error.clone()));
            }
            Err(error)
        }
    }
}

/// [`Reduce::gather`] that carries whether a rank failed: then all ranks return an error.
pub(crate) fn gather(
    ranks: &mut (impl Reduce + ?Sized),
    part: Result<Vec<u8>, Error>,
) -> Result<Vec<Vec<u8>>, Error> {
    match part {
        Ok(bytes) => exchange(ranks, Ok(&bytes)),
        Err(error) => {
            let _ = exchange(ranks, Err(&error.to_string()));
            Err(error)
        }
    }
}

/// The messages of all ranks; an error on every rank where one gives the text of its error.
fn exchange(
    ranks: &mut (impl Reduce + ?Sized),
    part: Result<&[u8], &str>,
) -> Result<Vec<Vec<u8>>, Error> {
    // The last byte tells what the others are.
    let message = match part {
        Ok(bytes) => [bytes, &[0]].concat(),
        Err(text) => [text.as_bytes(), &[1]].concat(),
    };
    let mut gathered = ranks.gather(&message)?;
    if gathered.len() != ranks.ranks() {
        return Err(broken_message(ranks.ranks(), gathered.len()));
    }
    for (rank, message) in gathered.iter_mut().enumerate() {
        match message.pop() {
            Some(0) => {}
            Some(_) => {
                let error = String::from_utf8_lossy(message).into_owned();
                return Err(Error::Rank { rank, error });
            }
            None => return Err(broken_message(1, 0)),
        }
    }
    Ok(gathered)
}

fn broken_message(expected: usize, got: usize) -> Error {
    Error::Length {
        what: "what the ranks gathered",
        expected,
        got,
        remedy: "run the same build on all ranks, and let Reduce::gather return every rank's bytes",
    }
}

/// A message of numbers being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    pub(crate) fn f32s(&mut self, values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.0.extend(bytes);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A message of numbers being read, in the order in which they were written.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (bytes, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| broken_message(N, self.0.len()))?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// A number of things of `bytes` bytes each that follow.
    pub(crate) fn count(&mut self, bytes: usize) -> Result<usize, Error> {
        let count = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        if count > self.0.len() / bytes {
            return Err(broken_message(count.saturating_mul(bytes), self.0.len()));
        }
        Ok(count)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Error> {
        Ok(f64::from_bits(self.u64()?))
    }

    pub(crate) fn f32s(&mut self, count: usize) -> Result<Vec<f32>, Error> {
        (0..count)
            .map(|_| Ok(f32::from_le_bytes(self.take()?)))
            .collect()
    }
}
