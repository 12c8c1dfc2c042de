//! Simulations as a device stores them: counted, cut into runs and chunks, and packed.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};
use rayon::prelude::*;

use super::super::{Storage, fixed_point};
use super::device::Pinned;
use super::shape::TINY_LEGS;
use crate::batch::{Batch, Field, Simulation};
use crate::error::Error;
use crate::profit::{Bar, ExitRule, Leg, MAX_HIGH, Side};

/// One simulation on the device, as the kernel reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Span {
    /// First leg, within the chunk.
    pub(super) first: u32,
    pub(super) longs: u32,
    pub(super) shorts: u32,
    /// Index within the device's run of simulations.
    pub(super) simulation: u32,
    /// 1 when some `high >= 10`: the upper clamp of the high level matters.
    pub(super) capped: u32,
}

impl Span {
    pub(super) fn legs(&self) -> usize {
        self.longs as usize + self.shorts as usize
    }

    pub(super) fn is_tiny(&self) -> bool {
        self.longs.max(self.shorts) <= TINY_LEGS
    }
}

#[derive(Debug)]
pub(super) struct HostLegs {
    pub(super) records: Pinned<u8>,
    pub(super) terms: Pinned<u8>,
    pub(super) legs: usize,
}

impl Storage {
    /// Bytes of a leg in `records` and in `terms`.
    pub(super) fn widths(self) -> [usize; 2] {
        match self {
            Self::F32 => [16, 8],
            Self::F16 | Self::Bf16 => [12, 0],
        }
    }

    /// The value as it is stored.
    fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::Bf16 => bf16::from_f32(value).to_f32(),
        }
    }

    fn bits(self, value: f32) -> u16 {
        match self {
            // Never asked for.
            Self::F32 => 0,
            Self::F16 => f16::from_f32(value).to_bits(),
            Self::Bf16 => bf16::from_f32(value).to_bits(),
        }
    }

    /// The bar and its position as they are stored: a position counts up to ±10.
    fn stored(self, (bar, position): (Bar, f32)) -> (Bar, f32) {
        if self == Self::F32 {
            return (bar, position);
        }
        let bar = Bar {
            close: self.round(bar.close),
            high: self.round(bar.high),
            low: self.round(bar.low),
            high_pred: self.round(bar.high_pred),
            low_pred: self.round(bar.low_pred),
        };
        (bar, self.round(position.clamp(-10.0, 10.0)))
    }

    /// What the kernels for it are called.
    pub(super) fn kernel(self, exit_rule: ExitRule) -> &'static str {
        match (exit_rule, self) {
            (ExitRule::Intraday, Self::F32) => "evaluate_intraday_f32",
            (ExitRule::Intraday, Self::F16) => "evaluate_intraday_f16",
            (ExitRule::Intraday, Self::Bf16) => "evaluate_intraday_bf16",
            (ExitRule::AtClose, Self::F32) => "evaluate_close_f32",
            (ExitRule::AtClose, Self::F16) => "evaluate_close_f16",
            (ExitRule::AtClose, Self::Bf16) => "evaluate_close_bf16",
        }
    }

    /// Refuses what rounds to a value that no bar can have.
    pub(super) fn check(self, batch: &Batch) -> Result<(), Error> {
        if self == Self::F32 {
            return Ok(());
        }
        for (simulation, fields) in batch.simulations().enumerate() {
            // The weights come behind the five fields of the bar, and count up to ±10 only.
            for (field, column) in fields.columns().take(5) {
                for (bar, &value) in column.iter().enumerate() {
                    let stored = self.round(value);
                    if !stored.is_finite() {
                        return Err(Error::OutOfRange {
                            simulation,
                            bar,
                            field,
                            value: f64::from(value),
                            limit: f64::from(f16::MAX),
                        });
                    }
                    if field == Field::Low && stored <= -1.0 {
                        return Err(Error::LowAtMinusOne {
                            simulation,
                            bar,
                            low: stored,
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

/// Each simulation's legs, counted, and the bound on its profit.
pub(super) fn derive_spans(batch: &Batch, storage: Storage, fee: f32) -> (Vec<Span>, Vec<f64>) {
    let simulations: Vec<_> = batch.simulations().collect();
    let spans = simulations.into_par_iter().with_min_len(16);
    spans
        .map(|simulation| {
            let mut span = Span::zeroed();
            for stored in simulation.positions() {
                let (bar, position) = storage.stored(stored);
                span.longs += u32::from(position > 0.0);
                span.shorts += u32::from(position < 0.0);
                span.capped |= u32::from(position != 0.0 && bar.high >= MAX_HIGH);
            }
            let stored = simulation.positions().map(|stored| storage.stored(stored));
            (span, fixed_point::bound(stored, fee))
        })
        .unzip()
}

/// Cuts the simulations into at most `parts` runs of about equal numbers of legs, none empty.
pub(super) fn split(spans: &[Span], parts: usize) -> Vec<Range<usize>> {
    let cost = |span: &Span| span.legs() + 1;
    let total: usize = spans.iter().map(cost).sum();
    let mut runs = Vec::with_capacity(parts);
    let (mut start, mut done) = (0, 0);
    for (index, span) in spans.iter().enumerate() {
        done += cost(span);
        let left = parts - runs.len();
        let enough = done * parts >= total * (runs.len() + 1);
        // As many simulations must stay as there are runs to come.
        if left > 1 && (enough || spans.len() - index - 1 == left - 1) {
            runs.push(start..index + 1);
            start = index + 1;
        }
    }
    runs.push(start..spans.len());
    runs
}

/// Cuts the slots into chunks of at most `most` legs and places their spans in them.
pub(super) fn cut(spans: &mut [Span], most: usize) -> Vec<Range<usize>> {
    let chunks = pieces(spans, most);
    for chunk in &chunks {
        let mut first = 0;
        for span in &mut spans[chunk.clone()] {
            span.first = first;
            first += span.longs + span.shorts;
        }
    }
    chunks
}

/// Runs of slots of at most `most` legs; a slot with more is a run of its own.
pub(super) fn pieces(spans: &[Span], most: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut start, mut legs) = (0, 0);
    for (slot, span) in spans.iter().enumerate() {
        if slot > start && legs + span.legs() > most {
            pieces.push(start..slot);
            (start, legs) = (slot, 0);
        }
        legs += span.legs();
    }
    pieces.push(start..spans.len());
    pieces
}

pub(super) fn legs_of(spans: &[Span]) -> usize {
    spans.iter().map(Span::legs).sum()
}

/// Writes legs as a device stores them.
pub(super) struct Pack<'p> {
    pub(super) batch: &'p Batch,
    pub(super) storage: Storage,
    pub(super) fee: f32,
    /// The device's first simulation.
    pub(super) first: usize,
}

impl Pack<'_> {
    /// Writes the legs of these slots, one slot after the other; returns how many.
    pub(super) fn fill(&self, spans: &[Span], host: &mut HostLegs) -> Result<usize, Error> {
        let [width, terms_width] = self.storage.widths();
        let mut records = host.records.write()?;
        let mut terms = host.terms.write()?;
        let mut slots = Vec::with_capacity(spans.len());
        for span in spans {
            let (of_slot, rest) = records.split_at_mut(span.legs() * width);
            records = rest;
            let (terms_of_slot, rest) = terms.split_at_mut(span.legs() * terms_width);
            terms = rest;
            slots.push((span, of_slot, terms_of_slot));
        }
        let slots = slots.into_par_iter().with_min_len(16);
        slots.for_each(|(span, records, terms)| {
            let simulation = self.first + span.simulation as usize;
            let Some(simulation) = self.batch.simulation(simulation) else {
                return;
            };
            if self.storage == Storage::F32 {
                let (records, terms) = (
                    bytemuck::cast_slice_mut(records),
                    bytemuck::cast_slice_mut(terms),
                );
                self.legs(&simulation, span, records, terms);
            } else {
                self.bars(&simulation, span, bytemuck::cast_slice_mut(records));
            }
        });
        Ok(legs_of(spans))
    }

    pub(super) fn legs(
        &self,
        simulation: &Simulation<'_>,
        span: &Span,
        records: &mut [[f32; 4]],
        terms: &mut [[f32; 2]],
    ) {
        let mut next = [0, span.longs as usize];
        for (bar, position) in simulation.positions() {
            let Some(leg) = Leg::new(&bar, position, self.fee) else {
                continue;
            };
            let next = &mut next[usize::from(leg.side == Side::Short)];
            records[*next] = [leg.high_gate, leg.low_gate, leg.high_offset, leg.low_pred];
            terms[*next] = [leg.close_term, leg.weight];
            *next += 1;
        }
    }

    fn bars(&self, simulation: &Simulation<'_>, span: &Span, records: &mut [[u16; 6]]) {
        let mut next = [0, span.longs as usize];
        for stored in simulation.positions() {
            let (bar, position) = self.storage.stored(stored);
            if position == 0.0 {
                continue;
            }
            let next = &mut next[usize::from(position < 0.0)];
            let values = [
                bar.close,
                bar.high,
                bar.low,
                bar.high_pred,
                bar.low_pred,
                position.abs(),
            ];
            records[*next] = values.map(|value| self.storage.bits(value));
            *next += 1;
        }
    }
}
