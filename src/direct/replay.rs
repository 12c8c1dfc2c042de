//! What the values of a round change.

use super::{
    Direct, Division, FEW_SIDES, Side, SizeMeasure, StopReason, grow, half_diagonal_of, level_of,
    scratch, third,
};

impl Direct {
    /// Takes the values of the planned round; there is one per point.
    pub(super) fn replay<const DIM: usize>(&mut self, values: &[f64]) {
        let start = self.classes.len();
        self.store::<DIM>(values);
        // In the first round the centre comes before its children.
        let mut child = start.max(1) as u32;
        if self.takes_turns {
            self.warm::<DIM>(false);
            self.classes.warm(&self.round);
        }
        for i in 0..self.round.len() {
            let rect = self.round[i];
            if start > 0 {
                let level = self.level::<DIM>(rect);
                self.classes.unlink(level, rect);
            }
            child = self.divide::<DIM>(rect, i, child);
        }
        self.points.clear();
        if start > 0 && self.finish_iteration::<DIM>() {
            return;
        }
        match self.ending {
            Some(reason) => {
                if self.round.is_empty() {
                    self.iteration -= 1;
                }
                self.finish(reason);
            }
            None => self.plan::<DIM>(),
        }
    }

    /// Stores the values and finds the best.
    fn store<const DIM: usize>(&mut self, values: &[f64]) {
        let start = self.classes.len();
        let dim = self.axes::<DIM>();
        let limit = self.options.max_evaluations;
        let raw = self.scipy.is_some();
        if raw && values.iter().any(|value| value.is_nan()) {
            self.classes.use_lists();
        }
        let feasible = |value: f64| {
            if raw || value.is_finite() {
                value
            } else {
                f64::INFINITY
            }
        };
        self.classes
            .extend(values.iter().map(|&value| feasible(value)), limit);
        let mut lowest = self.best.map(|rect| self.classes.value(rect));
        let mut at = None;
        for (i, &value) in values.iter().enumerate() {
            if !value.is_finite() {
                continue;
            }
            if lowest.is_none_or(|lowest| value < lowest) {
                lowest = Some(value);
                at = Some(i);
            }
            if self.worst.is_none_or(|worst| value > worst) {
                self.worst = Some(value);
            }
        }
        if let Some(i) = at {
            self.best = Some((start + i) as u32);
            self.best_x
                .copy_from_slice(&self.points[i * dim..(i + 1) * dim]);
        }
        if let Some(scipy) = &mut self.scipy {
            for (i, &value) in values.iter().enumerate() {
                if start + i == 0 || value < scipy.value {
                    scipy.value = value;
                    scipy.rect = (start + i) as u32;
                }
            }
        }
    }

    /// Cuts rectangle `rect`, number `i` of the round, whose children start at `child`. Returns
    /// the number behind the last child.
    fn divide<const DIM: usize>(&mut self, rect: u32, i: usize, child: u32) -> u32 {
        let dim = self.axes::<DIM>();
        let row = rect as usize * dim;
        let depths = &self.depths[row..row + dim];
        let depth = depths.iter().copied().min().unwrap_or(0);
        let longest = depths.iter().filter(|&&d| d == depth).count();

        // Sides by the better value of their pair, ascending, equals in order of the axes. The
        // comparisons are Gablonsky's, which matters with NaN.
        let mut few = [Side::EMPTY; FEW_SIDES];
        let ranking = scratch(&mut few, &mut self.ranking, longest, Side::EMPTY);
        let mut pairs = 0;
        for (axis, &side_depth) in depths.iter().enumerate() {
            let cut = match self.options.division {
                Division::AllLongest => side_depth == depth,
                Division::OneLongest => self.round_axes[i] as usize == axis,
            };
            if !cut {
                continue;
            }
            let plus = self.classes.value(child + 2 * pairs as u32);
            let minus = self.classes.value(child + 2 * pairs as u32 + 1);
            let value = if minus < plus { minus } else { plus };
            let mut at = pairs;
            if pairs > 0 && ranking[0].value > value {
                at = 0;
            } else if let Some(later) = ranking[..pairs]
                .iter()
                .skip(1)
                .position(|other| value < other.value)
            {
                at = later + 1;
            }
            ranking.copy_within(at..pairs, at + 1);
            ranking[at] = Side {
                value,
                axis: axis as u32,
                pair: pairs as u32,
                level: 0,
            };
            pairs += 1;
        }

        let limit = self.options.max_evaluations.saturating_mul(dim);
        let rows = self.depths.len();
        grow(&mut self.depths, 2 * pairs * dim, limit);
        self.depths.resize(rows + 2 * pairs * dim, 0);
        let (old, new) = self.depths.split_at_mut(rows);
        let parent = &mut old[row..row + dim];
        let half_diagonal = self.options.size_measure == SizeMeasure::HalfDiagonal;
        for k in 0..pairs {
            let side = ranking[k];
            parent[side.axis as usize] += 1;
            let first = 2 * side.pair as usize * dim;
            let (plus, minus) = new[first..first + 2 * dim].split_at_mut(dim);
            for ((plus, minus), &depth) in plus.iter_mut().zip(minus).zip(&*parent) {
                *plus = depth;
                *minus = depth;
            }
            let level = level_of(half_diagonal, dim, depth, longest - k - 1);
            ranking[side.pair as usize].level = level as u32;
        }
        let last = ranking[pairs - 1].pair;
        // The pair cut last and the rectangle itself are the smallest.
        let own_level = ranking[last as usize].level as usize;
        self.classes.ensure(own_level, |level| {
            if half_diagonal {
                half_diagonal_of(dim, level)
            } else {
                third(level)
            }
        });
        for pair in 0..pairs as u32 {
            let level = ranking[pair as usize].level as usize;
            let plus = child + 2 * pair;
            if pair == last {
                self.classes.insert_family(level, plus, plus + 1, rect);
            } else {
                self.classes.insert_pair(level, plus, plus + 1);
            }
        }
        child + 2 * pairs as u32
    }

    /// Stop tests at the end of an iteration, in scipy's order; whether the search has ended.
    fn finish_iteration<const DIM: usize>(&mut self) -> bool {
        if let Some(reason @ (StopReason::Slots | StopReason::Levels)) = self.ending {
            self.finish(reason);
            return true;
        }
        let best = match self.scipy {
            Some(scipy) => Some((scipy.rect, scipy.value)),
            None => self.best.map(|rect| (rect, self.classes.value(rect))),
        };
        if let Some((rect, value)) = best {
            if let Some(reason) = self.near_enough::<DIM>(rect, value) {
                self.finish(reason);
                return true;
            }
            if self.options.eps < 0.0 {
                // In this order a NaN leaves the given eps, as in scipy.
                self.eps = (1e-4 * value.abs()).max(self.options.eps.abs());
            }
        }
        let evaluations = self.classes.len();
        let used_up = match self.scipy {
            Some(scipy) => evaluations > scipy.budget,
            None => evaluations >= self.options.max_evaluations,
        };
        if used_up {
            self.finish(StopReason::Evaluations);
        }
        used_up
    }

    fn near_enough<const DIM: usize>(&self, rect: u32, value: f64) -> Option<StopReason> {
        let options = &self.options;
        let (depth, longest) = self.sides::<DIM>(rect);
        let dim = self.axes::<DIM>();
        let cuts = usize::from(depth) * dim + dim - longest;
        if options.volume_tolerance > 0.0 && third(cuts) <= options.volume_tolerance {
            return Some(StopReason::Volume);
        }
        let size = self.classes.classes()[self.level_of::<DIM>(depth, longest)].size;
        if options.side_tolerance > 0.0 && size <= options.side_tolerance {
            return Some(StopReason::SideLength);
        }
        let target = options.target?;
        let unit = if target.value == 0.0 {
            1.0
        } else {
            target.value.abs()
        };
        ((value - target.value) / unit <= target.relative_tolerance).then_some(StopReason::Target)
    }
}
