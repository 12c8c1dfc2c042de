//! A group's sum in fixed point: integers add up to the same bits in any order.

use crate::profit::{Bar, Leg};

/// Bound on the magnitude of a simulation's profit under any candidate.
pub(super) fn bound(positions: impl Iterator<Item = (Bar, f32)>, fee: f32) -> f64 {
    positions
        .map(|(bar, position)| Leg::bound(&bar, position, fee))
        .sum()
}

/// Fraction bits of the group that `members` form.
pub(super) fn fraction_bits_of(members: &[u32], bounds: &[f64]) -> i32 {
    let bounds = members.iter().map(|&member| bounds[member as usize]);
    fraction_bits(bounds.fold(0.0, f64::max), members.len())
}

/// Fraction bits of a group's fixed-point sum, from the largest bound of its simulations and
/// their number: a sum stays below 2^62, and a single profit below 2^51.
///
/// They depend on the group alone, so a group gives the same bits in any batch.
pub(crate) fn fraction_bits(bound: f64, simulations: usize) -> i32 {
    // A little more than the bound, for the roundings of the f32 sum.
    let single = exponent(bound * 1.01);
    let total = exponent(bound * 1.01 * simulations as f64);
    (62 - total).min(51 - single).min(1000)
}

/// Exactly `2^e`, for `|e| <= 1000`. `powi` promises no precision.
pub(super) fn power_of_two(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// The least `e` with `2^e > x`, for finite `x >= 0`.
fn exponent(x: f64) -> i32 {
    if x < f64::MIN_POSITIVE {
        return -1021;
    }
    let biased = (x.to_bits() >> 52) as i32;
    biased - 1022
}

/// The mean that a fixed-point sum stands for.
pub(crate) fn mean(sum: i64, fraction_bits: i32, simulations: usize) -> f64 {
    sum as f64 * power_of_two(-fraction_bits) / simulations as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_gives_the_least_power_of_two_above() {
        for x in [0.5, 0.75, 1.0, 1.5, 2.0, 3.9, 1e-9, 1e12] {
            let e = exponent(x);
            assert!(power_of_two(e) > x, "2^{e} > {x}");
            assert!(power_of_two(e - 1) <= x, "2^{} <= {x}", e - 1);
        }
        assert!(exponent(0.0) < -1000);
        let mut power = 1.0;
        for e in 0..=1000 {
            assert_eq!((power_of_two(e), power_of_two(-e)), (power, 1.0 / power));
            power *= 2.0;
        }
    }
}
