//! Differential evolution (best1bin): global search of a box at random, as ask/tell.
//!
//! A population of points is evaluated. Every iteration breeds one trial per member: the best
//! member plus the difference of two others, scaled, mixed coordinate by coordinate with the
//! member itself. A trial that is no worse takes its member's place.
//!
//! Data: member `m` is row `m` of `members` (members, dim), in the unit cube; `values[m]` is its
//! value, infinite where it is infeasible or not yet evaluated. Member 0 is the best after every
//! round. `trials` holds the planned round, row `m` for member `m`; of the first round they are the
//! initial population, which replaces members of infinite value.
//!
//! Rounds: all trials of an iteration are bred from the population as the iteration found it, so
//! they are asked at once (`updating='deferred'` in scipy).
//!
//! Random numbers are one stream per search that starts from the seed alone. So all searches of a
//! batch begin with the same population, and what a group finds depends neither on its number nor
//! on what else is in the batch.
//!
//! Sources: Storn and Price, "Differential Evolution - A Simple and Efficient Heuristic for Global
//! Optimization over Continuous Spaces", J. Global Optim. 11 (1997). Defaults, initial population,
//! choice of members, treatment of bounds, and the test of convergence are those of
//! `scipy.optimize.differential_evolution` 1.17, which this follows in distribution, not number by
//! number: its generators are numpy's. Written here because no crate fits: fcmaes-core 0.2 has
//! ask/tell, but its algorithm reseeds old members, varies the crossover and knows no convergence;
//! basin 3.2 has the algorithm and evaluates whole populations, but from a driver of its own, one
//! search after the other; differential-evolution 0.2 and heuropt 0.11 have neither.

use crate::direct::{Best, Bounds, StopReason};
use crate::error::Error;

/// Rules and limits of a search by differential evolution. [`Evolution::new`] checks them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EvolutionOptions {
    /// Members of the population per axis (scipy's `popsize`), 1 to
    /// [`EvolutionOptions::MAX_POPULATION`]. There are never fewer than 5 members in all.
    pub population: usize,
    /// Iterations after the initial population (scipy's `maxiter`), 1 to
    /// [`EvolutionOptions::MAX_ITERATIONS`].
    pub max_iterations: usize,
    /// Number of evaluations, never exceeded, at least 1; `None` for no limit but that of the
    /// iterations. What is left at the end goes to the first members of a last iteration.
    pub max_evaluations: Option<usize>,
    /// Stops when the standard deviation of the population's values is at most
    /// `absolute_tolerance + relative_tolerance * |their mean|` (scipy's `tol`). Finite and at
    /// least 0.
    pub relative_tolerance: f64,
    /// See `relative_tolerance` (scipy's `atol`). Finite and at least 0.
    pub absolute_tolerance: f64,
    /// Smallest and largest factor on the difference of two members,
    /// `0 <= smallest <= largest < 2`. Each iteration draws its own ("dithering").
    pub mutation: (f64, f64),
    /// Probability that a trial takes a coordinate from the mutant, 0 to 1. One coordinate, drawn
    /// at random, always comes from there.
    pub recombination: f64,
    /// Of the random numbers: the same seed leads to the same search.
    pub seed: u64,
}

impl EvolutionOptions {
    /// Largest `population`.
    pub const MAX_POPULATION: usize = 65_536;

    /// Largest `max_iterations`: 2^30.
    pub const MAX_ITERATIONS: usize = 1 << 30;

    /// The defaults of `scipy.optimize.differential_evolution`: 30 members in the plane, until
    /// their values agree within 1 %. Measured on 300 windows of 200 skilled bars, four seeds: 450
    /// evaluations each, a quality of 0.990, where DIRECT with 500 reaches 0.998.
    pub const fn production() -> Self {
        Self {
            population: 15,
            max_iterations: 1000,
            max_evaluations: None,
            relative_tolerance: 0.01,
            absolute_tolerance: 0.0,
            mutation: (0.5, 1.0),
            recombination: 0.7,
            seed: 0,
        }
    }

    /// The defaults with 100 evaluations and 8 members in the plane. Measured on 300 windows of
    /// 200 skilled bars, three seeds: a quality of 0.94; with 10 members 0.93, with 30 members
    /// 0.81. DIRECT with 100 evaluations reaches 0.986.
    pub const fn fast() -> Self {
        Self {
            population: 4,
            max_evaluations: Some(100),
            ..Self::production()
        }
    }

    /// Whether every field is in its documented range.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for the first field that is not.
    pub fn check(&self) -> Result<(), Error> {
        if !(1..=Self::MAX_POPULATION).contains(&self.population) {
            return Err(Error::option(
                "population",
                self.population,
                "1 to 65536 members per axis",
            ));
        }
        if !(1..=Self::MAX_ITERATIONS).contains(&self.max_iterations) {
            return Err(Error::option(
                "max_iterations",
                self.max_iterations,
                "1 to 2^30 (1073741824)",
            ));
        }
        if self.max_evaluations == Some(0) {
            return Err(Error::option(
                "max_evaluations",
                0,
                "at least 1, or None for no limit",
            ));
        }
        for (name, value) in [
            ("relative_tolerance", self.relative_tolerance),
            ("absolute_tolerance", self.absolute_tolerance),
        ] {
            if !(0.0..f64::INFINITY).contains(&value) {
                return Err(Error::option(name, value, "finite and at least 0"));
            }
        }
        let (smallest, largest) = self.mutation;
        if !(0.0 <= smallest && smallest <= largest && largest < 2.0) {
            let value = format!("({smallest}, {largest})");
            let expected = "(smallest, largest) with 0 <= smallest <= largest < 2";
            return Err(Error::option("mutation", value, expected));
        }
        if !(0.0..=1.0).contains(&self.recombination) {
            return Err(Error::option("recombination", self.recombination, "0 to 1"));
        }
        Ok(())
    }

    /// Members of a population.
    fn members(&self, dim: usize) -> usize {
        // best1bin needs 3; scipy has at least 5 for the sake of its other strategies.
        self.population.saturating_mul(dim).max(5)
    }
}

impl Default for EvolutionOptions {
    fn default() -> Self {
        Self::production()
    }
}

/// Coordinates that a population may hold: 512 MiB.
const MAX_COORDINATES: usize = 1 << 26;

/// A search by differential evolution that minimises.
///
/// The caller evaluates: [`ask`](Evolution::ask) gives all points of a round,
/// [`tell`](Evolution::tell) takes their values, until `ask` gives none. The same seed and values
/// lead to the same points, bit for bit, on every machine. The strategy is best1bin, in the terms
/// and with the defaults of `scipy.optimize.differential_evolution`, whose results it has in
/// distribution with `updating='deferred'` and `polish=False`.
///
/// A value that is NaN or infinite marks an infeasible point: any other takes its place, and the
/// search does not converge before all members are feasible.
///
/// An iteration costs O(members * dim) and allocates nothing.
///
/// ```
/// use trisect::{Bounds, Evolution, EvolutionOptions, StopReason};
///
/// let bounds = Bounds::symmetric(2, 1.0)?;
/// let options = EvolutionOptions { seed: 7, ..EvolutionOptions::production() };
/// let mut search = Evolution::new(bounds, options)?;
/// while search.stop().is_none() {
///     let values: Vec<f64> = search
///         .ask()
///         .chunks(2)
///         .map(|x| 1.0 + (x[0] - 0.3).powi(2) + (x[1] + 0.1).powi(2))
///         .collect();
///     search.tell(&values)?;
/// }
/// assert_eq!(search.stop(), Some(StopReason::Converged));
/// let best = search.best().unwrap();
/// assert!((best.x[0] - 0.3).abs() < 0.1 && (best.x[1] + 0.1).abs() < 0.1);
/// # Ok::<(), trisect::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Evolution {
    bounds: Bounds,
    options: EvolutionOptions,
    stream: Stream,
    /// Number of the iteration that is planned or was the last; 0 is the initial population.
    iteration: usize,
    evaluations: usize,
    stop: Option<StopReason>,
    /// `(members, dim)`, unit cube.
    members: Vec<f64>,
    /// `(members)`.
    values: Vec<f64>,
    /// `(points, dim)`, unit cube.
    trials: Vec<f64>,
    /// The trials in box coordinates.
    points: Vec<f64>,
    /// Value and evaluation of the best point; the value is infinite as long as there is none.
    best: (f64, usize),
    /// `(dim)`, as evaluated.
    best_x: Vec<f64>,
}

impl Evolution {
    /// A search that has evaluated nothing yet.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], see [`EvolutionOptions::check`]; or the population would hold more
    /// than 2^26 coordinates.
    pub fn new(bounds: Bounds, options: EvolutionOptions) -> Result<Self, Error> {
        options.check()?;
        let dim = bounds.dim();
        let members = options.members(dim);
        if members.saturating_mul(dim) > MAX_COORDINATES {
            return Err(Error::option(
                "population",
                options.population,
                "small enough for 2^26 coordinates in all, population * dim * dim",
            ));
        }
        let mut search = Self {
            stream: Stream::new(options.seed),
            iteration: 0,
            evaluations: 0,
            stop: None,
            members: vec![0.0; members * dim],
            values: vec![f64::INFINITY; members],
            trials: Vec::with_capacity(members * dim),
            points: Vec::with_capacity(members * dim),
            best: (f64::INFINITY, 0),
            best_x: vec![0.0; dim],
            bounds,
            options,
        };
        search.plan_first();
        Ok(search)
    }

    /// Goes back to the beginning and keeps the memory: for many searches in a row.
    pub fn restart(&mut self) {
        self.stream = Stream::new(self.options.seed);
        self.iteration = 0;
        self.evaluations = 0;
        self.stop = None;
        self.values.fill(f64::INFINITY);
        self.best = (f64::INFINITY, 0);
        self.plan_first();
    }

    /// All points of the round, `(points, dim)`, row-major, in box coordinates; empty when the
    /// search has stopped. The same points until their values are told.
    ///
    /// The first round is the initial population, a latin hypercube.
    pub fn ask(&self) -> &[f64] {
        &self.points
    }

    /// Takes the values of the asked points, in their order, and plans the next round. NaN and
    /// infinite values mark infeasible points.
    ///
    /// # Errors
    /// [`Error::ValueCount`] if there is not one value per asked point; nothing changes then.
    pub fn tell(&mut self, values: &[f64]) -> Result<(), Error> {
        let expected = self.points.len() / self.dim();
        if values.len() != expected {
            return Err(Error::ValueCount {
                expected,
                got: values.len(),
            });
        }
        if self.stop.is_none() {
            self.select(values);
            match self.reason_to_stop() {
                Some(reason) => self.finish(reason),
                None => self.plan_next(),
            }
        }
        Ok(())
    }

    /// Why the search has ended; `None` while it goes on. Known as soon as the last round is
    /// told.
    pub fn stop(&self) -> Option<StopReason> {
        self.stop
    }

    /// Ends the search; the round that was asked is forgotten. For reasons the search cannot
    /// see, the clock and the observer. Does nothing if the search has ended already.
    pub fn stop_now(&mut self, reason: StopReason) {
        if self.stop.is_none() {
            self.iteration = self.iterations();
            self.finish(reason);
        }
    }

    /// The best feasible point so far; the earliest of equals.
    pub fn best(&self) -> Option<Best<'_>> {
        let (value, evaluation) = self.best;
        value.is_finite().then_some(Best {
            x: &self.best_x,
            value,
            evaluation,
        })
    }

    /// Number of values told.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// Iterations told, the initial population not counted. With scipy (`nit`) a search stopped
    /// by [`StopReason::Evaluations`] has one more, the one it did not make.
    pub fn iterations(&self) -> usize {
        match self.stop {
            Some(_) => self.iteration,
            None => self.iteration.saturating_sub(1),
        }
    }

    /// Number of axes.
    pub fn dim(&self) -> usize {
        self.bounds.dim()
    }

    /// The box.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Rules and limits, as given.
    pub fn options(&self) -> &EvolutionOptions {
        &self.options
    }

    /// Heap memory held, in bytes.
    pub fn bytes(&self) -> usize {
        let numbers = self.members.capacity()
            + self.values.capacity()
            + self.trials.capacity()
            + self.points.capacity()
            + self.best_x.capacity();
        self.bounds.bytes() + size_of::<f64>() * numbers
    }

    /// Each trial that is no worse than its member takes its place.
    fn select(&mut self, values: &[f64]) {
        let dim = self.dim();
        let rows = self.members.chunks_exact_mut(dim);
        let members = rows.zip(&mut self.values);
        let trials = self.trials.chunks_exact(dim).zip(values);
        let points = self.points.chunks_exact(dim);
        for (((row, value), (trial, &told)), point) in members.zip(trials).zip(points) {
            let told = if told.is_finite() {
                told
            } else {
                f64::INFINITY
            };
            if told <= *value {
                row.copy_from_slice(trial);
                *value = told;
            }
            if told < self.best.0 {
                self.best = (told, self.evaluations);
                self.best_x.copy_from_slice(point);
            }
            self.evaluations += 1;
        }
        let mut best = 0;
        for (member, value) in self.values.iter().enumerate() {
            if *value < self.values[best] {
                best = member;
            }
        }
        if best > 0 {
            self.values.swap(0, best);
            let (first, rest) = self.members.split_at_mut(best * dim);
            first[..dim].swap_with_slice(&mut rest[..dim]);
        }
    }

    fn reason_to_stop(&self) -> Option<StopReason> {
        if self.iteration > 0 && self.converged() {
            Some(StopReason::Converged)
        } else if self.options.max_evaluations == Some(self.evaluations) {
            Some(StopReason::Evaluations)
        } else if self.iteration == self.options.max_iterations {
            Some(StopReason::Iterations)
        } else {
            None
        }
    }

    /// Sums run over the members in order, so that the test is the same everywhere.
    fn converged(&self) -> bool {
        let count = self.values.len() as f64;
        let mean = self.values.iter().sum::<f64>() / count;
        let square = |value: &f64| (value - mean) * (value - mean);
        let variance = self.values.iter().map(square).sum::<f64>() / count;
        let tolerance =
            self.options.absolute_tolerance + self.options.relative_tolerance * mean.abs();
        mean.is_finite() && variance.sqrt() <= tolerance
    }

    fn finish(&mut self, reason: StopReason) {
        self.stop = Some(reason);
        self.trials.clear();
        self.points.clear();
    }

    /// A latin hypercube: every axis is cut into as many slices as there are members, and each
    /// member has a slice of its own.
    fn plan_first(&mut self) {
        let (dim, members) = (self.dim(), self.values.len());
        self.trials.clear();
        self.trials.resize(members * dim, 0.0);
        for axis in 0..dim {
            let trials = &mut self.trials[axis..];
            for slice in 0..members {
                trials[slice * dim] = (slice as f64 + self.stream.unit()) / members as f64;
            }
            // Fisher and Yates.
            for last in (1..members).rev() {
                trials.swap(last * dim, self.stream.below(last + 1) * dim);
            }
        }
        let affordable = self.affordable();
        self.trials.truncate(affordable * dim);
        self.place_trials();
    }

    /// Breeds one trial per member.
    fn plan_next(&mut self) {
        self.iteration += 1;
        let (dim, members) = (self.dim(), self.values.len());
        let (smallest, largest) = self.options.mutation;
        let factor = smallest + (largest - smallest) * self.stream.unit();
        self.trials.clear();
        for member in 0..self.affordable() {
            let (one, other) = self.stream.two_others(member, members);
            let sure = self.stream.below(dim);
            for axis in 0..dim {
                let of = |member: usize| self.members[member * dim + axis];
                let crosses = self.stream.unit() < self.options.recombination;
                let coordinate = if crosses || axis == sure {
                    let mutant = of(0) + factor * (of(one) - of(other));
                    // Drawn anew outside the box: clamping would crowd its faces.
                    if (0.0..=1.0).contains(&mutant) {
                        mutant
                    } else {
                        self.stream.unit()
                    }
                } else {
                    of(member)
                };
                self.trials.push(coordinate);
            }
        }
        self.place_trials();
    }

    /// Members whose trials can still be evaluated.
    fn affordable(&self) -> usize {
        let left = self.options.max_evaluations.unwrap_or(usize::MAX) - self.evaluations;
        left.min(self.values.len())
    }

    fn place_trials(&mut self) {
        let (dim, bounds) = (self.dim(), &self.bounds);
        let trials = self.trials.iter().enumerate();
        self.points.clear();
        self.points
            .extend(trials.map(|(index, &c)| bounds.scale_inside(index % dim, c)));
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a
/// few lines, the same numbers everywhere, and far more than the some thousand numbers of a search
/// ask for.
#[derive(Debug, Clone)]
struct Stream(u64);

impl Stream {
    /// Seeds are mixed first, since neighbours among them are what people use.
    fn new(seed: u64) -> Self {
        let mixed = Self(seed).next();
        Self(mixed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..n`, but for a bias of at most `n / 2^64`.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Two of `0..n`, different from each other and from `member`.
    fn two_others(&mut self, member: usize, n: usize) -> (usize, usize) {
        let mut one = self.below(n - 1);
        one += usize::from(one >= member);
        let (least, most) = (member.min(one), member.max(one));
        let mut other = self.below(n - 2);
        other += usize::from(other >= least);
        other += usize::from(other >= most);
        (one, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_others_are_drawn_evenly() {
        let mut stream = Stream::new(1);
        let n = 6;
        for member in 0..n {
            let mut counts = [[0_u32; 6]; 6];
            for _ in 0..2_000 {
                let (one, other) = stream.two_others(member, n);
                counts[one][other] += 1;
            }
            for (one, row) in counts.iter().enumerate() {
                for (other, &count) in row.iter().enumerate() {
                    let allowed = one != other && one != member && other != member;
                    // 20 pairs of a hundred each; five standard deviations are 49.
                    assert_eq!(count > 0, allowed);
                    assert!(!allowed || (51..150).contains(&count), "{count}");
                }
            }
        }
    }

    #[test]
    fn a_trial_of_the_same_value_takes_its_members_place() {
        let bounds = Bounds::symmetric(2, 1.0).unwrap();
        let mut search = Evolution::new(bounds, EvolutionOptions::production()).unwrap();
        let values: Vec<f64> = (0..30).map(|member| f64::from(member + 1)).collect();
        for _ in 0..3 {
            let trials = search.trials.clone();
            search.tell(&values).unwrap();
            assert_eq!(search.members, trials);
            assert_ne!(search.trials, trials);
        }
    }

    #[test]
    fn the_spread_of_values_is_that_of_the_population_itself() {
        // Standard deviation 0.4; as a sample of something larger it would be 0.447.
        for (absolute_tolerance, stop) in [(0.39, None), (0.41, Some(StopReason::Converged))] {
            let options = EvolutionOptions {
                population: 5,
                relative_tolerance: 0.0,
                absolute_tolerance,
                ..EvolutionOptions::production()
            };
            let bounds = Bounds::symmetric(1, 1.0).unwrap();
            let mut search = Evolution::new(bounds, options).unwrap();
            for expected in [None, stop] {
                search.tell(&[1.0, 1.0, 1.0, 1.0, 2.0]).unwrap();
                assert_eq!(search.stop(), expected);
            }
        }
    }

    #[test]
    fn the_first_round_is_a_latin_hypercube() {
        for (dim, population, members) in [(1, 1, 5), (2, 15, 30), (3, 4, 12)] {
            let options = EvolutionOptions {
                population,
                ..EvolutionOptions::production()
            };
            let bounds = Bounds::cube(dim, 0.0, members as f64).unwrap();
            let search = Evolution::new(bounds, options).unwrap();
            for axis in 0..dim {
                let coordinates = search.ask().iter().skip(axis).step_by(dim);
                let mut slices: Vec<usize> = coordinates.map(|&c| c as usize).collect();
                assert!(!slices.is_sorted());
                slices.sort_unstable();
                assert_eq!(slices, (0..members).collect::<Vec<_>>());
            }
        }
    }
}
