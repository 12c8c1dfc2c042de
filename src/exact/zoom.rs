//! The zoom: bounds over a grid of values, to put most of the box and of the legs aside.
//!
//! G + 1 lines per axis cut the box into G x G blocks. One pass puts every leg into a constant
//! number of table cells; sums over the tables give, for every block `(X_p, X_p+1] x [Y_q, Y_q+1)`,
//!
//! * the value at its right bottom corner `(X_p+1, Y_q)`, exactly: legs whose gates lie on lines
//!   already passed, and a lower bound on the optimum besides;
//! * the positive parts of the legs with a gate inside its column or its row.
//!
//! Their sum bounds the block, as the value rises with h and falls with l where no gate lies.
//! What remains is the bounding box of the blocks that reach the best corner. Legs that do not
//! change inside it become a constant, and the next round has few.
//!
//! The slack of a bound is of first order (the legs of a row and a column of blocks), so the zoom
//! ends where branch and bound, of second order, is better. Where the profit is flat it finds
//! nothing to put aside and costs one pass.

use pulp::{Simd, WithSimd};

use super::fixed::{Entered, Grid, Item};
use super::lattice::ROUNDING;
use super::ranks::Box2;
use crate::profit::{ExitRule, Multipliers, Side};

/// Most rounds.
const ROUNDS: usize = 8;

/// A round that keeps more than this share of the legs is the last.
const WORTH: f64 = 0.7;

/// Rounding of the constants of one leg, in units.
const LEG_SLACK: f64 = 4.0;

/// Number of lines less one for so many legs. Measured: the best at 20,000 to 2,000,000.
fn lines_for(legs: usize) -> usize {
    ((legs as f64).sqrt() * 0.7).min(256.0) as usize
}

/// One axis cut into equal parts.
#[derive(Debug, Default)]
struct Lines {
    values: Vec<f32>,
    start: f32,
    per_unit: f32,
}

impl Lines {
    fn set(&mut self, (least, greatest): (f32, f32), parts: usize) {
        let (start, end) = (f64::from(least), f64::from(greatest));
        self.values.clear();
        let inner = (0..parts).map(|i| (start + (end - start) * i as f64 / parts as f64) as f32);
        self.values.extend(inner);
        self.values.push(greatest);
        self.start = least;
        self.per_unit = (parts as f64 / (end - start)) as f32;
    }

    #[inline(always)]
    fn guess(&self, value: f32) -> usize {
        let last = self.values.len() as i32 - 1;
        (((value - self.start) * self.per_unit) as i32).clamp(0, last) as usize
    }

    /// Number of lines `<= value`.
    #[inline(always)]
    fn up_to(&self, value: f32) -> usize {
        let mut line = self.guess(value);
        while line < self.values.len() && self.values[line] <= value {
            line += 1;
        }
        while line > 0 && self.values[line - 1] > value {
            line -= 1;
        }
        line
    }

    /// Number of lines `< value`: the first line that is not below it.
    #[inline(always)]
    fn below(&self, value: f32) -> usize {
        let mut line = self.guess(value);
        while line < self.values.len() && self.values[line] < value {
            line += 1;
        }
        while line > 0 && self.values[line - 1] >= value {
            line -= 1;
        }
        line
    }
}

/// What a cell of the table sums.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Sums of events, as in the rank form, over lines. Rounded: a bound has a margin anyway.
    a: f64,
    b: f64,
    c: f64,
    /// Positive parts of couplings whose low gate lies in this row of blocks.
    in_row: f64,
    /// Positive parts of couplings whose high gate lies in this column of blocks.
    in_column: f64,
}

/// Sums over one axis.
#[derive(Debug, Clone, Copy, Default)]
struct Edge {
    slope: f64,
    constant: f64,
    weight: f64,
    /// Positive parts of entries whose gate lies in this row or column of blocks.
    inside: f64,
}

/// Buffers of the zoom.
#[derive(Debug, Default)]
pub(super) struct Zoom {
    high: Lines,
    low: Lines,
    /// `(G + 1) x (G + 1)` in order of the lines on h.
    cells: Vec<Cell>,
    columns: Vec<Edge>,
    rows: Vec<Edge>,
}

/// The pass over the legs; one leg at a time, but wide instruction sets have the conversions.
struct Fill<'a> {
    zoom: &'a mut Zoom,
    long: &'a [Item],
    short: &'a [Item],
    grid: &'a Grid,
    parts: usize,
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.zoom.fill(self.long, self.short, self.grid, self.parts);
    }
}

impl Zoom {
    /// Heap memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
            + (self.columns.capacity() + self.rows.capacity()) * size_of::<Edge>()
            + (self.high.values.capacity() + self.low.values.capacity()) * 4
    }

    /// Shrinks `bounds` to a box that holds every pair of greatest value, drops legs that cannot
    /// be entered there, and moves those that do not change there into `base`. Raises `floor`, a
    /// lower bound on the greatest value.
    ///
    /// No leg may be capped inside `bounds`.
    #[allow(clippy::too_many_arguments, reason = "one problem, in its parts")]
    pub(super) fn run(
        &mut self,
        arch: pulp::Arch,
        (long, short): (&mut Vec<Item>, &mut Vec<Item>),
        grid: &Grid,
        bounds: &mut Box2,
        base: &mut Entered,
        floor: &mut f64,
        least_legs: usize,
    ) {
        for _ in 0..ROUNDS {
            let legs = long.len() + short.len();
            let parts = lines_for(legs).max(4);
            let has_size = |(least, greatest): (f32, f32)| {
                greatest - least > f32::MIN_POSITIVE && greatest > least
            };
            if legs < least_legs || !has_size(bounds.high) || !has_size(bounds.low) {
                return;
            }
            self.high.set(bounds.high, parts);
            self.low.set(bounds.low, parts);
            arch.dispatch(Fill {
                zoom: self,
                long,
                short,
                grid,
                parts,
            });
            *bounds = self.keep(grid, base, parts, legs, floor);
            restrict(long, Side::Long, grid, bounds, base);
            restrict(short, Side::Short, grid, bounds, base);
            if (long.len() + short.len()) as f64 > WORTH * legs as f64 {
                return;
            }
        }
    }

    /// Puts every leg into its cells.
    #[inline(always)]
    fn fill(&mut self, long: &[Item], short: &[Item], grid: &Grid, parts: usize) {
        let lines = parts + 1;
        self.cells.clear();
        self.cells.resize(lines * lines, Cell::default());
        self.columns.clear();
        self.columns.resize(lines, Edge::default());
        self.rows.clear();
        self.rows.resize(lines, Edge::default());
        let Self {
            high,
            low,
            cells,
            columns,
            rows,
        } = self;
        for item in long {
            let place = Place::new(item, high, low);
            let terms = Plain::new(item, grid);
            let (weight, scaled) = (terms.weight, terms.scaled);
            let entry =
                scaled * (f64::from(item.close) - low_at_gate(item)) - grid.fee_rate() * weight;
            if let Some(row) = rows.get_mut(place.row) {
                row.slope += weight;
                row.constant += terms.low;
                row.weight += weight;
            }
            if let Some(row) = rows.get_mut(place.row_clamp) {
                row.slope -= weight;
                row.constant += terms.low_clamp;
            }
            if place.row > 0 {
                rows[place.row - 1].inside += (entry + LEG_SLACK).max(0.0);
            }
            if place.columns == 0 {
                continue;
            }
            let gate = place.columns - 1;
            let coupling = scaled * (high_at_gate(item) - f64::from(item.close)) + LEG_SLACK;
            put_coupling(cells, &place, lines, coupling.max(0.0));
            if place.row > parts {
                continue;
            }
            let cell = &mut cells[gate * lines + place.row];
            cell.a += weight;
            cell.c += terms.high;
            if place.columns_clamp > 0 {
                let cell = &mut cells[(place.columns_clamp - 1) * lines + place.row];
                cell.a -= weight;
                cell.c += terms.high_clamp;
            }
        }
        for item in short {
            let place = Place::new(item, high, low);
            if place.columns == 0 {
                continue;
            }
            let terms = Plain::new(item, grid);
            let (weight, scaled) = (terms.weight, terms.scaled);
            let entry =
                scaled * (high_at_gate(item) - f64::from(item.close)) - grid.fee_rate() * weight;
            let gate = place.columns - 1;
            columns[gate].slope += weight;
            columns[gate].constant += terms.high;
            columns[gate].weight += weight;
            columns[gate].inside += (entry + LEG_SLACK).max(0.0);
            if place.columns_clamp > 0 {
                let column = &mut columns[place.columns_clamp - 1];
                column.slope -= weight;
                column.constant += terms.high_clamp;
            }
            if item.low_gate > low.values[parts] {
                continue;
            }
            let coupling = scaled * (f64::from(item.close) - low_at_gate(item)) + LEG_SLACK;
            put_coupling(cells, &place, lines, coupling.max(0.0));
            if place.row > parts {
                continue;
            }
            let cell = &mut cells[gate * lines + place.row];
            cell.b += weight;
            cell.c += terms.low;
            if place.row_clamp < lines {
                let cell = &mut cells[gate * lines + place.row_clamp];
                cell.b -= weight;
                cell.c += terms.low_clamp;
            }
        }
    }

    /// Sums the tables, bounds every block, and returns the box of those that reach the floor.
    fn keep(
        &mut self,
        grid: &Grid,
        base: &Entered,
        parts: usize,
        legs: usize,
        floor: &mut f64,
    ) -> Box2 {
        let lines = parts + 1;
        self.sum(grid, base, parts);
        // Every leg is rounded a few times, and so is every sum it enters.
        let margin = (64.0 + 16.0 * legs as f64) * ROUNDING;
        let growth = 1.0 + legs as f64 * f64::EPSILON;
        let mut greatest_corner = *floor;
        // The bound takes the place of what it is made of.
        for p in 0..parts {
            let x = f64::from(self.high.values[p + 1]) * grid.scale;
            for q in 0..parts {
                let y = f64::from(self.low.values[q]) * grid.scale;
                let (column, row) = (&self.columns[p + 1], &self.rows[q]);
                let corner = &self.cells[(p + 1) * lines + q];
                let constant = corner.c + column.constant + row.constant;
                let value = (corner.a + column.slope) * x - (corner.b + row.slope) * y + constant;
                let cell = &self.cells[p * lines + q];
                let inside = cell.in_row + cell.in_column + self.columns[p].inside + row.inside;
                greatest_corner = greatest_corner.max(value - margin);
                self.cells[p * lines + q].in_row = value + inside * growth + margin;
            }
        }
        *floor = greatest_corner;
        let (mut p0, mut p1, mut q0, mut q1) = (parts, 0, parts, 0);
        for p in 0..parts {
            for q in 0..parts {
                if self.cells[p * lines + q].in_row >= greatest_corner {
                    (p0, p1) = (p0.min(p), p1.max(p));
                    (q0, q1) = (q0.min(q), q1.max(q));
                }
            }
        }
        Box2 {
            high: (self.high.values[p0], self.high.values[p1 + 1]),
            low: (self.low.values[q0], self.low.values[q1 + 1]),
        }
    }

    /// Sums over lines: events over higher h and lower l, couplings along their row or column.
    fn sum(&mut self, grid: &Grid, base: &Entered, parts: usize) {
        let lines = parts + 1;
        for p in 0..lines {
            let column = &mut self.cells[p * lines..(p + 1) * lines];
            let mut sum = Cell::default();
            for cell in column {
                sum.a += cell.a;
                sum.b += cell.b;
                sum.c += cell.c;
                sum.in_column += cell.in_column;
                *cell = Cell {
                    in_row: cell.in_row,
                    ..sum
                };
            }
        }
        for p in (0..parts).rev() {
            let (lower, upper) = self.cells.split_at_mut((p + 1) * lines);
            for (cell, next) in lower[p * lines..].iter_mut().zip(upper) {
                cell.a += next.a;
                cell.b += next.b;
                cell.c += next.c;
                cell.in_row += next.in_row;
            }
        }
        let mut sum = Edge {
            slope: base.sums.a,
            constant: base.sums.c as f64,
            weight: base.weight[1],
            inside: 0.0,
        };
        for column in self.columns.iter_mut().rev() {
            accumulate(&mut sum, column, grid);
        }
        let mut sum = Edge {
            slope: base.sums.b,
            constant: 0.0,
            weight: base.weight[0],
            inside: 0.0,
        };
        for row in &mut self.rows {
            accumulate(&mut sum, row, grid);
        }
    }
}

/// Adds `edge` to the sum and puts the sum, less the fee, into its place.
fn accumulate(sum: &mut Edge, edge: &mut Edge, grid: &Grid) {
    sum.slope += edge.slope;
    sum.constant += edge.constant;
    sum.weight += edge.weight;
    edge.slope = sum.slope;
    edge.constant = sum.constant - grid.fee_rate() * sum.weight;
}

/// The constants of a leg as in [`Terms`](super::fixed::Terms), not rounded.
struct Plain {
    weight: f64,
    /// Units per return.
    scaled: f64,
    high: f64,
    high_clamp: f64,
    low: f64,
    low_clamp: f64,
}

impl Plain {
    #[inline(always)]
    fn new(item: &Item, grid: &Grid) -> Self {
        let weight = f64::from(grid.weight(item.weight));
        let scaled = weight * grid.scale;
        let close = f64::from(item.close);
        let (high_pred, low_pred) = (f64::from(item.high_pred), f64::from(item.low_pred));
        Self {
            weight,
            scaled,
            high: scaled * (high_pred - close),
            high_clamp: -scaled * high_pred,
            low: scaled * (close - low_pred),
            low_clamp: scaled * low_pred,
        }
    }
}

/// Where a leg lies among the lines.
struct Place {
    /// Number of lines on h for which the high gate holds, and for which H is clamped at 0 too.
    columns: usize,
    columns_clamp: usize,
    /// First line on l for which the low gate holds, and from which L is clamped at 0 too.
    row: usize,
    row_clamp: usize,
}

impl Place {
    #[inline(always)]
    fn new(item: &Item, high: &Lines, low: &Lines) -> Self {
        let columns = high.up_to(item.high_gate);
        let row = low.below(item.low_gate);
        Self {
            columns,
            columns_clamp: high.up_to(-item.high_pred).min(columns),
            row,
            row_clamp: low.below(-item.low_pred).max(row),
        }
    }
}

/// A coupling may hold in part of its gate's row (in all columns up to its high gate) and in part
/// of its gate's column (in all rows above).
#[inline(always)]
fn put_coupling(cells: &mut [Cell], place: &Place, lines: usize, coupling: f64) {
    let gate = place.columns - 1;
    if place.row > 0 {
        cells[gate * lines + place.row - 1].in_row += coupling;
    }
    if place.row < lines {
        cells[gate * lines + place.row].in_column += coupling;
    }
}

/// H at the high gate: the most it can be where the gate holds.
#[inline(always)]
fn high_at_gate(item: &Item) -> f64 {
    (f64::from(item.high_pred) + f64::from(item.high_gate)).clamp(0.0, 10.0)
}

/// L at the low gate: the least it can be where the gate holds.
#[inline(always)]
fn low_at_gate(item: &Item) -> f64 {
    (f64::from(item.low_pred) + f64::from(item.low_gate)).clamp(-1.0, 0.0)
}

/// Keeps the legs that change inside `bounds` and adds those that do not to `base`.
pub(super) fn restrict(
    legs: &mut Vec<Item>,
    side: Side,
    grid: &Grid,
    bounds: &Box2,
    base: &mut Entered,
) {
    let at = Multipliers::new(bounds.high.1, bounds.low.0);
    let mut kept = 0;
    for index in 0..legs.len() {
        let item = legs[index];
        // Without branches: which gate lies where is as good as random.
        let (least, greatest) = bounds.high;
        let high_never = item.high_gate < least;
        let high_always = item.high_gate >= greatest;
        let clamp = -item.high_pred;
        let high_moves = (clamp >= least) & (clamp < greatest);
        let (least, greatest) = bounds.low;
        let low_never = item.low_gate > greatest;
        let low_always = item.low_gate <= least;
        let clamp = -item.low_pred;
        let low_moves = (clamp > least) & (clamp <= greatest);
        let capped = item.capped(bounds.high.1);
        let (entry_never, entry_fixed, exit_fixed) = match side {
            Side::Long => (
                low_never,
                low_always & !low_moves,
                high_never | (high_always & !high_moves),
            ),
            Side::Short => (
                high_never,
                high_always & !high_moves,
                low_never | (low_always & !low_moves),
            ),
        };
        let constant = entry_fixed & exit_fixed & !capped;
        if constant & !entry_never {
            base.add(side, &item, grid, at, ExitRule::Intraday);
        }
        legs[kept] = item;
        kept += usize::from(!(entry_never | constant));
    }
    legs.truncate(kept);
}
