//! DIRECT, slow and literal: what the library's one is compared with.
//!
//! One evaluation at a time, real sorted lists per class, every class compared with every other.
//! Follows Gablonsky's program step by step; the three deviations that the library documents
//! (hard cap, infeasible values, retired rectangles) are marked.

use std::collections::BTreeMap;

use trisect::{Bounds, DirectOptions, Division, Selection, SizeMeasure, StopReason};

/// Everything observable of a run.
#[derive(Debug)]
pub struct Run {
    /// Points and raw values in order of evaluation.
    pub trace: Vec<(Vec<f64>, f64)>,
    pub stop: StopReason,
    pub iterations: usize,
    /// Evaluation of the best feasible point.
    pub best: Option<usize>,
}

struct Rectangle {
    centre: Vec<f64>,
    depths: Vec<usize>,
    /// Value that the lists are sorted by.
    key: f64,
}

struct Reference<'a> {
    bounds: &'a Bounds,
    options: &'a DirectOptions,
    objective: &'a mut dyn FnMut(&[f64]) -> f64,
    rectangles: Vec<Rectangle>,
    trace: Vec<(Vec<f64>, f64)>,
    /// Level to list, ascending in the key.
    lists: BTreeMap<usize, Vec<usize>>,
    /// scipy's minf and minpos.
    minimum: (f64, usize),
    best: Option<usize>,
    worst: f64,
    cuts: Vec<usize>,
    eps: f64,
    /// scipy's slots, budget and levels.
    slots: usize,
    budget: usize,
    levels: usize,
}

/// `3^-depth`.
fn third(depth: usize) -> f64 {
    let mut power = 1.0;
    for _ in 0..depth.min(700) {
        power *= 3.0;
    }
    1.0 / power
}

pub fn run(
    bounds: &Bounds,
    options: &DirectOptions,
    objective: &mut dyn FnMut(&[f64]) -> f64,
) -> Run {
    let dim = bounds.dim();
    let maximum = options.max_evaluations;
    let slots = (maximum + 1000 + maximum / 2).min((1 << 30) / (12 * dim + 20));
    let mut reference = Reference {
        bounds,
        options,
        objective,
        rectangles: Vec::new(),
        trace: Vec::new(),
        lists: BTreeMap::new(),
        minimum: (0.0, 0),
        best: None,
        worst: f64::NEG_INFINITY,
        cuts: vec![0; dim],
        eps: options.eps.abs(),
        slots,
        budget: 2 * (slots - 1000) / 3,
        levels: options.max_iterations.map_or(slots / 5, |i| i + 1000),
    };
    let (stop, iterations) = reference.search();
    Run {
        stop,
        iterations,
        best: reference.best,
        trace: reference.trace,
    }
}

impl Reference<'_> {
    fn scipy(&self) -> bool {
        self.options.selection == Selection::ScipyCompat
    }

    fn search(&mut self) -> (StopReason, usize) {
        let dim = self.bounds.dim();
        self.evaluate(vec![0.5; dim], vec![0; dim]);
        let sides = self.sides_to_cut(0);
        if let Err(reason) = self.room(0, &sides) {
            return (reason, 0);
        }
        if self.is_stuck(0, &sides) {
            return (StopReason::NoProgress, 0);
        }
        self.divide(0, None, &sides);

        let mut t = 2;
        loop {
            if self.options.max_iterations.is_some_and(|limit| t >= limit) {
                return (StopReason::Iterations, t);
            }
            let mut divided = 0;
            let mut ending = None;
            // Deviation: a selection of which all is retired is made anew.
            while divided == 0 && ending.is_none() {
                let selected = match self.select() {
                    Ok(selected) if selected.is_empty() => return (StopReason::NoProgress, t - 1),
                    Ok(selected) => selected,
                    Err(reason) => return (reason, t),
                };
                // Sides are chosen, and retired rectangles leave, before anything is divided.
                let mut planned = Vec::new();
                let mut points = 0;
                for (level, r) in selected {
                    let sides = self.sides_to_cut(r);
                    if let Err(reason) = self.room_after(level, points, &sides) {
                        ending = Some(reason);
                        break;
                    }
                    if self.is_stuck(r, &sides) {
                        self.lists
                            .get_mut(&level)
                            .unwrap()
                            .retain(|&other| other != r);
                        continue;
                    }
                    for &axis in &sides {
                        self.cuts[axis] += 1;
                    }
                    points += 2 * sides.len();
                    planned.push((level, r, sides));
                }
                for (level, r, sides) in planned {
                    self.divide(r, Some(level), &sides);
                    divided += 1;
                }
            }
            match ending {
                Some(reason @ (StopReason::Slots | StopReason::Levels)) => return (reason, t),
                Some(reason) if divided == 0 => return (reason, t - 1),
                _ => {}
            }
            if let Some(reason) = self.finished() {
                return (reason, t);
            }
            if self.options.eps < 0.0 && (self.scipy() || self.best.is_some()) {
                let scale = 1e-4 * self.lowest().abs();
                self.eps = scale.max(self.options.eps.abs());
            }
            if let Some(reason) = ending {
                return (reason, t);
            }
            let used_up = if self.scipy() {
                self.trace.len() > self.budget
            } else {
                self.trace.len() >= self.options.max_evaluations
            };
            if used_up {
                return (StopReason::Evaluations, t);
            }
            t += 1;
        }
    }

    /// The value that the stop tests and the eps test use.
    fn lowest(&self) -> f64 {
        match self.best {
            _ if self.scipy() => self.minimum.0,
            Some(best) => self.trace[best].1,
            None => f64::INFINITY,
        }
    }

    fn place(&self, axis: usize, c: f64) -> f64 {
        let (low, high) = (
            self.bounds.low(axis).unwrap(),
            self.bounds.high(axis).unwrap(),
        );
        let range = high - low;
        let x = (c + low / range) * range;
        if self.scipy() { x } else { x.clamp(low, high) }
    }

    fn evaluate(&mut self, centre: Vec<f64>, depths: Vec<usize>) -> usize {
        let x: Vec<f64> = (0..centre.len())
            .map(|i| self.place(i, centre[i]))
            .collect();
        let value = (self.objective)(&x);
        let index = self.trace.len();
        self.trace.push((x, value));
        if index == 0 || value < self.minimum.0 {
            self.minimum = (value, index);
        }
        if value.is_finite() {
            if self.best.is_none_or(|best| value < self.trace[best].1) {
                self.best = Some(index);
            }
            self.worst = self.worst.max(value);
        }
        // Deviation: infeasible values are one value, larger than all.
        let key = if self.scipy() || value.is_finite() {
            value
        } else {
            f64::INFINITY
        };
        self.rectangles.push(Rectangle {
            centre,
            depths,
            key,
        });
        index
    }

    fn level(&self, r: usize) -> usize {
        let depths = &self.rectangles[r].depths;
        let least = *depths.iter().min().unwrap();
        match self.options.size_measure {
            SizeMeasure::LongestSide => least,
            _ => least * depths.len() + depths.iter().filter(|&&d| d != least).count(),
        }
    }

    fn size(&self, level: usize) -> f64 {
        let dim = self.bounds.dim();
        match self.options.size_measure {
            SizeMeasure::LongestSide => third(level),
            _ => {
                let (block, j) = (level / dim, level % dim);
                let width = 0.5 * ((dim - j) as f64 + j as f64 / 9.0).sqrt();
                let mut power = 1.0;
                for _ in 0..block {
                    power *= 3.0;
                }
                width / power
            }
        }
    }

    fn sides_to_cut(&self, r: usize) -> Vec<usize> {
        let depths = &self.rectangles[r].depths;
        let least = *depths.iter().min().unwrap();
        let mut sides: Vec<usize> = (0..depths.len()).filter(|&i| depths[i] == least).collect();
        if self.options.division == Division::OneLongest {
            sides.sort_by_key(|&axis| self.cuts[axis]);
            sides.truncate(1);
        }
        sides
    }

    fn room(&self, level: usize, sides: &[usize]) -> Result<(), StopReason> {
        self.room_after(level, 0, sides)
    }

    /// Whether a division fits behind `planned` further evaluations.
    fn room_after(&self, level: usize, planned: usize, sides: &[usize]) -> Result<(), StopReason> {
        let needed = self.trace.len() + planned + 2 * sides.len();
        if self.scipy() {
            if level + 1 >= self.levels {
                return Err(StopReason::Levels);
            }
            if needed > self.slots - 1 {
                return Err(StopReason::Slots);
            }
        } else if needed > self.options.max_evaluations {
            // Deviation: the budget is a hard cap.
            return Err(StopReason::Evaluations);
        }
        Ok(())
    }

    /// Deviation: a rectangle whose new points equal its centre is retired.
    fn is_stuck(&self, r: usize, sides: &[usize]) -> bool {
        let rectangle = &self.rectangles[r];
        let delta = third(rectangle.depths[sides[0]] + 1);
        !self.scipy()
            && sides.iter().all(|&axis| {
                let c = rectangle.centre[axis];
                let x = self.place(axis, c);
                self.place(axis, c + delta) == x && self.place(axis, c - delta) == x
            })
    }

    fn divide(&mut self, r: usize, level: Option<usize>, sides: &[usize]) {
        if let Some(level) = level {
            self.lists
                .get_mut(&level)
                .unwrap()
                .retain(|&other| other != r);
        } else {
            for &axis in sides {
                self.cuts[axis] += 1;
            }
        }
        let delta = third(self.rectangles[r].depths[sides[0]] + 1);
        let mut pairs = Vec::new();
        for &axis in sides {
            let mut plus = self.rectangles[r].centre.clone();
            plus[axis] += delta;
            let mut minus = self.rectangles[r].centre.clone();
            minus[axis] -= delta;
            let depths = self.rectangles[r].depths.clone();
            pairs.push((
                self.evaluate(plus, depths.clone()),
                self.evaluate(minus, depths),
            ));
        }
        // Sides by the better value of their pair.
        let mut ranking: Vec<(f64, usize)> = Vec::new();
        for (i, &(plus, minus)) in pairs.iter().enumerate() {
            let (p, m) = (self.rectangles[plus].key, self.rectangles[minus].key);
            let w = if m < p { m } else { p };
            let mut at = ranking.len();
            if !ranking.is_empty() && ranking[0].0 > w {
                at = 0;
            } else {
                for (k, &(other, _)) in ranking.iter().enumerate().skip(1) {
                    if w < other {
                        at = k;
                        break;
                    }
                }
            }
            ranking.insert(at, (w, i));
        }
        for k in 0..ranking.len() {
            let axis = sides[ranking[k].1];
            self.rectangles[r].depths[axis] += 1;
            for &(_, later) in &ranking[k..] {
                let (plus, minus) = pairs[later];
                self.rectangles[plus].depths[axis] += 1;
                self.rectangles[minus].depths[axis] += 1;
            }
        }
        for (plus, minus) in pairs {
            self.insert_pair(plus, minus);
        }
        self.insert(r);
    }

    /// Walks while the next is not larger; returns the index of the rectangle before the new.
    fn scan(list: &mut Vec<usize>, keys: &[Rectangle], start: usize, r: usize) -> usize {
        let mut at = start;
        while at + 1 < list.len()
            && !matches!(
                keys[r].key.partial_cmp(&keys[list[at + 1]].key),
                Some(std::cmp::Ordering::Less)
            )
        {
            at += 1;
        }
        list.insert(at + 1, r);
        at
    }

    fn insert_pair(&mut self, plus: usize, minus: usize) {
        let level = self.level(plus);
        let keys = &self.rectangles;
        let list = self.lists.entry(level).or_default();
        let (p, m) = (keys[plus].key, keys[minus].key);
        let Some(&head) = list.first() else {
            list.extend(if m < p { [minus, plus] } else { [plus, minus] });
            return;
        };
        let h = keys[head].key;
        if m < p {
            if m < h {
                list.insert(0, minus);
                if p < h {
                    list.insert(1, plus);
                } else {
                    Self::scan(list, keys, 1, plus);
                }
            } else {
                let before = Self::scan(list, keys, 0, minus);
                Self::scan(list, keys, before, plus);
            }
        } else if p < h {
            list.insert(0, plus);
            if h < m {
                Self::scan(list, keys, 1, minus);
            } else {
                list.insert(1, minus);
            }
        } else {
            let before = Self::scan(list, keys, 0, plus);
            Self::scan(list, keys, before, minus);
        }
    }

    fn insert(&mut self, r: usize) {
        let level = self.level(r);
        let keys = &self.rectangles;
        let list = self.lists.entry(level).or_default();
        match list.first() {
            None => list.push(r),
            Some(&head) if keys[r].key < keys[head].key => list.insert(0, r),
            Some(_) => {
                Self::scan(list, keys, 0, r);
            }
        }
    }

    /// `(level, rectangle)` to divide, in order.
    fn select(&self) -> Result<Vec<(usize, usize)>, StopReason> {
        struct Head {
            level: usize,
            rectangle: usize,
            value: f64,
            size: f64,
            alive: bool,
        }
        let mut heads: Vec<Head> = self
            .lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(&level, list)| {
                let mut value = self.rectangles[list[0]].key;
                if !self.scipy() && value.is_infinite() {
                    // Deviation: an infeasible head counts as the worst value seen.
                    value = if self.best.is_some() { self.worst } else { 0.0 };
                }
                Head {
                    level,
                    rectangle: list[0],
                    value,
                    size: self.size(level),
                    alive: true,
                }
            })
            .collect();
        let all = heads.len();
        if self.options.selection != Selection::Aggressive {
            let minf = match self.best {
                None if !self.scipy() => 0.0,
                _ => self.lowest(),
            };
            for j in (0..all).rev() {
                let (mut lo, mut hi) = (f64::INFINITY, 0.0);
                let mut keep = true;
                for i in (0..j).chain(j + 1..all) {
                    if !heads[i].alive {
                        continue;
                    }
                    let slope = (heads[i].value - heads[j].value) / (heads[i].size - heads[j].size);
                    if slope <= 0.0 {
                        keep = false;
                    }
                    if i < j && slope < lo {
                        lo = slope;
                    }
                    if i > j && slope > hi {
                        hi = slope;
                    }
                }
                if keep {
                    if hi <= lo {
                        let promised = heads[j].value - lo * heads[j].size;
                        if promised > (minf - self.eps * minf.abs()).min(minf) {
                            keep = false;
                        }
                    } else {
                        keep = self.scipy();
                    }
                }
                heads[j].alive = keep;
            }
        }
        heads.retain(|head| head.alive);
        let mut selected: Vec<_> = heads.iter().map(|h| (h.level, h.rectangle)).collect();
        if self.options.size_measure == SizeMeasure::HalfDiagonal
            && self.options.selection != Selection::Aggressive
        {
            let mut entries = all;
            for head in &heads {
                let best = self.rectangles[head.rectangle].key;
                for &r in &self.lists[&head.level][1..] {
                    let margin = self.rectangles[r].key - best;
                    if margin.is_nan() || margin > 1e-13 {
                        break;
                    }
                    entries += 1;
                    if self.scipy() && entries > 5000 {
                        return Err(StopReason::Levels);
                    }
                    selected.push((head.level, r));
                }
            }
        }
        Ok(selected)
    }

    /// Stop tests that look at the best rectangle.
    fn finished(&self) -> Option<StopReason> {
        let r = if self.scipy() {
            self.minimum.1
        } else {
            self.best?
        };
        let depths = &self.rectangles[r].depths;
        let cuts: usize = depths.iter().sum();
        if self.options.volume_tolerance > 0.0 && third(cuts) <= self.options.volume_tolerance {
            return Some(StopReason::Volume);
        }
        let size = self.size(self.level(r));
        if self.options.side_tolerance > 0.0 && size <= self.options.side_tolerance {
            return Some(StopReason::SideLength);
        }
        let target = self.options.target?;
        let unit = if target.value == 0.0 {
            1.0
        } else {
            target.value.abs()
        };
        ((self.lowest() - target.value) / unit <= target.relative_tolerance)
            .then_some(StopReason::Target)
    }
}
