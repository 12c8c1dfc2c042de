//! Worker processes that run the searches of a batch, without any system library: the program
//! starts itself again, sends each worker the simulations of its groups, and reads the results.
//!
//! The results are those of threads, bit for bit, since a group's search knows nothing of the
//! others; what is reported of them is computed by the program itself.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::direct::{Bounds, Direct, DirectOptions, StopReason};
use crate::error::Error;
use crate::evaluate::{
    Evaluate, EvaluateGroup, EvaluateOptions, Evaluator, SearchTask, Searched, Searches, Threads,
};
use crate::groups::{Candidates, Groups};
use crate::profit::{ExitRule, Multipliers};

use super::wire::{
    GREETING, Request, Terms, read_answer, read_request, write_answer, write_request,
};

/// Marks a process as a worker.
const MARK: &str = "TRISECT_WORKER";

/// Most worker processes that can be asked for.
const MAX_PROCESSES: usize = 1024;

/// How much of what a worker writes to its standard error is kept: the end.
const KEPT_STDERR: usize = 4096;

/// How long a worker that has ended may keep its standard error open, through a child of its own.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is started as a worker process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerProgram {
    /// The program; `None` (the default): the one that is running.
    pub program: Option<PathBuf>,
    /// Its arguments; none by default. A program that calls [`work_if_asked`] before it looks at
    /// them needs none.
    pub arguments: Vec<OsString>,
    /// How long it may take from its start to the call of [`work_if_asked`]; 10 s by default.
    pub start_limit: Duration,
    /// How long it may take over what it is given at once, its share of a run's groups; `None` (the
    /// default): as long as it wants. A worker that takes longer is ended, and the run fails.
    pub work_limit: Option<Duration>,
}

impl Default for WorkerProgram {
    fn default() -> Self {
        Self {
            program: None,
            arguments: Vec::new(),
            start_limit: Duration::from_secs(10),
            work_limit: None,
        }
    }
}

impl WorkerProgram {
    /// The path to start.
    fn path(&self) -> Result<PathBuf, Error> {
        match &self.program {
            Some(program) => Ok(program.clone()),
            None => env::current_exe().map_err(|error| Error::Unavailable {
                what: "the running program as a worker",
                why: error.to_string(),
                remedy: "state the program in WorkerProgram, or use threads: the same bits",
            }),
        }
    }
}

/// Works for the program that started this process as a worker, and ends the process when that
/// program needs it no more; returns at once in any other process.
///
/// A program that runs [`Strategy::Processes`](super::Strategy::Processes) calls this first thing
/// in `main`: its workers are the same program, started again. Until the call a worker does
/// whatever the program does. After an error the process ends with status 1, and says why on its
/// standard error. Workers are marked by the environment variable `TRISECT_WORKER`, which is not to
/// be set by anybody else.
///
/// ```
/// trisect::work_if_asked();
/// // The program itself.
/// ```
#[allow(
    clippy::exit,
    clippy::print_stderr,
    reason = "a worker is a process of its own, whose words the caller's process reads"
)]
pub fn work_if_asked() {
    if env::var_os(MARK).is_none() {
        return;
    }
    let status = match serve(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("{why}");
            1
        }
    };
    std::process::exit(status);
}

/// Answers requests until there are no more.
fn serve(input: &mut impl Read, output: &mut impl Write) -> Result<(), String> {
    let lost = |error: io::Error| format!("the answer cannot be written: {error}");
    output.write_all(GREETING).map_err(lost)?;
    output.flush().map_err(lost)?;
    let mut input = BufReader::new(input);
    let mut output = BufWriter::new(output);
    while let Some(request) = read_request(&mut input)? {
        let (held, searched) = answer(&request).map_err(|error| error.to_string())?;
        write_answer(&mut output, held, &searched).map_err(lost)?;
    }
    Ok(())
}

/// Runs the searches of a request on this thread: bytes held, and a search per exit rule and group.
fn answer(request: &Request) -> Result<(usize, Vec<Searched>), Error> {
    let Request {
        terms,
        batch,
        groups,
    } = request;
    let evaluate = EvaluateOptions {
        fee: terms.fee,
        threads: Some(1),
        ..EvaluateOptions::default()
    };
    let evaluator = Evaluator::cpu(batch, &evaluate)?;
    let scorer = evaluator.per_group().ok_or_else(|| Error::Unavailable {
        what: "scoring of single groups",
        why: "the evaluator has none".to_owned(),
        remedy: "use threads: the same bits",
    })?;
    let options = DirectOptions {
        max_evaluations: terms.max_evaluations,
        ..DirectOptions::production()
    };
    let mut direct = Direct::new(Bounds::new(&terms.bounds)?, options)?;
    let (mut pairs, mut values) = (Vec::new(), Vec::new());
    let mut searched = Vec::with_capacity(terms.exit_rules.len() * groups.len());
    for &exit_rule in &terms.exit_rules {
        for group in 0..groups.len() {
            let mut rounds = 0;
            direct.restart();
            while direct.stop().is_none() {
                pairs.clear();
                let points = direct.ask().chunks_exact(2);
                pairs.extend(points.map(|x| Multipliers::new(x[0] as f32, x[1] as f32)));
                values.resize(pairs.len(), 0.0);
                scorer.group_means(groups, group, &pairs, exit_rule, &mut values)?;
                values
                    .iter_mut()
                    .for_each(|value: &mut f64| *value = -*value);
                direct.tell(&values)?;
                rounds += 1;
            }
            let best = direct.best();
            searched.push(Searched {
                point: best.and_then(|best| best.x.try_into().ok()),
                value: best.map_or(f64::INFINITY, |best| best.value),
                evaluations: direct.evaluations() as u64,
                iterations: direct.iterations() as u64,
                rounds,
                stop: direct.stop().unwrap_or(StopReason::Cancelled),
            });
        }
    }
    Ok((batch.bytes() + evaluator.bytes(), searched))
}

/// A worker and the pipes to it.
#[derive(Debug)]
struct Worker {
    index: usize,
    program: PathBuf,
    work_limit: Option<Duration>,
    /// Whoever waits for an answer may end it.
    child: Arc<Mutex<Child>>,
    input: BufWriter<ChildStdin>,
    /// `None` until it has greeted.
    output: Option<BufReader<ChildStdout>>,
    greeting: Receiver<io::Result<BufReader<ChildStdout>>>,
    stderr: Stderr,
}

impl Worker {
    fn start(index: usize, program: PathBuf, worker: &WorkerProgram) -> Result<Self, Error> {
        let refused = |error: &dyn Display| Error::Unavailable {
            what: "a worker process",
            why: format!("{}: {error}", program.display()),
            remedy: "state a program that can be started, or use threads: the same bits",
        };
        let mut child = Command::new(&program)
            .args(&worker.arguments)
            .env(MARK, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| refused(&error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(stderr)) = pipes else {
            return Err(refused(&"it has no pipes"));
        };
        let (send, greeting) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let greeted = skip_to_greeting(&mut output).map(|()| output);
            // Nobody listens any more where the worker was given up.
            let _ = send.send(greeted);
        });
        Ok(Self {
            index,
            program,
            work_limit: worker.work_limit,
            child: Arc::new(Mutex::new(child)),
            input: BufWriter::new(input),
            output: None,
            greeting,
            stderr: Stderr::of(stderr),
        })
    }

    /// Waits until it has called [`work_if_asked`].
    fn await_greeting(&mut self, until: Instant) -> Result<(), Error> {
        let left = until.saturating_duration_since(Instant::now());
        match self.greeting.recv_timeout(left) {
            Ok(Ok(output)) => {
                self.output = Some(output);
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => Err(self.given_up("it did not call in time")),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    /// Sends it groups and waits for their searches.
    fn search(
        &mut self,
        terms: &Terms,
        batch: &Batch,
        groups: &Groups,
        range: Range<usize>,
    ) -> Result<(usize, Vec<Searched>), Error> {
        let searches = terms.exit_rules.len() * range.len();
        let (limit, child) = (self.work_limit, Arc::clone(&self.child));
        let (done, doing) = mpsc::channel::<()>();
        let (answered, late) = thread::scope(|scope| {
            // Closes the pipes of a worker that is late, and so ends the wait for it.
            let watch = limit.map(|limit| {
                scope.spawn(move || {
                    let late = doing.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                    if late {
                        let _ = lock(&child).kill();
                    }
                    late
                })
            });
            let sent = write_request(&mut self.input, terms, batch, groups, range);
            let answered = match (&mut self.output, sent) {
                (Some(output), Ok(())) => read_answer(output, searches),
                (None, _) => Err(io::ErrorKind::NotConnected.into()),
                (_, Err(error)) => Err(error),
            };
            drop(done);
            let late = watch.is_some_and(|watch| watch.join().unwrap_or(false));
            (answered, late)
        });
        answered.map_err(|error| match error.kind() {
            _ if late => self.given_up("it did not answer in time"),
            io::ErrorKind::InvalidData => self.given_up(&error.to_string()),
            _ => self.ended(),
        })
    }

    /// The error of a worker whose pipes are closed.
    fn ended(&mut self) -> Error {
        // It may have closed its pipes and live on.
        let until = Instant::now() + LAST_WORDS;
        let status = loop {
            let status = lock(&self.child).try_wait();
            match status {
                Ok(Some(status)) => break status.to_string(),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
                Ok(None) => return self.given_up("it closed its pipes"),
                Err(error) => break error.to_string(),
            }
        };
        self.failed(status)
    }

    /// Ends the worker, and the error that says so.
    fn given_up(&mut self, why: &str) -> Error {
        self.end();
        self.failed(format!("{why}, so it was ended"))
    }

    fn failed(&mut self, status: String) -> Error {
        let stderr = self.stderr.text();
        Error::Worker {
            worker: self.index,
            program: self.program.display().to_string(),
            status,
            stderr: match stderr.trim() {
                "" => "it said nothing on its standard error".to_owned(),
                text => text.to_owned(),
            },
        }
    }

    fn end(&mut self) {
        // Both fail only where it has ended already.
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It holds nothing that would be lost, and might be busy where another one has failed.
        self.end();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads on until the greeting has been read.
fn skip_to_greeting(output: &mut impl Read) -> io::Result<()> {
    let mut matched = 0;
    let mut byte = [0];
    while matched < GREETING.len() {
        output.read_exact(&mut byte)?;
        // No part of the greeting but its first byte begins as it does: the last byte is another.
        matched = match byte[0] == GREETING[matched] {
            true => matched + 1,
            false => usize::from(byte[0] == GREETING[0]),
        };
    }
    Ok(())
}

/// The end of a worker's standard error, read all the time so that the worker never waits.
#[derive(Debug)]
struct Stderr {
    kept: Arc<Mutex<Vec<u8>>>,
    closed: Receiver<()>,
}

impl Stderr {
    fn of(mut pipe: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (send, closed) = mpsc::channel();
        let keep = Arc::clone(&kept);
        thread::spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(count @ 1..) = pipe.read(&mut piece) {
                let mut kept = lock(&keep);
                kept.extend_from_slice(&piece[..count]);
                let surplus = kept.len().saturating_sub(KEPT_STDERR);
                kept.drain(..surplus);
            }
            let _ = send.send(());
        });
        Self { kept, closed }
    }

    /// What is kept, once the pipe is closed or has been given time to.
    fn text(&self) -> String {
        let _ = self.closed.recv_timeout(LAST_WORDS);
        let kept = lock(&self.kept);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

/// An evaluator whose DIRECT searches run in worker processes.
///
/// What is not a whole DIRECT search with the production rules runs on threads here.
#[derive(Debug)]
pub(super) struct Processes<'a> {
    local: Evaluator<'a>,
    workers: Vec<Worker>,
    /// Bytes each worker held after its last request.
    held: Vec<usize>,
    /// What a worker failed with: its answers and requests may be out of step from then on.
    failed: Option<Error>,
}

impl<'a> Processes<'a> {
    /// Starts as many workers as the options ask for threads, all of which have called
    /// [`work_if_asked`] when this returns.
    pub(super) fn new(
        batch: &'a Batch,
        worker: &WorkerProgram,
        options: &EvaluateOptions,
    ) -> Result<Self, Error> {
        let count = options
            .threads
            .unwrap_or_else(|| Threads::default().count());
        if count == 0 || count > MAX_PROCESSES {
            return Err(Error::option("processes", count, "between 1 and 1024"));
        }
        if env::var_os(MARK).is_some() {
            return Err(Error::Unavailable {
                what: "a worker process",
                why: format!("this process is itself a worker: {MARK} is set"),
                remedy: "call work_if_asked() first thing in main",
            });
        }
        let local = Evaluator::cpu(batch, options)?;
        let until = Instant::now() + worker.start_limit;
        let program = worker.path()?;
        let start = |index| Worker::start(index, program.clone(), worker);
        let count = count.min(batch.len());
        let mut workers = (0..count).map(start).collect::<Result<Vec<_>, _>>()?;
        for worker in &mut workers {
            worker.await_greeting(until)?;
        }
        Ok(Self {
            local,
            held: vec![0; workers.len()],
            workers,
            failed: None,
        })
    }

    /// What it runs on, in words.
    pub(super) fn device(&self) -> String {
        format!("CPU, processes: {}", self.workers.len())
    }

    /// Memory held beyond the batch, in bytes, here and by the workers.
    pub(super) fn bytes(&self) -> usize {
        self.local.bytes() + self.held.iter().sum::<usize>()
    }
}

/// Consecutive groups for each of so many workers, with about as many bars each; none is empty.
fn shards(batch: &Batch, groups: &Groups, workers: usize) -> Vec<Range<usize>> {
    let bars = |&s: &u32| batch.simulation(s as usize).map_or(0, |s| s.bars());
    let of_group = |group| groups.members(group).iter().map(bars).sum::<usize>();
    let total: usize = batch.bars();
    let mut shards = Vec::with_capacity(workers);
    let (mut start, mut before) = (0, 0);
    for group in 0..groups.len() {
        before += of_group(group);
        // Shard k ends where its share of the bars is reached, or only as many groups as further
        // shards are left.
        let share = total as u128 * (shards.len() as u128 + 1) / workers as u128;
        let last = shards.len() + 1 == workers;
        let left = groups.len() - group - 1;
        let needed = left < workers - shards.len();
        if group + 1 == groups.len() || !last && (before as u128 >= share || needed) {
            shards.push(start..group + 1);
            start = group + 1;
        }
    }
    shards
}

impl Searches for Processes<'_> {
    fn search(&mut self, task: &SearchTask<'_>) -> Result<Option<Vec<Searched>>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let options = DirectOptions {
            max_evaluations: task.options.max_evaluations,
            ..DirectOptions::production()
        };
        let mut bounds = task.bounds.intervals();
        let (Some(high), Some(low)) = (bounds.next(), bounds.next()) else {
            return Ok(None);
        };
        if *task.options != options {
            return Ok(None);
        }
        let terms = Terms {
            fee: self.local.fee(),
            max_evaluations: options.max_evaluations,
            exit_rules: task.exit_rules.to_vec(),
            bounds: [high, low],
        };
        let (batch, groups) = (self.local.batch(), task.groups);
        let shards = shards(batch, groups, self.workers.len());
        let terms = &terms;
        let answers: Vec<Result<_, Error>> = thread::scope(|scope| {
            let asked = self.workers.iter_mut().zip(&shards).map(|(worker, shard)| {
                scope.spawn(move || worker.search(terms, batch, groups, shard.clone()))
            });
            let asked: Vec<_> = asked.collect();
            let join = |handle: thread::ScopedJoinHandle<'_, _>| {
                handle.join().unwrap_or_else(|_| {
                    let lost = "the thread that spoke to a worker panicked";
                    Err(Error::Objective(lost.to_owned()))
                })
            };
            asked.into_iter().map(join).collect()
        });
        let mut of_shards = Vec::with_capacity(shards.len());
        for (held, answer) in self.held.iter_mut().zip(answers) {
            let (bytes, searched) = answer.inspect_err(|e| self.failed = Some(e.clone()))?;
            *held = bytes;
            of_shards.push(searched);
        }
        // Each shard's searches are rule by rule, and so are those of all together.
        let of_rule = |rule: usize| {
            of_shards
                .iter()
                .zip(&shards)
                .flat_map(move |(found, shard)| {
                    let groups = shard.len();
                    found[rule * groups..(rule + 1) * groups].iter().copied()
                })
        };
        let searched = (0..task.exit_rules.len()).flat_map(of_rule).collect();
        Ok(Some(searched))
    }
}

impl Evaluate for Processes<'_> {
    fn batch(&self) -> &Batch {
        self.local.batch()
    }

    fn fee(&self) -> f64 {
        self.local.fee()
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        self.local.means(groups, candidates, exit_rule, means)
    }

    fn threads(&self) -> Threads {
        self.local.threads()
    }

    fn per_group(&self) -> Option<&dyn EvaluateGroup> {
        self.local.per_group()
    }

    fn searches(&mut self) -> Option<&mut dyn Searches> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Fields, Weights};
    use crate::groups::Sharing;

    /// Simulations of these numbers of bars, a group each.
    fn alone(lengths: &[usize]) -> (Batch, Groups) {
        let bars = lengths.iter().sum();
        let column = |value: f32| vec![value; bars];
        let fields = Fields {
            close: &column(0.0)[..],
            high: &column(0.01),
            low: &column(-0.01),
            high_pred: &column(0.01),
            low_pred: &column(-0.01),
            weights: Weights::EntryExit(&column(1.0)),
        };
        let batch = Batch::from_slices(lengths, fields).unwrap();
        let groups = Groups::new(&Sharing::PerSimulation, lengths.len()).unwrap();
        (batch, groups)
    }

    #[test]
    fn shards_are_all_groups_in_order_and_balanced_by_bars() {
        let equal = [5; 12];
        for workers in 1..=12 {
            let (batch, groups) = alone(&equal);
            let shards = shards(&batch, &groups, workers);
            assert_eq!(shards.len(), workers);
            let sizes = || shards.iter().map(Range::len);
            assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
        }
        for (lengths, workers, expected) in [
            (&[100, 1, 1, 1][..], 2, vec![0..1, 1..4]),
            (&[1, 1, 1, 100], 2, vec![0..3, 3..4]),
            (&[1, 1, 1, 100], 3, vec![0..2, 2..3, 3..4]),
            (&[100, 1, 1], 3, vec![0..1, 1..2, 2..3]),
            // More workers than groups: the rest have nothing to do.
            (&[7, 7], 5, vec![0..1, 1..2]),
        ] {
            let (batch, groups) = alone(lengths);
            assert_eq!(shards(&batch, &groups, workers), expected, "{lengths:?}");
        }
    }

    #[test]
    fn what_is_said_before_the_greeting_is_skipped() {
        for before in [
            "",
            "running 1 test\n",
            "\n\ntrisect\n",
            "\ntrisect worker \n",
        ] {
            let mut text = before.as_bytes().to_vec();
            text.extend_from_slice(GREETING);
            text.push(7);
            let mut output = &text[..];
            skip_to_greeting(&mut output).unwrap();
            assert_eq!(output, [7]);
        }
        assert!(skip_to_greeting(&mut &b"hello\n"[..]).is_err());
    }
}
