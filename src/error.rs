//! What can go wrong. Every message names the place, the value and the remedy.

use std::fmt;

/// Everything the library refuses, and why.
///
/// All checks run before any work starts: an `Err` leaves the input as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option holds a value outside its documented range.
    #[error("{name} = {value}: must be {expected}")]
    InvalidOption {
        /// The option as it is spelled in the code.
        name: &'static str,
        /// The value that was given, as text.
        value: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// An interval of a search box is empty, reversed, or not finite.
    #[error("bounds of axis {axis} are [{low}, {high}]: give two finite numbers with low < high")]
    Bounds {
        /// Axis, counted from 0.
        axis: usize,
        /// Lower end as given.
        low: f64,
        /// Upper end as given.
        high: f64,
    },
    /// A list of values has another length than the list of points it answers.
    #[error(
        "got {got} values for {expected} points: give one value per point, in the order of the points"
    )]
    ValueCount {
        /// Number of points asked.
        expected: usize,
        /// Number of values told.
        got: usize,
    },
}

impl Error {
    pub(crate) fn option(
        name: &'static str,
        value: impl fmt::Display,
        expected: &'static str,
    ) -> Self {
        Self::InvalidOption {
            name,
            value: value.to_string(),
            expected,
        }
    }
}
