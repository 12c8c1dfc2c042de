//! The ranks of an MPI job.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::{is_finalized, is_initialized};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

use super::Reduce;
use crate::error::Error;

/// Most elements of one MPI call: counts and offsets are 32-bit there.
const MOST: usize = 1 << 27;

/// The ranks of an MPI job, as `mpirun` or Slurm start them: all those of the world.
///
/// ```no_run
/// use trisect::{
///     Batch, Device, Error, Evaluator, Mpi, OptimizeOptions, Reduce, agree, optimize_ranks, shard,
/// };
/// # fn read(simulations: std::ops::Range<usize>) -> Result<Batch, Error> {
/// #     simulations.fold(Batch::builder(), |batch, _| batch).build()
/// # }
///
/// fn main() -> Result<(), Error> {
///     Mpi::run(|mpi| {
///         // Every rank reads its own simulations.
///         let simulations = shard(100_000, 1, mpi.rank(), mpi.ranks())?;
///         let batch = agree(mpi, read(simulations))?;
///         // The GPU of the rank's place on its machine, or the CPU.
///         let options = Default::default();
///         let evaluator = Evaluator::new(&batch, Device::Cuda(mpi.local_rank()), &options);
///         let evaluator = evaluator.or_else(|_| Evaluator::auto(&batch, &options));
///         let mut evaluator = agree(mpi, evaluator)?;
///         let outcome = optimize_ranks(&mut evaluator, mpi, &OptimizeOptions::default(), ())?;
///         if mpi.rank() == 0 {
///             println!("{:?}", outcome.groups);
///         }
///         Ok(())
///     })
/// }
/// ```
///
/// # Starting
///
/// With Open MPI, four ranks on one machine, or one rank on each machine of a list:
///
/// ```sh
/// mpirun -n 4 target/release/examples/cluster
/// mpirun --hostfile hosts --map-by ppr:1:node --bind-to none target/release/examples/cluster
/// ```
///
/// Under Slurm, one rank per GPU; each sees its own GPU alone, as device 0, and the fallback to
/// [`Evaluator::auto`](crate::Evaluator::auto) above takes it:
///
/// ```sh
/// srun --mpi=pmix --ntasks=16 --gpus-per-task=1 --cpus-per-task=8 target/release/examples/cluster
/// ```
///
/// `srun --mpi=list` tells what Slurm was built with; `pmix` is Open MPI's. Where GPUs are given to
/// a machine and not to a rank (`--gpus-per-node`), each rank sees all of them and takes that of its
/// [`local_rank`](Self::local_rank).
///
/// An evaluator on the CPU takes all cores that its rank is bound to. `mpirun` binds a rank to one
/// core unless it is given `--bind-to none`; `srun` to `--cpus-per-task`.
///
/// # Building
///
/// The feature `mpi` needs an MPI library with its headers, and libclang: on Debian and Ubuntu
/// `apt-get install openmpi-bin libopenmpi-dev libclang-dev`. A binary runs with the MPI library
/// it was built against.
pub struct Mpi {
    world: SimpleCommunicator,
    rank: usize,
    ranks: usize,
    local_rank: usize,
    /// MPI is called from the thread that initialised it.
    not_send: PhantomData<*const ()>,
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpi")
            .field("rank", &self.rank)
            .field("ranks", &self.ranks)
            .field("local_rank", &self.local_rank)
            .finish()
    }
}

impl Mpi {
    /// Initialises MPI, runs `work` on this rank, and ends MPI.
    ///
    /// A rank whose work fails ends the whole job: its error is printed on standard error with the
    /// number of the rank, and `mpirun` ends with an exit status other than 0; this function then
    /// does not return. A panic does the same. So no rank waits for one that is gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when MPI is initialised already, or was before: a process can do so
    /// once. Where another part of the program does it, use [`Mpi::world`].
    pub fn run<T, E: Display + From<Error>>(
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let already = || Error::Unavailable {
            what: "a start of MPI",
            why: "this process has initialised MPI before".to_owned(),
            remedy: "call Mpi::run once, or take the ranks from Mpi::world",
        };
        let started = mpi::initialize_with_threading(Threading::Funneled);
        let (universe, _) = started.ok_or_else(already)?;
        let mut mpi = Self::world()?;
        match catch_unwind(AssertUnwindSafe(|| work(&mut mpi))) {
            Ok(Ok(value)) => {
                drop(universe);
                Ok(value)
            }
            Ok(Err(error)) => {
                let line = format!("rank {} of {}: {error}\n", mpi.rank, mpi.ranks);
                // In one piece, since several ranks may print.
                #[allow(
                    clippy::print_stderr,
                    reason = "the job ends here: nobody is left to tell"
                )]
                {
                    eprint!("{line}");
                }
                mpi.world.abort(1)
            }
            Err(panic) if mpi.ranks == 1 => {
                // Nobody waits.
                drop(universe);
                resume_unwind(panic)
            }
            // The panic was printed when it began.
            Err(_) => mpi.world.abort(1),
        }
    }

    /// The ranks of an MPI job that this thread has initialised. Collective: every rank calls it.
    ///
    /// For programs that use MPI themselves; others use [`Mpi::run`]. Such a program ends the job
    /// itself (`MPI_Abort`) when one of its ranks fails outside of this library.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when MPI is not initialised, or is ended.
    pub fn world() -> Result<Self, Error> {
        check_running()?;
        let world = SimpleCommunicator::world();
        // Ranks that can share memory are on one machine.
        let local_rank = world.split_shared(world.rank()).rank();
        Ok(Self {
            rank: usize::try_from(world.rank()).unwrap_or(0),
            ranks: usize::try_from(world.size()).unwrap_or(1),
            local_rank: usize::try_from(local_rank).unwrap_or(0),
            world,
            not_send: PhantomData,
        })
    }

    /// Number of this rank among those on its machine: the index of its GPU, where every rank of a
    /// machine sees all its GPUs.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }
}

fn check_running() -> Result<(), Error> {
    let why = match (is_initialized(), is_finalized()) {
        (true, false) => return Ok(()),
        (false, _) => "MPI is not initialised",
        (true, true) => "MPI is ended",
    };
    Err(Error::Unavailable {
        what: "the ranks of an MPI job",
        why: why.to_owned(),
        remedy: "do the work inside Mpi::run, or initialise MPI first",
    })
}

impl Reduce for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn sum(&mut self, values: &mut [i64]) -> Result<(), Error> {
        check_running()?;
        let mut sums = vec![0; values.len().min(MOST)];
        for values in values.chunks_mut(MOST) {
            let sums = &mut sums[..values.len()];
            self.world
                .all_reduce_into(&*values, sums, SystemOperation::sum());
            values.copy_from_slice(sums);
        }
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        check_running()?;
        let mut lengths = vec![0_u64; self.ranks];
        self.world
            .all_gather_into(&(bytes.len() as u64), &mut lengths[..]);
        let mut gathered = vec![Vec::new(); self.ranks];
        let longest = lengths.iter().max().copied().unwrap_or(0) as usize;
        // In pieces, so that all of a piece together can be counted.
        let piece = (MOST / self.ranks).max(1);
        for start in (0..longest).step_by(piece) {
            let cut =
                |length: usize| -> Range<usize> { start.min(length)..(start + piece).min(length) };
            let counts = lengths.iter().map(|&length| cut(length as usize).len());
            let counts: Vec<i32> = counts.map(|count| count as i32).collect();
            let offsets = counts.iter().scan(0, |end, count| {
                let start = *end;
                *end += count;
                Some(start)
            });
            let offsets: Vec<i32> = offsets.collect();
            let total: i32 = counts.iter().sum();
            let mut received = vec![0_u8; total as usize];
            let mut parts = PartitionMut::new(&mut received[..], &counts[..], &offsets[..]);
            self.world
                .all_gather_varcount_into(&bytes[cut(bytes.len())], &mut parts);
            let mut rest = received.as_slice();
            for (all, &count) in gathered.iter_mut().zip(&counts) {
                let (part, tail) = rest.split_at(count as usize);
                all.extend_from_slice(part);
                rest = tail;
            }
        }
        Ok(gathered)
    }
}
