//! A series of bars as simulations.

use std::ops::Range;

/// The bars of each of `count` simulations of `length` bars out of `have`: simulation `k` ends `k`
/// bars before the last bar.
///
/// Simulation 0 is the newest; neighbours overlap in `length - 1` bars.
///
/// # Errors
/// `length` or `count` is 0, or there are fewer than `length + count - 1` bars.
pub fn windows(have: usize, length: usize, count: usize) -> Result<Vec<Range<usize>>, String> {
    if length == 0 || count == 0 {
        return Err(format!(
            "{count} simulations of {length} bars; both must be at least 1"
        ));
    }
    let need = length.saturating_add(count - 1);
    if have < need {
        return Err(format!(
            "there are {have} bars, but {count} simulations of {length} bars need at least {need}; \
             add data or ask for fewer or shorter simulations"
        ));
    }
    Ok((0..count).map(|k| have - k - length..have - k).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulation_k_ends_k_bars_before_the_last() {
        assert_eq!(windows(10, 4, 3).unwrap(), [6..10, 5..9, 4..8]);
        assert_eq!(windows(10, 10, 1).unwrap()[0], 0..10);
        assert_eq!(windows(10, 1, 10).unwrap()[9], 0..1);
        assert_eq!(windows(10, 4, 7).unwrap()[6], 0..4);
    }

    #[test]
    fn errors_say_what_there_is_and_what_is_needed() {
        assert_eq!(
            windows(10, 4, 8).unwrap_err(),
            "there are 10 bars, but 8 simulations of 4 bars need at least 11; \
             add data or ask for fewer or shorter simulations"
        );
        assert!(windows(10, usize::MAX, usize::MAX).is_err());
        assert!(windows(10, 0, 1).is_err());
        assert!(windows(10, 1, 0).is_err());
    }
}
