//! Rows become the prices of symbols: the checks of every bar and of their sequence.

use std::collections::HashMap;
use std::mem;

use super::{
    BarAt, Cell, DataError, Fault, MaxGap, OnDoubt, OnFault, Place, Policy, Repairs, Row, shorten,
    show_time,
};
use crate::batch::Weights;
use crate::prices::{ForecastUnit, GivenForecasts, Prices};

/// Open, high, low, close.
pub(super) const PRICES: [&str; 4] = ["open", "high", "low", "close"];

/// One bar on its way. Forecasts and volume that are not there are NaN.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawBar {
    pub time: i64,
    /// As in [`PRICES`].
    pub prices: [f64; 4],
    pub volume: f64,
    /// `high_pred`, `low_pred`, position or buy weight, sell weight.
    pub forecasts: [f64; 4],
}

/// Which optional columns the bars have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extras {
    pub volume: bool,
    pub forecasts: Option<ForecastColumns>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ForecastColumns {
    pub unit: ForecastUnit,
    pub weights: WeightColumns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WeightColumns {
    Position,
    Buy,
    BuySell,
}

/// The bars of symbols while they are read, with the row of each.
pub(super) struct Collector<'a> {
    source: String,
    /// What the numbers of rows count.
    row: fn(u64) -> Row,
    policy: &'a Policy,
    extras: Extras,
    /// Names of open, high, low and close where they come from.
    names: [String; 4],
    symbols: Vec<Rows>,
    index_of: HashMap<String, usize>,
    /// The symbol of the last row; rows of a symbol most often come together.
    last: usize,
    pub repairs: Repairs,
}

struct Rows {
    prices: Prices,
    rows: Vec<u64>,
}

impl<'a> Collector<'a> {
    pub fn new(
        source: &str,
        row: fn(u64) -> Row,
        policy: &'a Policy,
        extras: Extras,
        names: [String; 4],
    ) -> Self {
        Self {
            source: source.to_owned(),
            row,
            policy,
            extras,
            names,
            symbols: Vec::new(),
            index_of: HashMap::new(),
            last: 0,
            repairs: Repairs::default(),
        }
    }

    pub fn place(&self, row: u64) -> Place {
        Place {
            source: self.source.clone(),
            row: (self.row)(row),
        }
    }

    /// What to do about a row that cannot be understood: an error, or the row is left out.
    pub fn bad_value(&mut self, row: u64, error: DataError) -> Result<(), DataError> {
        self.refuse_or_drop(Fault::BadValue, self.policy.bad_value, row, || error)
    }

    fn refuse_or_drop(
        &mut self,
        fault: Fault,
        policy: OnFault,
        row: u64,
        error: impl FnOnce() -> DataError,
    ) -> Result<(), DataError> {
        match policy {
            OnFault::Refuse => Err(error()),
            OnFault::Repair => {
                self.note(fault, true, row);
                Ok(())
            }
        }
    }

    /// The symbol of the last row that was pushed.
    pub fn last_symbol(&self) -> Option<&str> {
        let rows = self.symbols.get(self.last)?;
        Some(&rows.prices.symbol)
    }

    /// Takes a bar, or says what is wrong with it.
    pub fn push(&mut self, symbol: &str, row: u64, mut bar: RawBar) -> Result<(), DataError> {
        if !self.check(row, &mut bar)? {
            return Ok(());
        }
        if self.last_symbol() != Some(symbol) {
            self.last = self.find(symbol);
        }
        let extras = self.extras;
        let Rows { prices, rows } = &mut self.symbols[self.last];
        prices.times.push(bar.time);
        let [open, high, low, close] = bar.prices;
        prices.open.push(open);
        prices.high.push(high);
        prices.low.push(low);
        prices.close.push(close);
        if let Some(volume) = &mut prices.volume {
            volume.push(bar.volume);
        }
        if extras.forecasts.is_some()
            && let Some(given) = &mut prices.forecasts
        {
            let [high_pred, low_pred, first, second] = bar.forecasts;
            given.high_pred.push(high_pred);
            given.low_pred.push(low_pred);
            match &mut given.weights {
                Weights::EntryExit(positions) => positions.push(first),
                Weights::AlwaysOn { buy, sell } => {
                    buy.push(first);
                    if let Some(sell) = sell {
                        sell.push(second);
                    }
                }
            }
        }
        rows.push(row);
        Ok(())
    }

    fn find(&mut self, symbol: &str) -> usize {
        if let Some(&index) = self.index_of.get(symbol) {
            return index;
        }
        let forecasts = self.extras.forecasts.map(|columns| GivenForecasts {
            unit: columns.unit,
            high_pred: Vec::new(),
            low_pred: Vec::new(),
            weights: match columns.weights {
                WeightColumns::Position => Weights::EntryExit(Vec::new()),
                WeightColumns::Buy => Weights::AlwaysOn {
                    buy: Vec::new(),
                    sell: None,
                },
                WeightColumns::BuySell => Weights::AlwaysOn {
                    buy: Vec::new(),
                    sell: Some(Vec::new()),
                },
            },
        });
        self.symbols.push(Rows {
            prices: Prices {
                symbol: symbol.to_owned(),
                volume: self.extras.volume.then(Vec::new),
                forecasts,
                ..Prices::default()
            },
            rows: Vec::new(),
        });
        self.index_of
            .insert(symbol.to_owned(), self.symbols.len() - 1);
        self.symbols.len() - 1
    }

    /// Whether the bar is kept; it may be widened.
    fn check(&mut self, row: u64, bar: &mut RawBar) -> Result<bool, DataError> {
        let [open, high, low, close] = bar.prices;
        // One test for nearly all bars.
        let sound = low > 0.0 && high < f64::INFINITY;
        if sound && low <= open && open <= high && low <= close && close <= high {
            return Ok(true);
        }
        let policy = self.policy;
        let find = |wrong: fn(f64) -> bool| bar.prices.iter().position(|&price| wrong(price));
        if let Some(index) = find(|price| !price.is_finite()) {
            let at = self.cell(row, bar, index);
            self.bad_value(row, DataError::BadNumber { at })?;
            return Ok(false);
        }
        if let Some(index) = find(|price| price <= 0.0) {
            let at = self.cell(row, bar, index);
            let error = || DataError::NotPositive { at };
            self.refuse_or_drop(Fault::NotPositive, policy.not_positive, row, error)?;
            return Ok(false);
        }
        if high < low {
            let at = self.cell(row, bar, 1);
            let error = || DataError::HighBelowLow { at, low };
            self.refuse_or_drop(Fault::HighBelowLow, policy.high_below_low, row, error)?;
            return Ok(false);
        }
        let index = if low <= open && open <= high { 3 } else { 0 };
        match policy.outside_range {
            OnDoubt::Refuse => {
                let at = self.cell(row, bar, index);
                return Err(DataError::OutsideRange { at, low, high });
            }
            OnDoubt::Repair => {
                bar.prices[1] = high.max(open).max(close);
                bar.prices[2] = low.min(open).min(close);
            }
            OnDoubt::Report => {}
        }
        let repaired = policy.outside_range == OnDoubt::Repair;
        self.note(Fault::OutsideRange, repaired, row);
        Ok(true)
    }

    fn cell(&self, row: u64, bar: &RawBar, index: usize) -> Box<Cell> {
        Box::new(Cell {
            place: self.place(row),
            column: self.names[index].clone(),
            value: bar.prices[index].to_string(),
        })
    }

    /// The prices of all symbols so far, in the order of their first rows, checked. Goes on empty.
    pub fn finish(&mut self) -> Result<Vec<Prices>, DataError> {
        self.index_of.clear();
        self.last = 0;
        let mut all = Vec::with_capacity(self.symbols.len());
        for rows in mem::take(&mut self.symbols) {
            let prices = self.finish_symbol(rows)?;
            if !prices.is_empty() {
                all.push(prices);
            }
        }
        Ok(all)
    }

    fn finish_symbol(&mut self, mut symbol: Rows) -> Result<Prices, DataError> {
        self.sort(&mut symbol)?;
        self.drop_duplicates(&mut symbol)?;
        let after_gap = self.gaps(&symbol)?;
        let after_split = self.splits(&symbol)?;
        let first = after_gap.max(after_split);
        if first > 0 {
            symbol.keep(first..symbol.rows.len());
        }
        Ok(symbol.prices)
    }

    fn sort(&mut self, symbol: &mut Rows) -> Result<(), DataError> {
        let times = &symbol.prices.times;
        let descents = (1..times.len()).filter(|&bar| times[bar] < times[bar - 1]);
        let mut unsorted = false;
        for bar in descents {
            unsorted = true;
            if self.policy.unsorted == OnFault::Refuse {
                return Err(DataError::Unsorted {
                    at: self.bar_at(symbol, bar),
                    previous: show_time(times[bar - 1]),
                });
            }
            self.note(Fault::Unsorted, true, symbol.rows[bar]);
        }
        if unsorted {
            let mut order: Vec<usize> = (0..times.len()).collect();
            // Stable: of two rows of the same time the first stays first.
            order.sort_by_key(|&bar| times[bar]);
            symbol.keep(order);
        }
        Ok(())
    }

    fn bar_at(&self, symbol: &Rows, bar: usize) -> Box<BarAt> {
        Box::new(BarAt {
            place: self.place(symbol.rows[bar]),
            symbol: shorten(&symbol.prices.symbol),
            time: show_time(symbol.prices.times[bar]),
        })
    }

    fn note(&mut self, fault: Fault, repaired: bool, row: u64) {
        let (source, kind) = (&self.source, self.row);
        self.repairs.note(fault, repaired, || Place {
            source: source.clone(),
            row: kind(row),
        });
    }

    fn drop_duplicates(&mut self, symbol: &mut Rows) -> Result<(), DataError> {
        let times = &symbol.prices.times;
        if times.windows(2).all(|pair| pair[0] < pair[1]) {
            return Ok(());
        }
        let mut kept: Vec<usize> = Vec::with_capacity(times.len());
        for bar in 0..times.len() {
            match kept.last() {
                Some(&first) if times[first] == times[bar] => {
                    if self.policy.duplicate == OnFault::Refuse {
                        return Err(DataError::Duplicate {
                            at: self.bar_at(symbol, bar),
                            first: (self.row)(symbol.rows[first]),
                        });
                    }
                    self.note(Fault::Duplicate, true, symbol.rows[bar]);
                }
                _ => kept.push(bar),
            }
        }
        symbol.keep(kept);
        Ok(())
    }

    /// The first bar to keep.
    fn gaps(&mut self, symbol: &Rows) -> Result<usize, DataError> {
        let times = &symbol.prices.times;
        let steps = || times.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
        let limit = match self.policy.max_gap {
            None => return Ok(0),
            Some(MaxGap::Days(days)) => days * 86_400.0,
            Some(MaxGap::Intervals(count)) => {
                let mut steps: Vec<u64> = steps().collect();
                let middle = steps.len() / 2;
                if steps.is_empty() {
                    return Ok(0);
                }
                let (_, &mut median, _) = steps.select_nth_unstable(middle);
                median as f64 * count
            }
        };
        let found = steps().enumerate().filter(|&(_, step)| step as f64 > limit);
        let mut first = 0;
        for (before, step) in found {
            let bar = before + 1;
            match self.policy.gap {
                OnDoubt::Refuse => {
                    return Err(DataError::Gap {
                        at: self.bar_at(symbol, bar),
                        previous: show_time(times[before]),
                        gap_seconds: step,
                        limit_seconds: limit as u64,
                    });
                }
                OnDoubt::Repair => first = bar,
                OnDoubt::Report => {}
            }
            let repaired = self.policy.gap == OnDoubt::Repair;
            self.note(Fault::Gap, repaired, symbol.rows[bar]);
        }
        Ok(first)
    }

    /// The first bar to keep.
    fn splits(&mut self, symbol: &Rows) -> Result<usize, DataError> {
        let Some(limit) = self.policy.max_ratio else {
            return Ok(0);
        };
        let close = &symbol.prices.close;
        let mut first = 0;
        for bar in 1..close.len() {
            let (from, to) = (close[bar - 1], close[bar]);
            if to <= from * limit && from <= to * limit {
                continue;
            }
            match self.policy.split {
                OnDoubt::Refuse => {
                    return Err(DataError::Split {
                        at: self.bar_at(symbol, bar),
                        from,
                        to,
                        limit,
                    });
                }
                OnDoubt::Repair => first = bar,
                OnDoubt::Report => {}
            }
            let repaired = self.policy.split == OnDoubt::Repair;
            self.note(Fault::Split, repaired, symbol.rows[bar]);
        }
        Ok(first)
    }
}

impl Rows {
    /// Keeps these bars, in this order.
    fn keep(&mut self, bars: impl IntoIterator<Item = usize> + Clone) {
        fn keep<T: Copy>(column: &mut Vec<T>, bars: impl IntoIterator<Item = usize>) {
            *column = bars.into_iter().map(|bar| column[bar]).collect();
        }
        keep(&mut self.rows, bars.clone());
        let prices = &mut self.prices;
        keep(&mut prices.times, bars.clone());
        let mut columns = vec![
            &mut prices.open,
            &mut prices.high,
            &mut prices.low,
            &mut prices.close,
        ];
        columns.extend(&mut prices.volume);
        if let Some(given) = &mut prices.forecasts {
            columns.extend([&mut given.high_pred, &mut given.low_pred]);
            match &mut given.weights {
                Weights::EntryExit(positions) => columns.push(positions),
                Weights::AlwaysOn { buy, sell } => {
                    columns.push(buy);
                    columns.extend(sell);
                }
            }
        }
        for column in columns {
            keep(column, bars.clone());
        }
    }
}

impl Prices {
    /// Checks the prices and repairs them as the policy says.
    ///
    /// Bars are counted as they were given.
    ///
    /// # Errors
    /// The first fault that the policy refuses, columns of different lengths, a policy that makes
    /// no sense, or [`DataError::NoRows`] when no bar is left.
    pub fn check(self, policy: &Policy) -> Result<(Self, Repairs), DataError> {
        policy.check()?;
        self.check_lengths()?;
        let extras = Extras {
            volume: self.volume.is_some(),
            forecasts: self.forecasts.as_ref().map(|given| ForecastColumns {
                unit: given.unit,
                weights: match &given.weights {
                    Weights::EntryExit(_) => WeightColumns::Position,
                    Weights::AlwaysOn { sell: None, .. } => WeightColumns::Buy,
                    Weights::AlwaysOn { .. } => WeightColumns::BuySell,
                },
            }),
        };
        let names = PRICES.map(str::to_owned);
        let mut collector = Collector::new(&self.symbol, Row::Bar, policy, extras, names);
        for bar in 0..self.len() {
            let raw = RawBar {
                time: self.times[bar],
                prices: [
                    self.open[bar],
                    self.high[bar],
                    self.low[bar],
                    self.close[bar],
                ],
                volume: self.volume.as_ref().map_or(f64::NAN, |volume| volume[bar]),
                forecasts: self.forecasts.as_ref().map_or([f64::NAN; 4], |given| {
                    let (first, second) = match &given.weights {
                        Weights::EntryExit(positions) => (positions[bar], f64::NAN),
                        Weights::AlwaysOn { buy, sell } => {
                            let sell = sell.as_ref().map_or(f64::NAN, |sell| sell[bar]);
                            (buy[bar], sell)
                        }
                    };
                    [given.high_pred[bar], given.low_pred[bar], first, second]
                }),
            };
            collector.push(&self.symbol, bar as u64, raw)?;
        }
        match collector.finish()?.pop() {
            Some(prices) => Ok((prices, collector.repairs)),
            None => Err(DataError::NoRows { file: self.symbol }),
        }
    }
}
