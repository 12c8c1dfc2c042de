//! Every environment variable the library knows, read once, strictly.
//!
//! | variable | values | meaning |
//! |---|---|---|
//! | `MARKETSIM_FAST_OPTIMIZE` | switch | 1: the fast budget, 100 evaluations, instead of production: 500 of DIRECT, no limit of differential evolution |
//! | `MARKETSIM_USE_DIRECT_OPTIMIZER` | switch | 1 (default): DIRECT; 0: differential evolution |
//! | `MARKETSIM_FAST_SIMULATE` | switch | 1: the examples use at most 35 simulations per symbol |
//! | `TRISECT_THREADS` | 1 to 4096 | number of CPU threads; default: all |
//! | `TRISECT_DEVICE` | `auto`, `cpu`, `cuda`, `cuda:N` | where to evaluate; default: `auto`, the first GPU or else the CPU |
//!
//! A switch is `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`, in any case. Anything else,
//! the empty text too, is an error: a typing mistake must not quietly mean the default.

use std::env;
use std::ffi::OsString;

use crate::direct::DirectOptions;
use crate::error::Error;
use crate::evaluate::{Device, EvaluateOptions, Threads};
use crate::evolution::EvolutionOptions;
use crate::optimize::{Method, OptimizeOptions};

/// Simulations per symbol that the examples use at most under `MARKETSIM_FAST_SIMULATE`.
const FAST_SIMULATIONS: usize = 35;

/// What the environment says. `None`: the variable is not set.
///
/// Explicit values in code win: the options made from settings are plain structs, to be changed
/// before use.
///
/// ```
/// use trisect::Settings;
///
/// let settings = Settings::from_env()?;
/// let mut options = settings.optimize_options();
/// options.exit_rule = trisect::ExitChoice::Both;
/// # Ok::<(), trisect::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `MARKETSIM_FAST_OPTIMIZE`.
    pub fast_optimize: Option<bool>,
    /// `MARKETSIM_USE_DIRECT_OPTIMIZER`.
    pub use_direct: Option<bool>,
    /// `MARKETSIM_FAST_SIMULATE`.
    pub fast_simulate: Option<bool>,
    /// `TRISECT_THREADS`.
    pub threads: Option<usize>,
    /// `TRISECT_DEVICE`.
    pub device: Option<Device>,
}

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] with the name of the first variable whose value is not one of
    /// those listed above, or not Unicode.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_lookup(|name| env::var_os(name))
    }

    /// Reads variables from any source: `lookup` gives the value of a name.
    ///
    /// # Errors
    /// As [`Settings::from_env`].
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        Ok(Self {
            fast_optimize: read(&lookup, "MARKETSIM_FAST_OPTIMIZE", SWITCH, switch)?,
            use_direct: read(&lookup, "MARKETSIM_USE_DIRECT_OPTIMIZER", SWITCH, switch)?,
            fast_simulate: read(&lookup, "MARKETSIM_FAST_SIMULATE", SWITCH, switch)?,
            threads: read(&lookup, "TRISECT_THREADS", "between 1 and 4096", threads)?,
            device: read(
                &lookup,
                "TRISECT_DEVICE",
                "auto, cpu, cuda or cuda:N",
                device,
            )?,
        })
    }

    /// Options of a search as the environment wants them.
    pub fn optimize_options(&self) -> OptimizeOptions {
        let direct = self.use_direct.unwrap_or(true);
        let fast = self.fast_optimize.unwrap_or(false);
        let method = match (direct, fast) {
            (true, false) => Method::Direct(DirectOptions::production()),
            (true, true) => Method::Direct(DirectOptions::fast()),
            (false, false) => Method::Evolution(EvolutionOptions::production()),
            (false, true) => Method::Evolution(EvolutionOptions::fast()),
        };
        OptimizeOptions {
            method,
            ..OptimizeOptions::default()
        }
    }

    /// Options of an evaluator as the environment wants them.
    pub fn evaluate_options(&self) -> EvaluateOptions {
        EvaluateOptions {
            threads: self.threads,
            ..EvaluateOptions::default()
        }
    }

    /// The device to evaluate on.
    pub fn device(&self) -> Device {
        self.device.unwrap_or_default()
    }

    /// How many of `simulations` simulations per symbol the examples use.
    pub fn simulations(&self, simulations: usize) -> usize {
        if self.fast_simulate == Some(true) {
            simulations.min(FAST_SIMULATIONS)
        } else {
            simulations
        }
    }
}

const SWITCH: &str = "1, true, yes, on or 0, false, no, off";

fn read<T>(
    lookup: impl Fn(&str) -> Option<OsString>,
    name: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let Some(text) = lookup(name) else {
        return Ok(None);
    };
    match text.to_str().and_then(parse) {
        Some(value) => Ok(Some(value)),
        None => Err(Error::option(name, text.to_string_lossy(), expected)),
    }
}

fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn threads(text: &str) -> Option<usize> {
    let count = text.parse().ok()?;
    (1..=Threads::MAX).contains(&count).then_some(count)
}

fn device(text: &str) -> Option<Device> {
    match text {
        "auto" => Some(Device::Auto),
        "cpu" => Some(Device::Cpu),
        "cuda" => Some(Device::Cuda(0)),
        _ => text.strip_prefix("cuda:")?.parse().ok().map(Device::Cuda),
    }
}
