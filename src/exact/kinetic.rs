//! The way out of a flat profit: a kinetic segment tree over h, swept over l.
//!
//! Rows are visited from low to high l (the time `t`). The tree keeps, for every range of
//! columns, the column of greatest value; an event adds its coefficients to a range of columns.
//! Between two columns of a range only two things change their order: a slope added to both, and
//! time. Both favour the **right** one, as its x is greater and its `B` is not (`B` is a sum over
//! prefixes of the columns). So a node where the left child wins by a gap g keeps its winner
//! while the slope added stays below `g / 2 dx` and the time elapsed below `g / 2 dB`; a node where
//! the right child wins keeps it for good. Past a limit the node is recomputed.
//!
//! An update costs O(log N) and the recomputations; by the usual argument for kinetic segment
//! trees these are O(log^2 N) per update when one parameter moves. Halving the gap for each of two
//! parameters adds a logarithm of the gap over the rounding: argued, not proved. Measured on the
//! worst data known: 10 per update.
//!
//! The greatest values of the rows are rounded. Rows within that rounding of the best are gone
//! through exactly, as long as `work_cap` allows; beyond it the result keeps a gap of the size of
//! the rounding, 2^-43 of the sum of magnitudes.

use super::best::Best;
use super::fixed::Grid;
use super::lattice::{ROUNDING, row_exact};
use super::ranks::{Box2, Event, Ranks};
use super::search::Searched;

/// Columns of a leaf.
const LEAF: usize = 16;

/// Rounding of the values compared, and of the gaps.
const MARGIN: f64 = 64.0 * ROUNDING;

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The column of greatest value: its x, and its sums (tables over h included).
    x: f64,
    a: f64,
    b: f64,
    c: i64,
    /// What was added to all columns below and not handed down yet.
    lazy_a: f64,
    lazy_b: f64,
    lazy_c: i64,
    /// Slope that may still be added, and time until which all winners below are right.
    slope_left: f64,
    until: f64,
}

impl Node {
    const EMPTY: Self = Self {
        x: 0.0,
        a: 0.0,
        b: 0.0,
        c: i64::MIN / 2,
        lazy_a: 0.0,
        lazy_b: 0.0,
        lazy_c: 0,
        slope_left: f64::INFINITY,
        until: f64::INFINITY,
    };

    fn value(&self, time: f64) -> f64 {
        (self.a * self.x - self.b * time) + self.c as f64
    }

    fn add(&mut self, a: f64, b: f64, c: i64) {
        self.a += a;
        self.b += b;
        self.c += c;
        self.lazy_a += a;
        self.lazy_b += b;
        self.lazy_c += c;
        self.slope_left -= a;
    }
}

struct Tree {
    nodes: Vec<Node>,
    /// Number of leaves, a power of two.
    leaves: usize,
    /// Columns, padded to whole leaves.
    x: Vec<f64>,
    a: Vec<f64>,
    b: Vec<f64>,
    c: Vec<i64>,
    time: f64,
    visits: u64,
}

impl Tree {
    fn new(ranks: &Ranks) -> Self {
        let columns = ranks.x.len();
        let leaves = columns.div_ceil(LEAF).next_power_of_two();
        let padded = columns.next_multiple_of(LEAF);
        let mut tree = Self {
            nodes: vec![Node::EMPTY; 2 * leaves],
            leaves,
            x: ranks.x_scaled.clone(),
            a: ranks.x_slope.clone(),
            b: vec![0.0; padded],
            c: ranks.x_constant.clone(),
            time: ranks.y_scaled[0],
            visits: 0,
        };
        // Padding can never win: its constant is out of reach.
        tree.x.resize(padded, ranks.x_scaled[columns - 1]);
        tree.a.resize(padded, 0.0);
        tree.c.resize(padded, i64::MIN / 2);
        for leaf in 0..padded / LEAF {
            tree.scan_leaf(leaves + leaf);
        }
        for node in (1..leaves).rev() {
            tree.pull(node);
        }
        tree
    }

    /// How long a winner stays ahead of a column to its right, by slope and by time.
    fn lease(&self, winner: &Node, other: &Node) -> (f64, f64) {
        let gap = (winner.value(self.time) - other.value(self.time) - MARGIN).max(0.0) * 0.49;
        let (dx, db) = (other.x - winner.x, winner.b - other.b);
        let slope = if dx > 0.0 { gap / dx } else { f64::INFINITY };
        let until = if db > 0.0 {
            self.time + gap / db
        } else {
            f64::INFINITY
        };
        (slope, until)
    }

    /// Hands down what a leaf holds back and finds its winner anew.
    fn scan_leaf(&mut self, node: usize) {
        self.visits += 1;
        let start = (node - self.leaves) * LEAF;
        let Node {
            lazy_a,
            lazy_b,
            lazy_c,
            ..
        } = self.nodes[node];
        let column = |tree: &Self, i: usize| Node {
            x: tree.x[i],
            a: tree.a[i],
            b: tree.b[i],
            c: tree.c[i],
            ..Node::EMPTY
        };
        let mut winner = Node::EMPTY;
        let mut at = start;
        for i in start..start + LEAF {
            self.a[i] += lazy_a;
            self.b[i] += lazy_b;
            self.c[i] += lazy_c;
            let candidate = column(self, i);
            if i == start || candidate.value(self.time) > winner.value(self.time) {
                winner = candidate;
                at = i;
            }
        }
        for i in at + 1..start + LEAF {
            let (slope, until) = self.lease(&winner, &column(self, i));
            winner.slope_left = winner.slope_left.min(slope);
            winner.until = winner.until.min(until);
        }
        self.nodes[node] = winner;
    }

    /// The winner of a node from those of its children.
    fn pull(&mut self, node: usize) {
        let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
        let mut slope_left = left.slope_left.min(right.slope_left);
        let mut until = left.until.min(right.until);
        let winner = if left.value(self.time) >= right.value(self.time) {
            let (slope, time) = self.lease(&left, &right);
            slope_left = slope_left.min(slope);
            until = until.min(time);
            left
        } else {
            right
        };
        self.nodes[node] = Node {
            lazy_a: 0.0,
            lazy_b: 0.0,
            lazy_c: 0,
            slope_left,
            until,
            ..winner
        };
    }

    fn hand_down(&mut self, node: usize) {
        let Node {
            lazy_a,
            lazy_b,
            lazy_c,
            ..
        } = self.nodes[node];
        self.nodes[2 * node].add(lazy_a, lazy_b, lazy_c);
        self.nodes[2 * node + 1].add(lazy_a, lazy_b, lazy_c);
        self.nodes[node].lazy_a = 0.0;
        self.nodes[node].lazy_b = 0.0;
        self.nodes[node].lazy_c = 0;
    }

    /// Adds an event to the columns up to its rank. Winners are stale until [`settle`] is called:
    /// a leg's clamp comes before its gate, and only both together leave a slope above 0.
    ///
    /// [`settle`]: Self::settle
    fn add(&mut self, event: &Event) {
        let (a, b) = event.slopes();
        let end = event.other() as usize + 1;
        let mut node = 1;
        let mut width = self.leaves * LEAF;
        let mut start = 0;
        // Down the path to the end of the range; whole left children on the way.
        while node < self.leaves && end < start + width {
            self.visits += 1;
            self.hand_down(node);
            width /= 2;
            if end > start + width {
                self.nodes[2 * node].add(a, b, event.constant);
                start += width;
                node = 2 * node + 1;
            } else {
                node *= 2;
            }
        }
        if end >= start + width || end >= self.x.len() {
            self.nodes[node].add(a, b, event.constant);
        } else {
            for i in start..end {
                self.a[i] += a;
                self.b[i] += b;
                self.c[i] += event.constant;
            }
            self.scan_leaf(node);
        }
        while node > 1 {
            node /= 2;
            self.pull(node);
        }
    }

    /// Recomputes the winners whose limits are passed.
    fn settle(&mut self, node: usize) {
        let at = &self.nodes[node];
        if at.slope_left >= 0.0 && self.time <= at.until {
            return;
        }
        self.visits += 1;
        if node >= self.leaves {
            self.scan_leaf(node);
            return;
        }
        self.hand_down(node);
        self.settle(2 * node);
        self.settle(2 * node + 1);
        self.pull(node);
    }
}

/// Most bytes that [`run`] takes.
pub(super) fn bytes_needed(ranks: &Ranks) -> usize {
    let (columns, rows) = ranks.shape();
    let leaves = columns.div_ceil(LEAF).next_power_of_two();
    2 * leaves * size_of::<Node>() + (columns + LEAF) * 32 + rows * 16
}

/// Finds the best cell, or one that is best up to rounding.
pub(super) fn run(
    ranks: &Ranks,
    grid: &Grid,
    bounds: &Box2,
    work_cap: u64,
    best: &mut Best,
) -> Searched {
    let (columns, rows) = ranks.shape();
    let mut tree = Tree::new(ranks);
    let mut greatest = Vec::with_capacity(rows);
    for k in 0..rows {
        tree.time = ranks.y_scaled[k];
        for event in ranks.by_y.slice(k..k + 1) {
            tree.add(event);
        }
        tree.settle(1);
        let top = tree.nodes[1].value(tree.time);
        let table = ranks.y_constant[k] as f64 - ranks.y_slope[k] * tree.time;
        greatest.push((top + table, k));
    }
    greatest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    best.floor = best.floor.max(greatest[0].0 - MARGIN);
    let mut work = tree.visits;
    let mut rest = work_cap;
    let per_row = (ranks.events() + columns) as u64;
    for &(value, k) in &greatest {
        if value + MARGIN < best.floor {
            break;
        }
        // The first row in any case: without it there is no result.
        if rest < per_row && best.value > i64::MIN {
            let open = Some(value + MARGIN);
            return Searched { work, open };
        }
        rest = rest.saturating_sub(per_row);
        work += per_row;
        let right = ranks.events_at(columns - 1, k);
        row_exact(ranks, grid, bounds, (0, columns, k), right, best);
    }
    Searched { work, open: None }
}
