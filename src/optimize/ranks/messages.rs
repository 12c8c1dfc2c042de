//! What ranks tell each other about groups, as bytes.

use crate::batch::{BatchBuilder, Fields, Simulation, Weights};
use crate::direct::StopReason;
use crate::error::Error;
use crate::groups::Groups;
use crate::optimize::{Found, GroupOutcome, RuleOutcome};
use crate::profit::{ExitRule, Multipliers};
use crate::reduce::{Reader, Writer};

/// Reasons by their numbers in messages.
const REASONS: [StopReason; 13] = [
    StopReason::Evaluations,
    StopReason::Iterations,
    StopReason::Volume,
    StopReason::SideLength,
    StopReason::Target,
    StopReason::TimeLimit,
    StopReason::NoProgress,
    StopReason::Cancelled,
    StopReason::Complete,
    StopReason::WorkCap,
    StopReason::Slots,
    StopReason::Levels,
    StopReason::Converged,
];

fn read_reason(message: &mut Reader<'_>) -> Result<StopReason, Error> {
    let number = message.u64()?;
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    REASONS.get(index).copied().ok_or_else(|| {
        let expected = "below 13; run the same build on all ranks";
        Error::option("the reason to stop of a rank", number, expected)
    })
}

fn write_pair(message: &mut Writer, pair: Multipliers) {
    message.f32s(&[pair.high, pair.low]);
}

fn read_pair(message: &mut Reader<'_>) -> Result<Multipliers, Error> {
    let pair = message.f32s(2)?;
    Ok(Multipliers::new(pair[0], pair[1]))
}

fn write_rule(message: &mut Writer, rule: ExitRule) {
    message.u64(u64::from(rule == ExitRule::AtClose));
}

fn read_rule(message: &mut Reader<'_>) -> Result<ExitRule, Error> {
    Ok(match message.u64()? {
        0 => ExitRule::Intraday,
        _ => ExitRule::AtClose,
    })
}

fn write_bound(message: &mut Writer, bound: Option<f64>) {
    message.u64(u64::from(bound.is_some()));
    message.f64(bound.unwrap_or(0.0));
}

fn read_bound(message: &mut Reader<'_>) -> Result<Option<f64>, Error> {
    let known = message.u64()? != 0;
    let bound = message.f64()?;
    Ok(known.then_some(bound))
}

pub(super) fn write_outcome(message: &mut Writer, number: usize, outcome: &GroupOutcome) {
    message.u64(number as u64);
    write_pair(message, outcome.multipliers);
    write_rule(message, outcome.exit_rule);
    message.f64(outcome.profit);
    message.f64(outcome.baseline);
    message.u64(outcome.evaluations);
    message.u64(outcome.iterations);
    message.u64(outcome.stop as u64);
    message.u64(u64::from(outcome.other_rule.is_some()));
    if let Some(other) = outcome.other_rule {
        write_rule(message, other.exit_rule);
        write_pair(message, other.multipliers);
        message.f64(other.profit);
    }
    write_bound(message, outcome.upper_bound);
    message.u64(outcome.work);
}

pub(super) fn read_outcome(
    message: &mut Reader<'_>,
    all: &Groups,
) -> Result<(usize, GroupOutcome), Error> {
    let number = usize::try_from(message.u64()?).unwrap_or(usize::MAX);
    let multipliers = read_pair(message)?;
    let exit_rule = read_rule(message)?;
    let profit = message.f64()?;
    let baseline = message.f64()?;
    let evaluations = message.u64()?;
    let iterations = message.u64()?;
    let stop = read_reason(message)?;
    let other_rule = match message.u64()? {
        0 => None,
        _ => Some(RuleOutcome {
            exit_rule: read_rule(message)?,
            multipliers: read_pair(message)?,
            profit: message.f64()?,
        }),
    };
    let outcome = GroupOutcome {
        name: all.name(number).map(str::to_owned),
        simulations: all.members(number).len(),
        multipliers,
        exit_rule,
        profit,
        baseline,
        evaluations,
        iterations,
        stop,
        other_rule,
        upper_bound: read_bound(message)?,
        work: message.u64()?,
    };
    Ok((number, outcome))
}

pub(super) fn write_found(message: &mut Writer, found: &Found) {
    message.u64(u64::from(found.point.is_some()));
    for &coordinate in found.point.iter().flatten() {
        message.f64(coordinate);
    }
    message.f64(found.value);
    message.u64(found.stop as u64);
    write_bound(message, found.upper_bound);
    message.u64(found.work);
}

pub(super) fn read_found(message: &mut Reader<'_>) -> Result<Found, Error> {
    let point = match message.u64()? {
        0 => None,
        _ => Some(vec![message.f64()?, message.f64()?]),
    };
    Ok(Found {
        point,
        value: message.f64()?,
        evaluations: 0,
        iterations: 0,
        stop: read_reason(message)?,
        upper_bound: read_bound(message)?,
        work: message.u64()?,
    })
}

pub(super) fn write_simulation(message: &mut Writer, simulation: &Simulation<'_>) {
    message.u64(match simulation.weights {
        Weights::EntryExit(_) => 0,
        Weights::AlwaysOn { sell: None, .. } => 1,
        Weights::AlwaysOn { sell: Some(_), .. } => 2,
    });
    for (_, column) in simulation.columns() {
        message.u64(column.len() as u64);
        message.f32s(column);
    }
}

pub(super) fn read_simulation(
    message: &mut Reader<'_>,
    builder: &mut BatchBuilder,
) -> Result<(), Error> {
    let kind = message.u64()?;
    let mut column = || -> Result<Vec<f32>, Error> {
        let bars = message.count(size_of::<f32>())?;
        message.f32s(bars)
    };
    let [close, high, low, high_pred, low_pred, first] = [
        column()?,
        column()?,
        column()?,
        column()?,
        column()?,
        column()?,
    ];
    let second = match kind {
        2 => Some(column()?),
        _ => None,
    };
    let weights = match kind {
        0 => Weights::EntryExit(first.as_slice()),
        _ => Weights::AlwaysOn {
            buy: first.as_slice(),
            sell: second.as_deref(),
        },
    };
    builder.push(Fields {
        close: close.as_slice(),
        high: &high,
        low: &low,
        high_pred: &high_pred,
        low_pred: &low_pred,
        weights,
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_to_stop_has_its_number() {
        for (number, reason) in REASONS.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
