//! Which bars train and which bars test.

use std::ops::Range;

use crate::error::Error;

/// How bars are cut into folds. All lengths are numbers of bars.
///
/// Fold k tests `test` bars, which begin `k * step` bars after those of fold 0, and trains on bars
/// before them:
///
/// ```text
/// rolling, train 6, purge 1, test 2, step 3             anchored
/// fold 0   TTTTTT.tt                                    TTTTTT.tt
/// fold 1      TTTTTT.tt                                 TTTTTTTTT.tt
/// fold 2         TTTTTT.tt                              TTTTTTTTTTTT.tt
/// ```
///
/// Walk-forward analysis: Pardo, *The Evaluation and Optimization of Trading Strategies* (2008),
/// chapter 11. Purge and embargo: López de Prado, *Advances in Financial Machine Learning* (2018),
/// 7.4.1 and 7.4.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FoldOptions {
    /// Length of the train window; with `anchored` of the first one. At least 1.
    pub train: usize,
    /// Length of the test window, at least 1.
    pub test: usize,
    /// From one test window's start to the next one's. At least `test`: a bar is tested once.
    pub step: usize,
    /// Bars between a train window's end and its test window's start that do neither. Purging
    /// drops train bars whose outcome overlaps the test window in time; positions of this crate
    /// close in their own bar, so 0 will do unless forecasts or positions look over several bars.
    pub purge: usize,
    /// Bars right after a test window that no later fold trains on: what happened there may be
    /// correlated with the test. A fold that trains before it tests cannot learn from its own test
    /// window, so this only keeps folds apart from each other; 0 is usual, and with `step == test`
    /// it takes the first bars of every test window out of later training.
    pub embargo: usize,
    /// Every train window begins at bar 0 and grows, instead of rolling along.
    pub anchored: bool,
}

/// One fold: bars to train on and later bars to test on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Fold {
    /// The train window. It trains on these bars but for those in `embargoed`.
    pub train: Range<usize>,
    /// Parts of the train window that are left out as embargo of earlier folds: ascending, apart
    /// from each other, none empty.
    pub embargoed: Vec<Range<usize>>,
    /// The test window, after the train window.
    pub test: Range<usize>,
}

impl FoldOptions {
    /// The folds of `bars` bars, in order; as many as fit with a whole test window.
    ///
    /// # Errors
    /// A window of 0 bars; a step shorter than the test window; too few bars for one fold; an
    /// embargo that leaves a fold without a train bar.
    ///
    /// ```
    /// use trisect::FoldOptions;
    ///
    /// let options = FoldOptions { train: 6, test: 2, step: 3, purge: 1, embargo: 0, anchored: false };
    /// let folds = options.folds(13)?;
    /// assert_eq!(folds.len(), 2);
    /// assert_eq!((folds[1].train.clone(), folds[1].test.clone()), (3..9, 10..12));
    /// # Ok::<(), trisect::Error>(())
    /// ```
    pub fn folds(&self, bars: usize) -> Result<Vec<Fold>, Error> {
        for (name, length) in [("train", self.train), ("test", self.test)] {
            if length == 0 {
                return Err(Error::option(name, length, "at least 1 bar"));
            }
        }
        if self.step < self.test {
            let expected = "at least test, so that no bar is tested twice";
            return Err(Error::option("step", self.step, expected));
        }
        let first_test = self.train.saturating_add(self.purge);
        if first_test.saturating_add(self.test) > bars {
            let expected = "at least train + purge + test, so that one fold fits";
            return Err(Error::option("bars", bars, expected));
        }
        let mut folds: Vec<Fold> = Vec::new();
        // No overflow: the last start fits into `bars`.
        for start in (first_test..=bars - self.test).step_by(self.step) {
            let end = start - self.purge;
            let begin = if self.anchored { 0 } else { end - self.train };
            let train = begin..end;
            let embargoed = self.embargoed(&folds, &train);
            let left_out: usize = embargoed.iter().map(Range::len).sum();
            if left_out == train.len() {
                let value = format!("{} at fold {}", self.embargo, folds.len());
                let expected = "shorter: it leaves this fold without a train bar";
                return Err(Error::option("embargo", value, expected));
            }
            folds.push(Fold {
                train,
                embargoed,
                test: start..start + self.test,
            });
        }
        Ok(folds)
    }

    /// The bars of a train window that follow a test window of `earlier` too closely.
    fn embargoed(&self, earlier: &[Fold], train: &Range<usize>) -> Vec<Range<usize>> {
        let mut embargoed: Vec<Range<usize>> = Vec::new();
        if self.embargo == 0 {
            return embargoed;
        }
        let end = |fold: &Fold| fold.test.end.saturating_add(self.embargo);
        let first = earlier.partition_point(|fold| end(fold) <= train.start);
        for fold in &earlier[first..] {
            let start = fold.test.end.max(train.start);
            let part = start..end(fold).min(train.end);
            if part.is_empty() {
                break;
            }
            match embargoed.last_mut() {
                Some(last) if last.end >= part.start => last.end = part.end,
                _ => embargoed.push(part),
            }
        }
        embargoed
    }
}

impl Fold {
    /// The bars that it trains on: the train window without its embargoed parts, ascending, none
    /// empty.
    pub fn train_parts(&self) -> Vec<Range<usize>> {
        let mut parts = Vec::with_capacity(self.embargoed.len() + 1);
        let mut start = self.train.start;
        for hole in &self.embargoed {
            parts.push(start..hole.start);
            start = hole.end;
        }
        parts.push(start..self.train.end);
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// The bars, out of `bars`, on which no fold trains or tests: ascending ranges, none empty.
    pub fn unused(folds: &[Self], bars: usize) -> Vec<Range<usize>> {
        let mut used: Vec<Range<usize>> = folds
            .iter()
            .flat_map(|fold| fold.train_parts().into_iter().chain([fold.test.clone()]))
            .collect();
        used.sort_unstable_by_key(|range| range.start);
        let mut unused = Vec::new();
        let mut next = 0;
        for range in used {
            if range.start > next {
                unused.push(next..range.start);
            }
            next = next.max(range.end);
        }
        if next < bars {
            unused.push(next..bars);
        }
        unused
    }
}
