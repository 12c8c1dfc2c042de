//! A search written down (feature `serde`).
//!
//! A snapshot is what the search was given: box, options, and the values told so far. Reading
//! one tells them again, which costs what the bookkeeping costs (well below a microsecond per
//! evaluation) and leaves no way to an inconsistent state: a snapshot either leads to a search
//! or is refused. Floats are written as their bits, because not every format returns each f64
//! as it was (JSON has no NaN, and serde_json rounds unless told otherwise).

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Bounds, Direct, DirectOptions, Division, Selection, SizeMeasure, StopReason, Target};

/// Of the format and of the rules that lead from values to points.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u32,
    /// Bits of (low, high) per axis.
    bounds: Vec<(u64, u64)>,
    selection: Selection,
    size_measure: SizeMeasure,
    division: Division,
    eps: u64,
    max_evaluations: usize,
    max_iterations: Option<usize>,
    volume_tolerance: u64,
    side_tolerance: u64,
    /// Bits of (value, relative tolerance).
    target: Option<(u64, u64)>,
    /// Bits of the values told, in order.
    values: Vec<u64>,
    stop: Option<StopReason>,
}

impl Serialize for Bounds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.intervals())
    }
}

impl<'de> Deserialize<'de> for Bounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let intervals = Vec::<(f64, f64)>::deserialize(deserializer)?;
        Self::new(&intervals).map_err(D::Error::custom)
    }
}

impl Serialize for Direct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = &self.options;
        Snapshot {
            version: VERSION,
            bounds: self
                .bounds
                .intervals()
                .map(|(low, high)| (low.to_bits(), high.to_bits()))
                .collect(),
            selection: options.selection,
            size_measure: options.size_measure,
            division: options.division,
            eps: options.eps.to_bits(),
            max_evaluations: options.max_evaluations,
            max_iterations: options.max_iterations,
            volume_tolerance: options.volume_tolerance.to_bits(),
            side_tolerance: options.side_tolerance.to_bits(),
            target: options
                .target
                .map(|t| (t.value.to_bits(), t.relative_tolerance.to_bits())),
            values: (0..self.evaluations() as u32)
                .map(|rect| self.classes.value(rect).to_bits())
                .collect(),
            stop: self.stop,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Direct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Snapshot::deserialize(deserializer)?
            .restore()
            .map_err(D::Error::custom)
    }
}

impl Snapshot {
    fn restore(self) -> Result<Direct, String> {
        if self.version != VERSION {
            return Err(format!(
                "snapshot of version {}, this library reads version {VERSION}",
                self.version
            ));
        }
        let pair = |&(a, b): &(u64, u64)| (f64::from_bits(a), f64::from_bits(b));
        let intervals: Vec<_> = self.bounds.iter().map(pair).collect();
        let options = DirectOptions {
            selection: self.selection,
            size_measure: self.size_measure,
            division: self.division,
            eps: f64::from_bits(self.eps),
            max_evaluations: self.max_evaluations,
            max_iterations: self.max_iterations,
            volume_tolerance: f64::from_bits(self.volume_tolerance),
            side_tolerance: f64::from_bits(self.side_tolerance),
            target: self
                .target
                .as_ref()
                .map(pair)
                .map(|(value, tolerance)| Target {
                    value,
                    relative_tolerance: tolerance,
                }),
        };
        let bounds = Bounds::new(&intervals).map_err(|error| error.to_string())?;
        let mut search = Direct::new(bounds, options).map_err(|error| error.to_string())?;
        let values: Vec<f64> = self
            .values
            .iter()
            .map(|&bits| f64::from_bits(bits))
            .collect();
        let mut rest = &values[..];
        while !rest.is_empty() {
            let asked = search.ask().len() / search.dim();
            let Some((round, later)) = rest.split_at_checked(asked).filter(|_| asked > 0) else {
                return Err(format!(
                    "the snapshot's {} values do not end with a round: {} are left for {asked} points",
                    values.len(),
                    rest.len()
                ));
            };
            search.tell(round).map_err(|error| error.to_string())?;
            rest = later;
        }
        match (self.stop, search.stop()) {
            (Some(reason), None) => search.stop_now(reason),
            (wanted, stopped) if wanted != stopped => {
                return Err(format!(
                    "the snapshot ended with {wanted:?}, its values lead to {stopped:?}"
                ));
            }
            _ => {}
        }
        Ok(search)
    }
}
