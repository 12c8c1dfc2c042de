//! Eight numbers at once, in vectors of whatever width the machine has.
//!
//! Plain loops over arrays of eight are not enough: where lanes are chosen by a condition the
//! compiler takes them one by one.

use std::ops::{Add, AddAssign, Mul, Sub};

use pulp::Simd;

use super::fixed::Sums;
use super::ranks::Event;

/// Number of lanes.
pub(super) const LANES: usize = 8;

/// How many vectors of an array hold the lanes.
const fn in_use<S: Simd>() -> usize {
    LANES / S::F64_LANES
}

/// Eight f64.
#[derive(Clone, Copy)]
pub(super) struct Floats<S: Simd> {
    simd: S,
    vectors: [S::f64s; LANES],
}

/// Eight i64.
#[derive(Clone, Copy)]
pub(super) struct Integers<S: Simd> {
    simd: S,
    vectors: [S::u64s; LANES],
}

/// Eight truth values.
#[derive(Clone, Copy)]
pub(super) struct Mask<S: Simd> {
    vectors: [S::m64s; LANES],
}

// Macros and not closures: the compiler must take every operation into the function that has the
// wide instructions.

/// An operation on two, vector by vector.
macro_rules! zipped {
    ($a:expr, $b:expr, $op:ident) => {{
        let (mut a, b) = ($a, $b);
        for i in 0..in_use::<S>() {
            a.vectors[i] = a.simd.$op(a.vectors[i], b.vectors[i]);
        }
        a
    }};
}

/// A comparison of two, vector by vector.
macro_rules! compared {
    ($a:expr, $b:expr, $op:ident) => {{
        let (a, b) = ($a, $b);
        let mut vectors = [a.simd.$op(a.vectors[0], b.vectors[0]); LANES];
        for i in 1..in_use::<S>() {
            vectors[i] = a.simd.$op(a.vectors[i], b.vectors[i]);
        }
        Mask { vectors }
    }};
}

impl<S: Simd> Floats<S> {
    #[inline(always)]
    pub(super) fn splat(simd: S, value: f64) -> Self {
        Self {
            simd,
            vectors: [simd.splat_f64s(value); LANES],
        }
    }

    #[inline(always)]
    pub(super) fn load(simd: S, values: &[f64; LANES]) -> Self {
        let mut loaded = Self::splat(simd, 0.0);
        for (vector, values) in loaded.vectors.iter_mut().zip(S::as_simd_f64s(values).0) {
            *vector = *values;
        }
        loaded
    }

    #[inline(always)]
    pub(super) fn store(self) -> [f64; LANES] {
        let mut values = [0.0; LANES];
        let vectors = S::as_mut_simd_f64s(&mut values).0;
        for (values, vector) in vectors.iter_mut().zip(self.vectors) {
            *values = vector;
        }
        values
    }

    /// The greatest of the lanes.
    #[inline(always)]
    pub(super) fn greatest(self) -> f64 {
        let mut greatest = self.vectors[0];
        for i in 1..in_use::<S>() {
            greatest = self.simd.max_f64s(greatest, self.vectors[i]);
        }
        self.simd.reduce_max_f64s(greatest)
    }

    /// The greater of two, lane by lane; none is NaN.
    #[inline(always)]
    pub(super) fn max(self, other: Self) -> Self {
        zipped!(self, other, max_f64s)
    }

    #[inline(always)]
    pub(super) fn abs(self) -> Self {
        self.max(Self::splat(self.simd, 0.0) - self)
    }

    #[inline(always)]
    pub(super) fn at_most(self, other: Self) -> Mask<S> {
        compared!(self, other, less_than_or_equal_f64s)
    }

    #[inline(always)]
    pub(super) fn below(self, other: Self) -> Mask<S> {
        compared!(self, other, less_than_f64s)
    }

    /// These where the mask holds, elsewhere 0.
    #[inline(always)]
    pub(super) fn only(mut self, mask: Mask<S>) -> Self {
        let zero = self.simd.splat_f64s(0.0);
        for i in 0..in_use::<S>() {
            self.vectors[i] = self
                .simd
                .select_f64s(mask.vectors[i], self.vectors[i], zero);
        }
        self
    }
}

impl<S: Simd> Add for Floats<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        zipped!(self, other, add_f64s)
    }
}

impl<S: Simd> AddAssign for Floats<S> {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<S: Simd> Sub for Floats<S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        zipped!(self, other, sub_f64s)
    }
}

impl<S: Simd> Mul for Floats<S> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        zipped!(self, other, mul_f64s)
    }
}

impl<S: Simd> Integers<S> {
    #[inline(always)]
    pub(super) fn splat(simd: S, value: i64) -> Self {
        Self {
            simd,
            vectors: [simd.splat_u64s(value as u64); LANES],
        }
    }

    #[inline(always)]
    pub(super) fn load(simd: S, values: &[i64; LANES]) -> Self {
        let mut loaded = Self::splat(simd, 0);
        for (vector, values) in loaded
            .vectors
            .iter_mut()
            .zip(S::as_simd_u64s(bytemuck::cast_ref::<_, [u64; LANES]>(values)).0)
        {
            *vector = *values;
        }
        loaded
    }

    #[inline(always)]
    pub(super) fn store(self) -> [i64; LANES] {
        let mut values = [0_u64; LANES];
        let vectors = S::as_mut_simd_u64s(&mut values).0;
        for (values, vector) in vectors.iter_mut().zip(self.vectors) {
            *values = vector;
        }
        bytemuck::cast(values)
    }

    /// The nearest f64.
    #[inline(always)]
    pub(super) fn to_floats(self) -> Floats<S> {
        let mut floats = [0.0; LANES];
        for (float, integer) in floats.iter_mut().zip(self.store()) {
            *float = integer as f64;
        }
        Floats::load(self.simd, &floats)
    }

    /// These where the mask holds, elsewhere 0.
    #[inline(always)]
    pub(super) fn only(mut self, mask: Mask<S>) -> Self {
        let zero = self.simd.splat_u64s(0);
        for i in 0..in_use::<S>() {
            self.vectors[i] = self
                .simd
                .select_u64s(mask.vectors[i], self.vectors[i], zero);
        }
        self
    }
}

impl<S: Simd> Add for Integers<S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        zipped!(self, other, add_u64s)
    }
}

impl<S: Simd> AddAssign for Integers<S> {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// Sums of eight cells.
#[derive(Clone, Copy)]
pub(super) struct LaneSums<S: Simd> {
    pub a: Floats<S>,
    pub b: Floats<S>,
    pub c: Integers<S>,
}

impl<S: Simd> LaneSums<S> {
    #[inline(always)]
    pub(super) fn load(simd: S, sums: &[Sums; LANES]) -> Self {
        let (mut a, mut b, mut c) = ([0.0; LANES], [0.0; LANES], [0; LANES]);
        for (lane, sums) in sums.iter().enumerate() {
            a[lane] = sums.a;
            b[lane] = sums.b;
            c[lane] = sums.c;
        }
        Self {
            a: Floats::load(simd, &a),
            b: Floats::load(simd, &b),
            c: Integers::load(simd, &c),
        }
    }

    #[inline(always)]
    pub(super) fn store(self) -> [Sums; LANES] {
        let (a, b, c) = (self.a.store(), self.b.store(), self.c.store());
        let mut sums = [Sums::default(); LANES];
        for (lane, sums) in sums.iter_mut().enumerate() {
            *sums = Sums {
                a: a[lane],
                b: b[lane],
                c: c[lane],
            };
        }
        sums
    }

    /// Adds an event in the lanes where it is active.
    #[inline(always)]
    pub(super) fn add(&mut self, simd: S, event: &Event, active: Mask<S>) {
        let (a, b) = event.slopes();
        self.a += Floats::splat(simd, a).only(active);
        self.b += Floats::splat(simd, b).only(active);
        self.c += Integers::splat(simd, event.constant).only(active);
    }
}
