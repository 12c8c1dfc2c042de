//! The input: simulations of any lengths, checked once and stored as structure of arrays.
//!
//! This is the only file that knows `ndarray` and `half`.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use half::{bf16, f16};
use ndarray::ArrayView2;

use crate::error::Error;
use crate::profit::{Bar, ExitRule, Multipliers, profit};

/// Largest magnitude of any value of a bar, and of a multiplier: a move of a hundred million
/// percent. Whatever lies beyond is a raw price or a broken feed.
pub(crate) const MAX_MOVE: f64 = 1e6;

/// Most bars a batch can hold. Legs are indexed by u32, and a bar has up to two of them.
pub const MAX_BARS: usize = i32::MAX as usize;

/// A value per bar of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Field {
    Close,
    High,
    Low,
    HighPred,
    LowPred,
    Position,
    Buy,
    Sell,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Close => "close",
            Self::High => "high",
            Self::Low => "low",
            Self::HighPred => "high_pred",
            Self::LowPred => "low_pred",
            Self::Position => "position",
            Self::Buy => "buy",
            Self::Sell => "sell",
        })
    }
}

/// A number type that a batch can be made from. It is stored as f32.
///
/// f16 and bf16 are widened without loss. f64 is rounded once, to nearest: a relative error of at
/// most 6e-8, and at most 2 units in the last place between a level and the bar it is compared
/// with. Gates are decided on the stored f32 values.
pub trait Element: Copy + sealed::Sealed {
    /// The value, exactly.
    fn to_f64(self) -> f64;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! element {
    ($($kind:ty),*) => {$(
        impl sealed::Sealed for $kind {}
        impl Element for $kind {
            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
        }
    )*};
}

element!(f32, f64, f16, bf16);

/// The columns of one or more simulations, in any container: slices or arrays of one shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fields<C> {
    /// Where each bar closed, as a fractional move against its reference price.
    pub close: C,
    /// The highest level each bar touched.
    pub high: C,
    /// The lowest level each bar touched, above -1.
    pub low: C,
    /// The forecast of `high`.
    pub high_pred: C,
    /// The forecast of `low`.
    pub low_pred: C,
    /// What is traded.
    pub weights: Weights<C>,
}

/// What is traded per bar. A value above 0 is a long position, below 0 a short one, 0 none;
/// magnitudes beyond 10 count as 10.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weights<C> {
    /// One position per bar.
    EntryExit(C),
    /// Two positions per bar that share the multipliers, each paying its fee; usually `buy >= 0`
    /// and `sell <= 0`. Crypto: buy only.
    AlwaysOn {
        /// The first position per bar.
        buy: C,
        /// The second position per bar, if any.
        sell: Option<C>,
    },
}

impl<C> Weights<C> {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::EntryExit(_) => "entry-exit",
            Self::AlwaysOn { sell: Some(_), .. } => "always-on",
            Self::AlwaysOn { sell: None, .. } => "always-on buy-only",
        }
    }

    fn map<D>(self, mut f: impl FnMut(C) -> D) -> Weights<D> {
        match self {
            Self::EntryExit(position) => Weights::EntryExit(f(position)),
            Self::AlwaysOn { buy, sell } => Weights::AlwaysOn {
                buy: f(buy),
                sell: sell.map(f),
            },
        }
    }
}

impl<C> Fields<C> {
    fn map<D>(self, mut f: impl FnMut(C) -> D) -> Fields<D> {
        Fields {
            close: f(self.close),
            high: f(self.high),
            low: f(self.low),
            high_pred: f(self.high_pred),
            low_pred: f(self.low_pred),
            weights: self.weights.map(f),
        }
    }

    /// The columns with their names, `close` first.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (Field, &C)> {
        let (first, second) = match &self.weights {
            Weights::EntryExit(position) => ((Field::Position, position), None),
            Weights::AlwaysOn { buy, sell } => (
                (Field::Buy, buy),
                sell.as_ref().map(|sell| (Field::Sell, sell)),
            ),
        };
        [
            (Field::Close, &self.close),
            (Field::High, &self.high),
            (Field::Low, &self.low),
            (Field::HighPred, &self.high_pred),
            (Field::LowPred, &self.low_pred),
            first,
        ]
        .into_iter()
        .chain(second)
    }

    fn columns_mut(&mut self) -> impl Iterator<Item = &mut C> {
        let (first, second) = match &mut self.weights {
            Weights::EntryExit(position) => (position, None),
            Weights::AlwaysOn { buy, sell } => (buy, sell.as_mut()),
        };
        [
            &mut self.close,
            &mut self.high,
            &mut self.low,
            &mut self.high_pred,
            &mut self.low_pred,
            first,
        ]
        .into_iter()
        .chain(second)
    }
}

/// One backtest window: every slice holds one value per bar.
pub type Simulation<'a, T = f32> = Fields<&'a [T]>;

impl<'a> Simulation<'a> {
    /// Number of bars.
    pub fn bars(&self) -> usize {
        self.close.len()
    }

    /// Bar `t`, if there is one.
    pub fn bar(&self, t: usize) -> Option<Bar> {
        Some(Bar {
            close: *self.close.get(t)?,
            high: *self.high.get(t)?,
            low: *self.low.get(t)?,
            high_pred: *self.high_pred.get(t)?,
            low_pred: *self.low_pred.get(t)?,
        })
    }

    /// Every bar with its position; with two weights per bar, all bars with the first weight and
    /// then all with the second. Legs are numbered in this order.
    pub fn positions(&self) -> impl Iterator<Item = (Bar, f32)> {
        let (first, second) = match self.weights {
            Weights::EntryExit(position) => (position, None),
            Weights::AlwaysOn { buy, sell } => (buy, sell),
        };
        let second = second.unwrap_or_default();
        self.with_bars(first).chain(self.with_bars(second))
    }

    fn with_bars(&self, weights: &'a [f32]) -> impl Iterator<Item = (Bar, f32)> {
        let weights = weights.iter().enumerate();
        weights.filter_map(|(t, &weight)| Some((self.bar(t)?, weight)))
    }

    /// Profit under a pair of multipliers: f64 with f32 gates, the sum over bars of
    /// [`profit`](fn@crate::profit).
    ///
    /// ```
    /// use trisect::{Batch, Fields, Multipliers, ExitRule, Weights};
    ///
    /// let batch = Batch::from_slices(&[2], Fields {
    ///     close: &[0.01, -0.01][..],
    ///     high: &[0.03, 0.01],
    ///     low: &[-0.02, -0.03],
    ///     high_pred: &[0.02, 0.02],
    ///     low_pred: &[-0.01, -0.02],
    ///     weights: Weights::EntryExit(&[1.0, 1.0]),
    /// })?;
    /// let simulation = batch.simulation(0).unwrap();
    /// let profit = simulation.profit(Multipliers::BASELINE, 0.0, ExitRule::Intraday);
    /// // First bar: bought at -1 %, sold at +2 %. Second bar: bought at -2 %, closed at -1 %.
    /// assert!((profit - 0.04).abs() < 1e-7);
    /// # Ok::<(), trisect::Error>(())
    /// ```
    pub fn profit(&self, multipliers: Multipliers, fee: f64, exit_rule: ExitRule) -> f64 {
        self.positions()
            .map(|(bar, position)| profit(&bar, position, multipliers, fee, exit_rule))
            .sum()
    }
}

/// A bar whose close lies outside `[low, high]` by more than rounding.
///
/// Real feeds have such bars (closing auctions, late corrections), so it is a warning. The
/// profit takes the close as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CloseOutside {
    /// Index of the simulation.
    pub simulation: usize,
    /// Index of the bar within the simulation.
    pub bar: usize,
    /// Close, as stored.
    pub close: f32,
    /// Low, as stored.
    pub low: f32,
    /// High, as stored.
    pub high: f32,
}

impl fmt::Display for CloseOutside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "simulation {}, bar {}: close = {} lies outside [{}, {}]",
            self.simulation, self.bar, self.close, self.low, self.high
        )
    }
}

/// S simulations of any lengths, checked, stored once as structure of arrays in f32.
///
/// Memory: 24 bytes per bar and 8 per simulation; always-on with a sell weight 28 per bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Bars of simulation `s` are `offsets[s]..offsets[s + 1]`; S + 1 entries, first 0.
    offsets: Vec<usize>,
    /// Columns of equal length `offsets[S]`.
    columns: Fields<Vec<f32>>,
    /// How many bars close outside their range, and the first few of them.
    close_outside: usize,
    first_close_outside: Vec<CloseOutside>,
}

/// How many warnings a batch keeps in full.
const KEPT_WARNINGS: usize = 16;

impl Batch {
    /// A builder that takes one simulation at a time.
    pub fn builder() -> BatchBuilder {
        BatchBuilder::default()
    }

    /// A batch of consecutive simulations of the given lengths, from flat columns.
    ///
    /// `lengths`: `[S]` bars per simulation; every column: `[sum of lengths]`.
    ///
    /// # Errors
    /// Anything [`BatchBuilder`] refuses.
    pub fn from_slices<T: Element>(
        lengths: &[usize],
        columns: Fields<&[T]>,
    ) -> Result<Self, Error> {
        let mut builder = Self::builder();
        builder.push_slices(lengths, columns)?;
        builder.build()
    }

    /// A batch of simulations of one length, from `(S, T)` arrays with any strides.
    ///
    /// # Errors
    /// Anything [`BatchBuilder`] refuses.
    ///
    /// ```
    /// use ndarray::array;
    /// use trisect::{Batch, Fields, Weights};
    ///
    /// let close = array![[0.01, 0.0], [0.02, 0.01]];
    /// let (high, low) = (&close + 0.01, &close - 0.01);
    /// let position = array![[1.0, -1.0], [0.5, 0.0]];
    /// let batch = Batch::from_arrays(Fields {
    ///     close: close.view(),
    ///     high: high.view(),
    ///     low: low.view(),
    ///     high_pred: high.view(),
    ///     low_pred: low.view(),
    ///     weights: Weights::EntryExit(position.view()),
    /// })?;
    /// assert_eq!((batch.len(), batch.bars()), (2, 4));
    /// # Ok::<(), trisect::Error>(())
    /// ```
    pub fn from_arrays<T: Element>(columns: Fields<ArrayView2<'_, T>>) -> Result<Self, Error> {
        let mut builder = Self::builder();
        builder.push_arrays(columns)?;
        builder.build()
    }

    /// Number of simulations, at least 1.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Never true: a batch has at least one simulation.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of bars of all simulations together.
    pub fn bars(&self) -> usize {
        self.columns.close.len()
    }

    /// Simulation `s`, if there is one.
    pub fn simulation(&self, s: usize) -> Option<Simulation<'_>> {
        let range = *self.offsets.get(s)?..*self.offsets.get(s.checked_add(1)?)?;
        Some(self.slice(range))
    }

    /// All simulations in order.
    pub fn simulations(&self) -> impl ExactSizeIterator<Item = Simulation<'_>> {
        self.offsets
            .windows(2)
            .map(|pair| self.slice(pair[0]..pair[1]))
    }

    /// How many bars close outside `[low, high]`, and the first few of them.
    pub fn close_outside(&self) -> (usize, &[CloseOutside]) {
        (self.close_outside, &self.first_close_outside)
    }

    /// Heap memory held, in bytes.
    pub fn bytes(&self) -> usize {
        let columns: usize = self
            .columns
            .columns()
            .map(|(_, column)| column.capacity() * size_of::<f32>())
            .sum();
        columns
            + self.offsets.capacity() * size_of::<usize>()
            + self.first_close_outside.capacity() * size_of::<CloseOutside>()
    }

    fn slice(&self, range: Range<usize>) -> Simulation<'_> {
        let columns = &self.columns;
        let cut = |column| -> &[f32] {
            let column: &Vec<f32> = column;
            &column[range.clone()]
        };
        Fields {
            close: cut(&columns.close),
            high: cut(&columns.high),
            low: cut(&columns.low),
            high_pred: cut(&columns.high_pred),
            low_pred: cut(&columns.low_pred),
            weights: match &columns.weights {
                Weights::EntryExit(position) => Weights::EntryExit(cut(position)),
                Weights::AlwaysOn { buy, sell } => Weights::AlwaysOn {
                    buy: cut(buy),
                    sell: sell.as_ref().map(cut),
                },
            },
        }
    }
}

/// Collects simulations into a [`Batch`]. Every `push` checks everything before it stores
/// anything, so a refused simulation leaves the builder as it was.
///
/// ```
/// use trisect::{Batch, Error, Fields, Weights};
///
/// let mut builder = Batch::builder();
/// let bad = Fields {
///     close: &[0.01_f32, f32::NAN][..],
///     high: &[0.02, 0.02],
///     low: &[-0.01, -0.01],
///     high_pred: &[0.02, 0.02],
///     low_pred: &[-0.01, -0.01],
///     weights: Weights::EntryExit(&[1.0, 1.0]),
/// };
/// let error = builder.push(bad).unwrap_err();
/// assert!(error.to_string().starts_with("simulation 0, bar 1: close = NaN"));
/// assert_eq!(builder.build().unwrap_err(), Error::EmptyBatch);
/// ```
#[derive(Debug, Clone, Default)]
pub struct BatchBuilder {
    batch: Option<Batch>,
    refuse_close_outside: bool,
}

impl BatchBuilder {
    /// Makes a close outside `[low, high]` an error from here on, not a warning.
    pub fn refuse_close_outside(&mut self) -> &mut Self {
        self.refuse_close_outside = true;
        self
    }

    /// Adds one simulation.
    ///
    /// # Errors
    /// Columns of different lengths; no bar; NaN, an infinity or a magnitude beyond 1e6 in any
    /// field; `low > high`; `low <= -1`; another kind of weights than the first simulation;
    /// more than [`MAX_BARS`] bars; and a close outside `[low, high]` by more than rounding after
    /// [`refuse_close_outside`](Self::refuse_close_outside).
    pub fn push<T: Element>(&mut self, simulation: Fields<&[T]>) -> Result<&mut Self, Error> {
        let index = self.next_simulation();
        let bars = simulation.close.len();
        for (field, column) in simulation.columns() {
            if column.len() != bars {
                return Err(Error::LengthMismatch {
                    simulation: index,
                    field,
                    expected: bars,
                    got: column.len(),
                });
            }
        }
        self.append(&[bars], &simulation)
    }

    /// Adds consecutive simulations of the given lengths from flat columns.
    ///
    /// # Errors
    /// As [`push`](Self::push); and columns whose length is not the sum of `lengths`.
    pub fn push_slices<T: Element>(
        &mut self,
        lengths: &[usize],
        columns: Fields<&[T]>,
    ) -> Result<&mut Self, Error> {
        let total = self.check_size(lengths)?;
        for (field, column) in columns.columns() {
            if column.len() != total {
                return Err(Error::ShapeMismatch {
                    field,
                    expected: vec![total],
                    got: vec![column.len()],
                });
            }
        }
        self.append(lengths, &columns)
    }

    /// Adds the rows of `(S, T)` arrays, any strides.
    ///
    /// # Errors
    /// As [`push`](Self::push); and arrays of different shapes.
    pub fn push_arrays<T: Element>(
        &mut self,
        arrays: Fields<ArrayView2<'_, T>>,
    ) -> Result<&mut Self, Error> {
        let (simulations, bars) = arrays.close.dim();
        for (field, array) in arrays.columns() {
            if array.dim() != (simulations, bars) {
                return Err(Error::ShapeMismatch {
                    field,
                    expected: vec![simulations, bars],
                    got: array.shape().to_vec(),
                });
            }
        }
        if simulations > 0 && bars == 0 {
            return Err(Error::EmptySimulation {
                simulation: self.next_simulation(),
            });
        }
        let lengths = vec![bars; simulations];
        self.check_size(&lengths)?;
        // A view in standard layout is read in place; any other is copied once, row by row.
        let rows = arrays.map(|array| match array.to_slice() {
            Some(slice) => Cow::Borrowed(slice),
            None => Cow::Owned(array.iter().copied().collect()),
        });
        self.append(&lengths, &borrow(&rows))
    }

    /// The batch.
    ///
    /// # Errors
    /// [`Error::EmptyBatch`] when nothing was added.
    pub fn build(self) -> Result<Batch, Error> {
        let mut batch = self.batch.ok_or(Error::EmptyBatch)?;
        batch.offsets.shrink_to_fit();
        batch.columns.columns_mut().for_each(Vec::shrink_to_fit);
        Ok(batch)
    }

    /// Adds one simulation that passed [`check_simulation`], as consecutive parts of the same kind
    /// of weights as what is there; none is empty. `total`: bars of the whole batch, at most
    /// [`MAX_BARS`].
    pub(crate) fn push_checked<'a>(
        &mut self,
        parts: impl Iterator<Item = Simulation<'a>>,
        total: usize,
    ) {
        let mut bars = 0;
        for part in parts {
            bars += part.bars();
            let batch = self.batch.get_or_insert_with(|| Batch {
                offsets: vec![0],
                columns: part.map(|_| Vec::with_capacity(total)),
                close_outside: 0,
                first_close_outside: Vec::new(),
            });
            for (stored, (_, column)) in batch.columns.columns_mut().zip(part.columns()) {
                stored.extend_from_slice(column);
            }
        }
        if bars > 0
            && let Some(batch) = &mut self.batch
        {
            batch.offsets.push(batch.columns.close.len());
        }
    }

    fn next_simulation(&self) -> usize {
        self.batch.as_ref().map_or(0, Batch::len)
    }

    /// Sum of the lengths, if the batch can hold them all.
    fn check_size(&self, lengths: &[usize]) -> Result<usize, Error> {
        let held = self.batch.as_ref().map_or(0, Batch::bars);
        let total = lengths
            .iter()
            .try_fold(0_usize, |sum, &length| sum.checked_add(length))
            .unwrap_or(usize::MAX);
        let bars = held.saturating_add(total);
        if bars > MAX_BARS {
            return Err(Error::BatchTooLarge {
                bars,
                limit: MAX_BARS,
            });
        }
        Ok(total)
    }

    /// Checks the simulations, then stores them. All columns have `sum of lengths` values.
    fn append<T: Element>(
        &mut self,
        lengths: &[usize],
        columns: &Fields<&[T]>,
    ) -> Result<&mut Self, Error> {
        self.check_size(lengths)?;
        let first = self.next_simulation();
        if let Some(batch) = &self.batch {
            let (expected, got) = (batch.columns.weights.kind(), columns.weights.kind());
            if expected != got {
                return Err(Error::MixedWeights {
                    simulation: first,
                    expected,
                    got,
                });
            }
        }
        let mut warnings = (0, Vec::new());
        let mut start = 0;
        for (index, &bars) in lengths.iter().enumerate() {
            let rows = start..start + bars;
            self.check(first + index, rows.clone(), columns, &mut warnings)?;
            start = rows.end;
        }
        if lengths.is_empty() {
            return Ok(self);
        }

        let batch = self.batch.get_or_insert_with(|| Batch {
            offsets: vec![0],
            columns: columns.map(|_| Vec::new()),
            close_outside: 0,
            first_close_outside: Vec::new(),
        });
        for (stored, (_, column)) in batch.columns.columns_mut().zip(columns.columns()) {
            stored.reserve(column.len());
            stored.extend(column.iter().map(|value| value.to_f64() as f32));
        }
        let mut end = batch.bars() - start;
        batch.offsets.reserve(lengths.len());
        for bars in lengths {
            end += bars;
            batch.offsets.push(end);
        }
        batch.close_outside += warnings.0;
        let room = KEPT_WARNINGS - batch.first_close_outside.len();
        batch
            .first_close_outside
            .extend(warnings.1.into_iter().take(room));
        Ok(self)
    }

    /// Checks the bars `rows` of the columns, which are simulation `simulation`.
    fn check<T: Element>(
        &self,
        simulation: usize,
        rows: Range<usize>,
        columns: &Fields<&[T]>,
        warnings: &mut (usize, Vec<CloseOutside>),
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Err(Error::EmptySimulation { simulation });
        }
        for (field, column) in columns.columns() {
            for (bar, value) in column[rows.clone()].iter().enumerate() {
                check_value(simulation, bar, field, value.to_f64())?;
            }
        }
        for (bar, row) in rows.enumerate() {
            let [close, high, low] = [columns.close[row], columns.high[row], columns.low[row]]
                .map(|value| value.to_f64() as f32);
            if low > high {
                return Err(Error::LowAboveHigh {
                    simulation,
                    bar,
                    low,
                    high,
                });
            }
            if low <= -1.0 {
                return Err(Error::LowAtMinusOne {
                    simulation,
                    bar,
                    low,
                });
            }
            // Moves are quotients of prices, rounded to f32: good to a few ulps of 1 + close.
            let rounding = 4.0 * f32::EPSILON * (1.0 + close.abs());
            if close > high + rounding || close < low - rounding {
                let outside = CloseOutside {
                    simulation,
                    bar,
                    close,
                    low,
                    high,
                };
                if self.refuse_close_outside {
                    return Err(Error::CloseOutside(outside));
                }
                warnings.0 += 1;
                if warnings.1.len() < KEPT_WARNINGS {
                    warnings.1.push(outside);
                }
            }
        }
        Ok(())
    }
}

/// Refuses what a batch would refuse of its simulation `index`; a close outside `[low, high]` is
/// accepted.
pub(crate) fn check_simulation(index: usize, simulation: &Simulation<'_>) -> Result<(), Error> {
    let bars = 0..simulation.bars();
    BatchBuilder::default().check(index, bars, simulation, &mut (0, Vec::new()))
}

fn check_value(simulation: usize, bar: usize, field: Field, value: f64) -> Result<(), Error> {
    if !value.is_finite() {
        return Err(Error::NotFinite {
            simulation,
            bar,
            field,
            value,
        });
    }
    if value.abs() > MAX_MOVE {
        return Err(Error::OutOfRange {
            simulation,
            bar,
            field,
            value,
            limit: MAX_MOVE,
        });
    }
    Ok(())
}

fn borrow<'a, T: Clone>(columns: &'a Fields<Cow<'_, [T]>>) -> Fields<&'a [T]> {
    Fields {
        close: &columns.close,
        high: &columns.high,
        low: &columns.low,
        high_pred: &columns.high_pred,
        low_pred: &columns.low_pred,
        weights: match &columns.weights {
            Weights::EntryExit(position) => Weights::EntryExit(position),
            Weights::AlwaysOn { buy, sell } => Weights::AlwaysOn {
                buy,
                sell: sell.as_deref(),
            },
        },
    }
}
