//! Which strategy to take, from sizes and devices alone.

use std::time::Duration;

use crate::error::Error;

use super::Strategy;

/// What is to be tuned, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Simulations of the batch.
    pub simulations: usize,
    /// Bars of all simulations together.
    pub bars: usize,
    /// Groups: as many as simulations when each has its own multipliers.
    pub groups: usize,
    /// CPU threads that may be used.
    pub threads: usize,
    /// NVIDIA GPUs that are present.
    pub gpus: usize,
}

/// How good the multipliers must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// The exact optimum, with proof.
    Exact,
    /// At least this share of the attainable improvement over the whole batch, 0 to 1.
    AtLeast(f64),
    /// Whatever the least time gives.
    Fastest,
}

/// A strategy, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// What to run. With fewer groups than simulations give
    /// [`StrategyOptions::sharing`](super::StrategyOptions::sharing), too.
    pub strategy: Strategy,
    /// What it is expected to take, the start of threads or of a GPU included.
    pub time: Duration,
    /// The reason, a sentence.
    pub because: String,
}

// Measured in nanoseconds on one core of an AMD EPYC with AVX2 at 2.45 GHz, with the example
// `strategies` at 50 to 20,000 bars per simulation: they meet the least times of several runs within a
// third, and exact optima of 20,000 bars within twice. At 200,000 bars DIRECT takes up to twice as long.

/// Per bar and candidate of DIRECT.
const SCORE: f64 = 0.19;

/// Bookkeeping of DIRECT per evaluation and search.
const STEP: f64 = 120.0;

/// Per bar: baselines and results, reported as exact sums.
const REPORT: f64 = 25.0;

/// Exact optimum, per bar and per group.
const EXACT: f64 = 150.0;
const EXACT_GROUP: f64 = 7000.0;

/// Start of a set of threads.
const START_THREADS: f64 = 2e5;

// Not measured.

/// A CUDA context and its kernels, in nanoseconds: usual for the driver, an assumption.
const START_GPU: f64 = 5e8;

/// Instructions of a GPU's lanes per nanosecond: 132 multiprocessors of 128 lanes at 1.98 GHz, of
/// which an eighth is assumed to be reached.
const GPU_RATE: f64 = 132.0 * 128.0 * 1.98 / 8.0;

/// Instructions per bar and candidate, counted in the machine code.
const GPU_SCORE: f64 = 8.4;

/// Instructions of DIRECT's bookkeeping per evaluation: 86,000 of a warp's per 500, counted in the
/// machine code.
const GPU_STEP: f64 = 86_000.0 * 32.0 / 500.0;

/// Instructions per pair of gates of the exact sweep, an estimate.
const GPU_PAIR: f64 = 4.0;

/// A group's most legs for an exact optimum on a GPU; always-on bars have two.
const GPU_EXACT_BARS: f64 = 2047.0 / 2.0;

/// What is considered, of equals the first. Processes are never the fastest: they are threads that
/// must be started and sent their simulations. Differential evolution and the grid find less than
/// DIRECT in the same time, on most inputs.
const CONSIDERED: [Strategy; 10] = [
    Strategy::Exact,
    Strategy::ExactThreads,
    Strategy::ExactGpu,
    Strategy::Baseline,
    Strategy::Threads,
    Strategy::GpuPerSimulation,
    Strategy::GpuChunks,
    Strategy::GpuAll,
    Strategy::Fast,
    Strategy::ThreadsFast,
];

impl Strategy {
    /// The strategy that is expected to take the least time of those that reach the wanted quality.
    ///
    /// The times of the CPU were measured on one machine, which others resemble in their ratios; the
    /// times of GPUs are derived from counted instructions, not measured. What a strategy
    /// promises is its [`Strategy::promised_quality`].
    ///
    /// # Errors
    /// A count of 0, fewer bars than simulations, more groups than simulations, or a wanted quality
    /// outside 0 to 1.
    ///
    /// ```
    /// use trisect::{Strategy, Wanted, Workload};
    ///
    /// let workload = Workload { simulations: 1000, bars: 200_000, groups: 1000, threads: 8, gpus: 0 };
    /// let choice = Strategy::recommend(&workload, Wanted::AtLeast(0.95))?;
    /// assert_eq!(choice.strategy, Strategy::ExactThreads);
    /// println!("{}", choice.because);
    /// # Ok::<(), trisect::Error>(())
    /// ```
    pub fn recommend(workload: &Workload, wanted: Wanted) -> Result<Recommendation, Error> {
        workload.check()?;
        let least = match wanted {
            Wanted::Exact => 1.0,
            Wanted::AtLeast(quality) => quality,
            Wanted::Fastest => 0.0,
        };
        if !(0.0..=1.0).contains(&least) {
            return Err(Error::option("Wanted::AtLeast", least, "a share, 0 to 1"));
        }
        let candidates = CONSIDERED
            .into_iter()
            .filter(|strategy| strategy.promised_quality() >= least && workload.allows(*strategy))
            .map(|strategy| (strategy, workload.nanoseconds(strategy)));
        // Of equals the first wins.
        let best = candidates.reduce(|best, next| if next.1 < best.1 { next } else { best });
        // One thread and the exact method are always allowed.
        let (strategy, nanoseconds) = best.unwrap_or((Strategy::Exact, 0.0));
        let time = Duration::from_secs_f64(nanoseconds * 1e-9);
        Ok(Recommendation {
            strategy,
            time,
            because: workload.because(strategy, time, wanted),
        })
    }
}

impl Workload {
    fn check(&self) -> Result<(), Error> {
        let refused = |name, value: usize, expected| Err(Error::option(name, value, expected));
        if self.simulations == 0 {
            return refused("simulations", 0, "at least 1");
        }
        if self.bars < self.simulations {
            return refused("bars", self.bars, "at least one per simulation");
        }
        if self.groups == 0 || self.groups > self.simulations {
            return refused("groups", self.groups, "1 to the number of simulations");
        }
        if self.threads == 0 {
            return refused("threads", 0, "at least 1");
        }
        Ok(())
    }

    fn allows(&self, strategy: Strategy) -> bool {
        if strategy.needs_gpu() && self.gpus == 0 {
            return false;
        }
        match strategy {
            Strategy::Threads | Strategy::ThreadsFast | Strategy::ExactThreads => self.threads > 1,
            Strategy::GpuPerSimulation => self.groups == self.simulations,
            Strategy::GpuAll => self.groups == 1 && self.simulations > 1,
            Strategy::GpuChunks => self.groups > 1 && self.groups < self.simulations,
            Strategy::ExactGpu => self.bars_per_group() <= GPU_EXACT_BARS,
            _ => true,
        }
    }

    fn bars_per_group(&self) -> f64 {
        self.bars as f64 / self.groups as f64
    }

    /// What a strategy is expected to take.
    fn nanoseconds(&self, strategy: Strategy) -> f64 {
        let (bars, groups) = (self.bars as f64, self.groups as f64);
        let threads = self.threads as f64;
        // A group's bookkeeping, its exact optimum and its report stay on one thread.
        let busy = threads.min(groups);
        let direct = |evaluations: f64| (SCORE * bars * evaluations, STEP * evaluations * groups);
        let alone = |(score, step): (f64, f64)| score + step + REPORT * bars;
        let threaded = |(score, step): (f64, f64)| {
            START_THREADS + score / threads + (step + REPORT * bars) / busy
        };
        let gpu = |instructions: f64| START_GPU + instructions / GPU_RATE + REPORT * bars / busy;
        let exact = (EXACT + REPORT) * bars + EXACT_GROUP * groups;
        match strategy {
            Strategy::Fast => alone(direct(100.0)),
            Strategy::Threads => threaded(direct(500.0)),
            Strategy::ThreadsFast => threaded(direct(100.0)),
            Strategy::Exact => exact,
            Strategy::ExactThreads => START_THREADS + exact / busy,
            Strategy::GpuPerSimulation | Strategy::GpuChunks | Strategy::GpuAll => {
                gpu(500.0 * (GPU_SCORE * bars + GPU_STEP * groups))
            }
            Strategy::ExactGpu => gpu(GPU_PAIR * bars * self.bars_per_group()),
            _ => alone(direct(500.0)),
        }
    }

    fn because(&self, strategy: Strategy, time: Duration, wanted: Wanted) -> String {
        let Self {
            simulations,
            groups,
            threads,
            gpus,
            ..
        } = self;
        let goal = match wanted {
            Wanted::Exact => "that prove the exact optimum".to_owned(),
            Wanted::AtLeast(least) => format!("that promise a quality of {least} or more"),
            Wanted::Fastest => "at any quality".to_owned(),
        };
        let devices = match (gpus, strategy.needs_gpu()) {
            (0, _) => "no GPU is present".to_owned(),
            (_, true) => "the GPU's time is derived, not measured".to_owned(),
            (_, false) => format!("GPUs, {gpus} present, pay from larger batches on"),
        };
        format!(
            "{strategy}, because {simulations} simulations of {:.0} bars in {groups} groups on \
             {threads} threads should take it about {:.3} ms, the least of all ways {goal}, and it \
             promises {}; {devices}",
            self.bars as f64 / *simulations as f64,
            time.as_secs_f64() * 1e3,
            strategy.promised_quality(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Workload = Workload {
        simulations: 1000,
        bars: 200_000,
        groups: 1000,
        threads: 2,
        gpus: 0,
    };

    fn choose(workload: Workload, wanted: Wanted) -> Strategy {
        Strategy::recommend(&workload, wanted).unwrap().strategy
    }

    #[test]
    fn a_high_quality_is_exact_and_a_low_one_is_fast() {
        assert_eq!(choose(USUAL, Wanted::Exact), Strategy::ExactThreads);
        assert_eq!(choose(USUAL, Wanted::AtLeast(0.95)), Strategy::ExactThreads);
        assert_eq!(choose(USUAL, Wanted::Fastest), Strategy::ThreadsFast);
        assert_eq!(choose(USUAL, Wanted::AtLeast(0.5)), Strategy::ThreadsFast);
    }

    #[test]
    fn one_thread_is_enough_for_little_work_or_where_there_is_one() {
        let alone = Workload {
            threads: 1,
            ..USUAL
        };
        assert_eq!(choose(alone, Wanted::Exact), Strategy::Exact);
        assert_eq!(choose(alone, Wanted::Fastest), Strategy::Fast);
        let little = Workload {
            simulations: 2,
            bars: 400,
            groups: 2,
            ..USUAL
        };
        assert_eq!(choose(little, Wanted::Exact), Strategy::Exact);
        // All simulations in one group: its exact optimum is found on one thread.
        let one_group = Workload { groups: 1, ..USUAL };
        assert_eq!(choose(one_group, Wanted::Exact), Strategy::Exact);
    }

    #[test]
    fn a_gpu_is_taken_for_much_work_only_and_never_where_there_is_none() {
        let much = Workload {
            simulations: 1_000_000,
            bars: 200_000_000,
            groups: 1_000_000,
            threads: 4,
            gpus: 1,
        };
        assert_eq!(choose(much, Wanted::Exact), Strategy::ExactGpu);
        for gpus in [0, 1] {
            let choice = choose(Workload { gpus, ..USUAL }, Wanted::Exact);
            assert_eq!(choice, Strategy::ExactThreads);
        }
        for threads in [1, 2, 64] {
            for simulations in [1, 100, 1_000_000] {
                for groups in [1, 1 + simulations / 16, simulations] {
                    let workload = Workload {
                        simulations,
                        bars: 200 * simulations,
                        groups: groups.min(simulations),
                        threads,
                        gpus: 0,
                    };
                    for wanted in [Wanted::Exact, Wanted::AtLeast(0.8), Wanted::Fastest] {
                        assert!(!choose(workload, wanted).needs_gpu());
                    }
                }
            }
        }
    }

    #[test]
    fn a_gpu_strategy_has_the_sharing_of_the_groups() {
        let much = Workload {
            simulations: 10_000_000,
            bars: 2_000_000_000,
            groups: 1,
            threads: 1,
            gpus: 1,
        };
        // Too large a group for the exact optimum on a GPU.
        assert_eq!(choose(much, Wanted::Exact), Strategy::Exact);
        assert_eq!(choose(much, Wanted::Fastest), Strategy::GpuAll);
        let chunks = Workload {
            groups: 625_000,
            ..much
        };
        assert_eq!(choose(chunks, Wanted::Fastest), Strategy::GpuChunks);
    }

    #[test]
    fn the_reason_is_a_sentence_with_the_sizes_and_the_devices() {
        let choice = Strategy::recommend(&USUAL, Wanted::AtLeast(0.95)).unwrap();
        for part in [
            "exact-threads, because 1000 simulations of 200 bars in 1000 groups on 2 threads",
            "a quality of 0.95 or more",
            "promises 1;",
            "no GPU is present",
        ] {
            assert!(choice.because.contains(part), "{}", choice.because);
        }
        let gpus = Workload { gpus: 2, ..USUAL };
        let choice = Strategy::recommend(&gpus, Wanted::Exact).unwrap();
        assert!(choice.because.contains("GPUs, 2 present, pay from larger"));
        assert!(choice.time > Duration::ZERO && choice.time < Duration::from_secs(1));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (workload, expected) in [
            (
                Workload {
                    simulations: 0,
                    ..USUAL
                },
                "simulations = 0",
            ),
            (Workload { bars: 999, ..USUAL }, "bars = 999"),
            (Workload { groups: 0, ..USUAL }, "groups = 0"),
            (
                Workload {
                    groups: 1001,
                    ..USUAL
                },
                "groups = 1001",
            ),
            (
                Workload {
                    threads: 0,
                    ..USUAL
                },
                "threads = 0",
            ),
        ] {
            let error = Strategy::recommend(&workload, Wanted::Exact).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        for quality in [-0.1, 1.1, f64::NAN] {
            let error = Strategy::recommend(&USUAL, Wanted::AtLeast(quality)).unwrap_err();
            assert!(
                error.to_string().starts_with("Wanted::AtLeast = "),
                "{error}"
            );
        }
    }
}
