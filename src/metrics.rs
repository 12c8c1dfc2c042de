//! What returns per bar are judged by.
//!
//! Conventions are those of empyrical (empyrical-reloaded 0.7.1) and quantstats (0.0.86), which agree
//! on these, and are tested against them to 1e-9. Where they give NaN or infinity, there is `None`
//! here; and a return below -1, after which they compound a wealth below 0, loses everything here.
//! Returns are fractions of the capital (0.01 = +1 %), the risk-free return is 0, and
//! everything that is annualised takes the stated number of bars per year.

use crate::error::Error;

/// Euler's constant, Abramowitz and Stegun (1964), 6.1.3.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// Returns per bar, checked, oldest first.
///
/// ```
/// use trisect::Returns;
///
/// let returns = Returns::new(&[0.01, -0.02, 0.03, 0.0], 252.0)?;
/// assert!((returns.max_drawdown().unwrap() + 0.02).abs() < 1e-12);
/// assert_eq!(returns.hit_rate(), Some(2.0 / 3.0));
/// assert!(returns.sharpe().unwrap() > 0.0);
/// # Ok::<(), trisect::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Returns<'a> {
    values: &'a [f64],
    periods_per_year: f64,
}

impl<'a> Returns<'a> {
    /// Returns of consecutive bars, `[bars]`, of which a year has `periods_per_year`: 252 for
    /// daily bars of an exchange, 365 for daily bars of a market that never closes.
    ///
    /// # Errors
    /// A return that is NaN or infinite, by its bar; a number of bars per year that is not finite
    /// and above 0.
    pub fn new(values: &'a [f64], periods_per_year: f64) -> Result<Self, Error> {
        check_periods(periods_per_year)?;
        check_finite("returns", values)?;
        Ok(Self {
            values,
            periods_per_year,
        })
    }

    /// Number of bars.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no bar.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Mean return per bar; `None` without a bar.
    pub fn mean(&self) -> Option<f64> {
        mean(self.values)
    }

    /// Share of the returns other than 0 that are above 0 (quantstats `win_rate`); `None` when all
    /// are 0, or there are none.
    pub fn hit_rate(&self) -> Option<f64> {
        let traded = self.values.iter().filter(|&&value| value != 0.0).count();
        let won = self.values.iter().filter(|&&value| value > 0.0).count();
        (traded > 0).then(|| won as f64 / traded as f64)
    }

    /// Sharpe ratio, annualised: mean over standard deviation (of n - 1), times the root of the
    /// bars per year. Sharpe, *The Sharpe Ratio*, Journal of Portfolio Management 21 (1994).
    ///
    /// `None` for fewer than two returns, or when all are equal.
    pub fn sharpe(&self) -> Option<f64> {
        Some(self.sharpe_per_bar()? * self.periods_per_year.sqrt())
    }

    /// Sortino ratio, annualised: mean over downside deviation, times the root of the bars per
    /// year. The downside deviation is the root of the mean, over **all** bars, of the squares of
    /// the returns below 0. Sortino and Price, *Performance Measurement in a Downside Risk
    /// Framework*, Journal of Investing 3 (1994).
    ///
    /// `None` for fewer than two returns, or when none is below 0.
    pub fn sortino(&self) -> Option<f64> {
        if self.len() < 2 {
            return None;
        }
        let squares = self.values.iter().map(|value| value.min(0.0).powi(2));
        let downside = (squares.sum::<f64>() / self.len() as f64).sqrt();
        let ratio = self.mean()? / downside * self.periods_per_year.sqrt();
        ratio.is_finite().then_some(ratio)
    }

    /// Maximum drawdown: the least of wealth over its peak so far, minus 1; within `[-1, 0]`, -0.2
    /// is a loss of 20 % from a peak. Wealth begins at 1, which counts as a peak, and compounds.
    /// Magdon-Ismail and Atiya, *Maximum Drawdown*, Risk 17 (2004).
    ///
    /// A return of -1 or less loses everything: -1. `None` without a bar.
    pub fn max_drawdown(&self) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        // Wealth over its peak, and not wealth, which may overflow.
        let mut of_peak = 1.0_f64;
        let mut least = 1.0_f64;
        for value in self.values {
            of_peak = (of_peak * (1.0 + value)).clamp(0.0, 1.0);
            least = least.min(of_peak);
        }
        Some(least - 1.0)
    }

    /// Compound return per year: `product of (1 + r) ^ (bars per year / bars) - 1`.
    ///
    /// A return of -1 or less loses everything: -1. `None` without a bar, or beyond the range of
    /// f64.
    pub fn annual_return(&self) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        if self.values.iter().any(|&value| value <= -1.0) {
            return Some(-1.0);
        }
        let growth: f64 = self.values.iter().map(|value| value.ln_1p()).sum();
        let annual = (growth * (self.periods_per_year / self.len() as f64)).exp_m1();
        annual.is_finite().then_some(annual)
    }

    /// Calmar ratio: [`annual_return`](Self::annual_return) over the magnitude of
    /// [`max_drawdown`](Self::max_drawdown), over all bars. Young, *Calmar Ratio: A Smoother Tool*,
    /// Futures 20 (1991), who takes 36 months.
    ///
    /// `None` without a drawdown, or beyond the range of f64.
    pub fn calmar(&self) -> Option<f64> {
        let ratio = self.annual_return()? / self.max_drawdown()?.abs();
        ratio.is_finite().then_some(ratio)
    }

    /// Probability that the true Sharpe ratio is above `benchmark`, a Sharpe ratio **per bar**
    /// (not annualised), given length, skewness and kurtosis of the returns:
    /// `N((SR - benchmark) sqrt(n - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2))`, with
    /// moments of n and a kurtosis of 3 for the normal distribution. Bailey and López de Prado,
    /// *The Sharpe Ratio Efficient Frontier*, Journal of Risk 15 (2012).
    ///
    /// `None` for fewer than two returns, when all are equal, when they take two values only in
    /// such a way that the formula divides by 0, or for a benchmark that is NaN.
    pub fn probabilistic_sharpe(&self, benchmark: f64) -> Option<f64> {
        let sharpe = self.sharpe_per_bar()?;
        let (skewness, kurtosis) = self.shape()?;
        probabilistic(sharpe, self.len(), skewness, kurtosis, benchmark)
    }

    /// Deflated Sharpe ratio: the probability that the true Sharpe ratio is above the one that the
    /// best of `trials` strategies without any skill is expected to show,
    /// [`expected_greatest_sharpe`]. Bailey and López de Prado, *The Deflated Sharpe Ratio*,
    /// Journal of Portfolio Management 40 (2014).
    ///
    /// `variance`: of the Sharpe ratios per bar of the trials. `None` takes `1 / (n - 1)`, which is
    /// that of estimates from n returns of strategies without skill (Lo, *The Statistics of Sharpe
    /// Ratios*, Financial Analysts Journal 58, 2002); the paper estimates it from the trials.
    ///
    /// The result is `None` where [`probabilistic_sharpe`](Self::probabilistic_sharpe) has none.
    ///
    /// # Errors
    /// 0 trials; a variance that is not finite or below 0.
    pub fn deflated_sharpe(
        &self,
        trials: u64,
        variance: Option<f64>,
    ) -> Result<Option<f64>, Error> {
        let variance = match variance {
            Some(variance) => variance,
            None if self.len() < 2 => return Ok(None),
            None => 1.0 / (self.len() - 1) as f64,
        };
        let benchmark = expected_greatest_sharpe(trials, variance)?;
        Ok(self.probabilistic_sharpe(benchmark))
    }

    fn sharpe_per_bar(&self) -> Option<f64> {
        let mean = self.mean()?;
        let first = self.values[0];
        if self.values.iter().all(|&value| value == first) {
            return None;
        }
        let squares = self.values.iter().map(|value| (value - mean).powi(2));
        let deviation = (squares.sum::<f64>() / (self.len() - 1) as f64).sqrt();
        let ratio = mean / deviation;
        ratio.is_finite().then_some(ratio)
    }

    /// Skewness and kurtosis, of n, not in excess of the normal distribution's.
    fn shape(&self) -> Option<(f64, f64)> {
        let mean = self.mean()?;
        let moment = |power: i32| {
            let powers = self.values.iter().map(|value| (value - mean).powi(power));
            powers.sum::<f64>() / self.len() as f64
        };
        let variance = moment(2);
        let skewness = moment(3) / variance.powf(1.5);
        let kurtosis = moment(4) / (variance * variance);
        (skewness.is_finite() && kurtosis.is_finite()).then_some((skewness, kurtosis))
    }
}

/// The Sharpe ratio, per bar, that the best of `trials` independent strategies without any skill is
/// expected to show, when theirs have this variance: `sqrt(variance) ((1 - g) z(1 - 1/N) + g z(1 -
/// 1/(N e)))` with Euler's constant g and the quantile z of the normal distribution; 0 for one
/// trial. Bailey and López de Prado (2014), formula 1.
///
/// # Errors
/// 0 trials; a variance that is not finite or below 0.
pub fn expected_greatest_sharpe(trials: u64, variance: f64) -> Result<f64, Error> {
    if trials == 0 {
        return Err(Error::option("trials", trials, "at least 1"));
    }
    if !(variance >= 0.0 && variance.is_finite()) {
        let expected = "a finite number, 0 or more";
        return Err(Error::option("variance", variance, expected));
    }
    if trials == 1 {
        return Ok(0.0);
    }
    let share = 1.0 / trials as f64;
    let greatest = (1.0 - EULER_GAMMA) * normal_upper_quantile(share)
        + EULER_GAMMA * normal_upper_quantile(share / std::f64::consts::E);
    Ok(variance.sqrt() * greatest)
}

/// Turnover per year: what is bought (an equal amount is sold), as a share of the capital. Legs
/// close in the bar they enter, so per bar that is the weight that entered. This is the lesser of
/// purchases and sales over the capital, as the SEC's form N-1A, item 13, defines it.
///
/// `traded`: weights that entered, `[bars]`. `None` without a bar.
///
/// # Errors
/// A weight that is NaN or infinite, by its bar; a number of bars per year that is not finite and
/// above 0.
pub fn turnover(traded: &[f64], periods_per_year: f64) -> Result<Option<f64>, Error> {
    check_periods(periods_per_year)?;
    check_finite("traded", traded)?;
    Ok(mean(traded).map(|mean| mean * periods_per_year))
}

/// What a run, a symbol or a fold is judged by. `None`: not defined for these returns; see the
/// method of [`Returns`] that has the same name.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Metrics {
    /// Number of returns.
    pub bars: usize,
    /// [`turnover`], per year.
    pub turnover: Option<f64>,
    /// [`Returns::hit_rate`].
    pub hit_rate: Option<f64>,
    /// [`Returns::annual_return`].
    pub annual_return: Option<f64>,
    /// [`Returns::sharpe`], annualised.
    pub sharpe: Option<f64>,
    /// [`Returns::sortino`], annualised.
    pub sortino: Option<f64>,
    /// [`Returns::max_drawdown`], within `[-1, 0]`.
    pub max_drawdown: Option<f64>,
    /// [`Returns::calmar`].
    pub calmar: Option<f64>,
    /// [`Returns::deflated_sharpe`] for this many trials.
    pub deflated_sharpe: Option<f64>,
    /// How many candidates were tried.
    pub trials: u64,
}

impl Metrics {
    /// All of them. `returns` and `traded`: `[bars]`; `trials`: candidates that were tried before
    /// this one was taken.
    ///
    /// # Errors
    /// As [`Returns::new`], [`turnover`] and [`Returns::deflated_sharpe`]; slices of different
    /// lengths.
    pub fn new(
        returns: &[f64],
        traded: &[f64],
        periods_per_year: f64,
        trials: u64,
    ) -> Result<Self, Error> {
        if returns.len() != traded.len() {
            return Err(Error::Length {
                what: "traded",
                expected: returns.len(),
                got: traded.len(),
                remedy: "give one weight per return",
            });
        }
        let turnover = turnover(traded, periods_per_year)?;
        let returns = Returns::new(returns, periods_per_year)?;
        Ok(Self {
            bars: returns.len(),
            turnover,
            hit_rate: returns.hit_rate(),
            annual_return: returns.annual_return(),
            sharpe: returns.sharpe(),
            sortino: returns.sortino(),
            max_drawdown: returns.max_drawdown(),
            calmar: returns.calmar(),
            deflated_sharpe: returns.deflated_sharpe(trials, None)?,
            trials,
        })
    }
}

pub(crate) fn check_periods(periods_per_year: f64) -> Result<(), Error> {
    if periods_per_year > 0.0 && periods_per_year.is_finite() {
        return Ok(());
    }
    Err(Error::option(
        "periods_per_year",
        periods_per_year,
        "finite and above 0, such as 252 for daily bars",
    ))
}

fn check_finite(name: &'static str, values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(bar) => Err(Error::option(
            name,
            format!("{} at bar {bar}", values[bar]),
            "finite: repair or drop the bar",
        )),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    (!values.is_empty()).then(|| sum / values.len() as f64)
}

fn probabilistic(
    sharpe: f64,
    bars: usize,
    skewness: f64,
    kurtosis: f64,
    benchmark: f64,
) -> Option<f64> {
    let variance = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe;
    if !(variance > 0.0) {
        return None;
    }
    let z = (sharpe - benchmark) * ((bars - 1) as f64).sqrt() / variance.sqrt();
    (!z.is_nan()).then(|| normal_upper_tail(-z))
}

/// Probability that a normal variable is above `x`.
///
/// Below 3, the series of Marsaglia, *Evaluating the Normal Distribution*, Journal of Statistical
/// Software 11 (2004); above, Laplace's continued fraction, Abramowitz and Stegun (1964), 26.2.14,
/// which keeps the relative error small in the tail.
fn normal_upper_tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - normal_upper_tail(-x);
    }
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x < 3.0 {
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term > sum * f64::EPSILON * 0.25 {
            odd += 2.0;
            term *= x * x / odd;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    // Terms beyond these do not change the last bit from 3 on.
    let fraction = (1..=150).rev().fold(x, |below, n| x + f64::from(n) / below);
    density / fraction
}

/// The x above which a normal variable lies with a probability of `share`, within `(0, 0.5]`.
fn normal_upper_quantile(share: f64) -> f64 {
    let target = share.ln();
    // The logarithm of the tail is concave and the start right of the root, so Newton's steps
    // lead to it from the right.
    let mut x = (-2.0 * target).sqrt();
    for _ in 0..60 {
        let tail = normal_upper_tail(x);
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let step = (tail.ln() - target) * tail / density;
        x += step;
        if !(step.abs() > 1e-15 * x.abs().max(1.0)) {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution_are_those_of_the_tables() {
        // Wichura, Algorithm AS 241 (1988), and scipy.stats.norm.isf.
        for (share, x) in [
            (0.5, 0.0),
            (0.25, 0.674_489_750_196_081_7),
            (0.05, 1.644_853_626_951_472_7),
            (0.001, 3.090_232_306_167_813_5),
            (1e-10, 6.361_340_902_404_056),
            (1e-20, 9.262_340_089_798_408),
        ] {
            let found = normal_upper_quantile(share);
            assert!((found - x).abs() < 1e-12, "{share}: {found}, not {x}");
            let tail = normal_upper_tail(x);
            assert!((tail / share - 1.0).abs() < 1e-11, "{x}: {tail}");
        }
        assert!((normal_upper_tail(-1.0) - 0.841_344_746_068_543).abs() < 1e-14);
    }

    #[test]
    fn the_example_of_the_paper_is_met() {
        // Bailey and López de Prado (2014), "A numerical example": 100 trials with an annualised
        // variance of 1/2, a Sharpe ratio of 2.5 over 1250 days of 250 a year.
        let expected = expected_greatest_sharpe(100, 0.5 / 250.0).unwrap();
        assert!((expected - 0.1132).abs() < 5e-5, "{expected}");
        let sharpe = 2.5 / 250.0_f64.sqrt();
        let deflated = probabilistic(sharpe, 1250, -3.0, 10.0, expected).unwrap();
        assert!((deflated - 0.9004).abs() < 5e-5, "{deflated}");
        // And with 46 trials 0.95, with 88 normal ones 0.95.
        let fewer = expected_greatest_sharpe(46, 0.5 / 250.0).unwrap();
        let deflated = probabilistic(sharpe, 1250, -3.0, 10.0, fewer).unwrap();
        assert!((deflated - 0.9505).abs() < 5e-4, "{deflated}");
        let more = expected_greatest_sharpe(88, 0.5 / 250.0).unwrap();
        let deflated = probabilistic(sharpe, 1250, 0.0, 3.0, more).unwrap();
        assert!((deflated - 0.9505).abs() < 5e-4, "{deflated}");
    }
}
