//! Which points a round asks for.

use super::classes::NONE;
use super::select::{self, Candidate, Promise};
use super::{
    ANY, Direct, Division, FEW_CLASSES, MAX_DEPTH, SCIPY_MAX_DIVISIONS, Selection, SizeMeasure,
    StopReason, TIE, grow, place, scratch, third,
};

impl Direct {
    /// Plans the centre and the first division.
    pub(super) fn plan_first(&mut self) {
        let dim = self.dim();
        self.centres.resize(dim, 0.5);
        self.points
            .extend((0..dim).map(|axis| place(&self.bounds, self.scipy.is_some(), axis, 0.5)));
        self.depths.resize(dim, 0);
        match self.propose::<ANY>(0, 0, 1) {
            Ok(true) => self.round.push(0),
            Ok(false) => self.ending = Some(StopReason::NoProgress),
            Err(reason) => self.ending = Some(reason),
        }
    }

    /// Plans the next iteration, or finishes the search.
    pub(super) fn plan<const DIM: usize>(&mut self) {
        self.iteration += 1;
        if let Some(limit) = self.options.max_iterations
            && self.iteration >= limit
        {
            return self.finish(StopReason::Iterations);
        }
        let evaluated = self.classes.len();
        // Goes round again only when every selected rectangle was retired.
        loop {
            self.round.clear();
            self.round_axes.clear();
            if let Err(reason) = self.select() {
                return self.finish(reason);
            }
            if self.round.is_empty() {
                self.iteration -= 1;
                return self.finish(StopReason::NoProgress);
            }
            if self.takes_turns {
                self.warm::<DIM>(true);
            }
            let mut kept = 0;
            for i in 0..self.round.len() {
                let rect = self.round[i];
                let level = self.level::<DIM>(rect);
                let planned = evaluated + self.points.len() / self.axes::<DIM>();
                match self.propose::<DIM>(rect, level, planned) {
                    Ok(true) => {
                        self.round[kept] = rect;
                        kept += 1;
                    }
                    Ok(false) => self.classes.unlink(level, rect),
                    Err(reason) => {
                        self.ending = Some(reason);
                        break;
                    }
                }
            }
            self.round.truncate(kept);
            if kept > 0 {
                return;
            }
            if let Some(reason) = self.ending {
                if reason == StopReason::Evaluations {
                    self.iteration -= 1;
                }
                return self.finish(reason);
            }
        }
    }

    /// Loads the rows of the round's rectangles that are about to be read one after the other.
    ///
    /// PERF: side by side their cache misses overlap; with [`Classes::warm`] this takes 91 to
    /// 79 ns per evaluation when 1000 searches take turns and costs 3 ns when one is alone.
    pub(super) fn warm<const DIM: usize>(&self, centres: bool) {
        let dim = self.axes::<DIM>();
        let mut seen = 0.0;
        for &rect in &self.round {
            let row = rect as usize * dim;
            seen += f64::from(self.depths[row]);
            if centres {
                seen += self.centres[row];
            }
        }
        std::hint::black_box(seen);
    }

    /// Fills `round` with the rectangles to divide, in order.
    fn select(&mut self) -> Result<(), StopReason> {
        let scipy = self.scipy.is_some();
        let aggressive = self.options.selection == Selection::Aggressive;
        let classes = self.classes.classes();
        let literal = scipy && self.needs_literal_rule();
        let mut few = [Candidate::EMPTY; FEW_CLASSES];
        let candidates = scratch(
            &mut few,
            &mut self.candidates,
            classes.len(),
            Candidate::EMPTY,
        );
        let mut len = 0;
        let mut lowest = f64::INFINITY;
        let mut heads = 0;
        for (level, class) in classes.iter().enumerate() {
            if class.head == NONE {
                continue;
            }
            heads += 1;
            if aggressive {
                self.round.push(class.head);
                continue;
            }
            let mut value = class.value;
            if !scipy && value == f64::INFINITY {
                value = self.worst.unwrap_or(0.0);
            }
            if literal || value < lowest {
                lowest = value;
                candidates[len] = Candidate {
                    rect: class.head,
                    level: level as u32,
                    value,
                    size: class.size,
                };
                len += 1;
            }
        }
        if aggressive {
            return Ok(());
        }
        let best = match (self.scipy, self.best) {
            (Some(scipy), _) => scipy.value,
            (None, Some(rect)) => self.classes.value(rect),
            (None, None) => self.worst.unwrap_or(0.0),
        };
        let promise = Promise {
            best,
            eps: self.eps,
        };
        let chosen = select::hull(&mut candidates[..len], promise, scipy);
        self.round.extend(chosen.iter().map(|c| c.rect));
        if self.options.size_measure == SizeMeasure::HalfDiagonal {
            for c in chosen {
                self.classes.ties(c.level as usize, TIE, &mut self.round);
            }
            let ties = self.round.len() - chosen.len();
            if scipy && heads + ties > SCIPY_MAX_DIVISIONS {
                return Err(StopReason::Levels);
            }
        }
        Ok(())
    }

    /// Whether the prefix minima are not enough, see [`select`].
    fn needs_literal_rule(&self) -> bool {
        let classes = self.classes.classes();
        self.classes.are_lists()
            || classes.last().is_some_and(|class| class.size == 0.0)
            || classes
                .iter()
                .any(|class| class.head != NONE && !class.value.is_finite())
    }

    /// Appends the points of one division. `planned` counts the evaluations before it. `Ok(false)`
    /// if the new points would equal the centre; `Err` if there is no room for the division.
    fn propose<const DIM: usize>(
        &mut self,
        rect: u32,
        level: usize,
        planned: usize,
    ) -> Result<bool, StopReason> {
        let dim = self.axes::<DIM>();
        let row = rect as usize * dim;
        let depths = &self.depths[row..row + dim];
        let depth = depths.iter().copied().min().unwrap_or(0);
        let one = match self.options.division {
            Division::AllLongest => None,
            Division::OneLongest => (0..dim)
                .filter(|&axis| depths[axis] == depth)
                .min_by_key(|&axis| self.cuts[axis]),
        };
        let sides = match one {
            Some(_) => 1,
            None => depths.iter().filter(|&&d| d == depth).count(),
        };
        let needed = 2 * sides;
        let unclamped = self.scipy.is_some();
        if let Some(scipy) = self.scipy {
            if level + 1 >= scipy.levels || usize::from(depth) + 1 >= MAX_DEPTH {
                return Err(StopReason::Levels);
            }
            if planned + needed > scipy.capacity {
                return Err(StopReason::Slots);
            }
        } else if planned + needed > self.options.max_evaluations {
            return Err(StopReason::Evaluations);
        }

        let delta = third(usize::from(depth) + 1);
        let limit = self.options.max_evaluations.saturating_mul(dim);
        let points = self.points.len();
        let centres = self.centres.len();
        grow(&mut self.centres, needed * dim, limit);
        self.centres.resize(centres + needed * dim, 0.0);
        self.points.resize(points + needed * dim, 0.0);
        let (old, new) = self.centres.split_at_mut(centres);
        let parent = &old[row..row + dim];
        let new_points = &mut self.points[points..];
        let mut moved = false;
        // First of the two children that the next axis has, if it is cut.
        let mut child = 0;
        for axis in 0..dim {
            let c = parent[axis];
            let x = place(&self.bounds, unclamped, axis, c);
            let rows = new
                .chunks_exact_mut(dim)
                .zip(new_points.chunks_exact_mut(dim));
            for (centre, point) in rows {
                (centre[axis], point[axis]) = (c, x);
            }
            let is_cut = match one {
                Some(one) => axis == one,
                None => depths[axis] == depth,
            };
            if !is_cut {
                continue;
            }
            for c in [c + delta, c - delta] {
                let x_of_child = place(&self.bounds, unclamped, axis, c);
                let at = child * dim + axis;
                (new[at], new_points[at]) = (c, x_of_child);
                moved |= x_of_child != x;
                child += 1;
            }
        }
        if !moved && !unclamped {
            self.points.truncate(points);
            self.centres.truncate(centres);
            return Ok(false);
        }
        if let Some(axis) = one {
            self.round_axes.push(axis as u32);
            self.cuts[axis] += 1;
        }
        Ok(true)
    }

    pub(super) fn finish(&mut self, reason: StopReason) {
        self.stop = Some(reason);
        self.round.clear();
        self.points.clear();
        self.centres.truncate(self.classes.len() * self.dim());
    }
}
