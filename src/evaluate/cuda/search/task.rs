//! The argument of the kernels for whole searches, and what of it the options of a search say.

use bytemuck::Zeroable;

use super::super::device::Argument;
use super::plan::Needs;
use crate::direct::{Division, Outline, Selection, SizeMeasure};
use crate::evaluate::SearchTask;
use crate::profit::ExitRule;

/// The argument of the kernels; `Task` of `kernels/direct.cu`, where each field is explained.
#[derive(Debug, Clone, Copy, Zeroable)]
#[repr(C)]
pub(super) struct Task {
    pub legs: u64,
    pub terms: u64,
    pub spans: u64,
    pub members: u64,
    pub groups: u64,
    pub parts: u64,
    pub thirds: u64,
    pub sizes: u64,
    pub scratch: u64,
    pub boards: u64,
    pub found: u64,
    pub scratch_bytes: u64,
    pub axes: [[f64; 4]; 2],
    pub eps: f64,
    pub volume_tolerance: f64,
    pub side_tolerance: f64,
    pub target: f64,
    pub target_unit: f64,
    pub target_tolerance: f64,
    pub flags: u32,
    pub capacity: u32,
    pub enough: u32,
    pub max_iterations: u32,
    pub classes: u32,
    pub divisions: u32,
    pub levels: u32,
    pub all_groups: u32,
    pub at_close: u32,
    pub fee: f32,
    pub pause_after: u32,
    pub first_tag: u32,
    pub places: u32,
    pub padding: u32,
}

// SAFETY: `repr(C)`, with the fields of the kernel's parameter in its order: addresses as u64.
unsafe impl Argument for Task {}

/// Bits of `Task::flags`.
const SCIPY: u32 = 1;
const AGGRESSIVE: u32 = 2;
const HALF_DIAGONAL: u32 = 4;
const ONE_LONGEST: u32 = 8;
const EPS_FOLLOWS: u32 = 16;
const HAS_TARGET: u32 = 32;
pub(super) const RECTANGLES_SPILLED: u32 = 64;
pub(super) const CLASSES_SPILLED: u32 = 128;
pub(super) const LEGS_STAGED: u32 = 256;
pub(super) const RESUMED: u32 = 512;

impl Task {
    /// The argument as far as it says what to search.
    pub fn of(task: &SearchTask<'_>, outline: &Outline, needs: Needs) -> Self {
        let options = task.options;
        let count = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let mut flags = match options.selection {
            Selection::ConvexHull => 0,
            Selection::ScipyCompat => SCIPY,
            Selection::Aggressive => AGGRESSIVE,
        };
        if options.size_measure == SizeMeasure::HalfDiagonal {
            flags |= HALF_DIAGONAL;
        }
        if options.division == Division::OneLongest {
            flags |= ONE_LONGEST;
        }
        if options.eps < 0.0 {
            flags |= EPS_FOLLOWS;
        }
        if options.target.is_some() {
            flags |= HAS_TARGET;
        }
        let target = options.target.map_or(0.0, |target| target.value);
        let close = task.exit_rules.iter().enumerate();
        let close = close.filter(|(_, rule)| **rule == ExitRule::AtClose);
        Self {
            axes: outline.axes,
            eps: options.eps.abs(),
            volume_tolerance: options.volume_tolerance,
            side_tolerance: options.side_tolerance,
            target,
            target_unit: if target == 0.0 { 1.0 } else { target.abs() },
            target_tolerance: options
                .target
                .map_or(0.0, |target| target.relative_tolerance),
            flags,
            capacity: count(outline.capacity),
            enough: count(outline.enough),
            max_iterations: options.max_iterations.map_or(0, count),
            classes: count(needs.classes),
            divisions: count(needs.divisions),
            levels: count(outline.levels),
            at_close: close.map(|(rule, _)| 1 << rule).sum(),
            pause_after: u32::MAX,
            ..Self::zeroed()
        }
    }
}

/// What `kernels/direct.cu` states.
const _: () = assert!(size_of::<Task>() == 264);
