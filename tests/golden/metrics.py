#!/usr/bin/env python3
"""Writes metrics.json: what empyrical and quantstats say of some series of returns.

    python3 tests/golden/metrics.py        (needs empyrical-reloaded, quantstats, numpy, scipy)

Per series: the returns, the bars per year, and the metrics by each program; null where it gives NaN
or infinity. Neither has the deflated Sharpe ratio of Bailey and López de Prado (2014), so it is
computed here with scipy's normal distribution, skewness and kurtosis, straight from the paper.
quantstats takes some series for prices (none of whose values is below 0 and some above 1), and both
go on with a wealth below 0 after a return below -1; there are none of those.
"""

import json
import math
import pathlib
import warnings

import empyrical
import numpy
import pandas
import quantstats
import scipy
from scipy.stats import kurtosis, norm, skew

HERE = pathlib.Path(__file__).resolve().parent
warnings.simplefilter("ignore")


def series():
    """Name, returns, bars per year."""
    draw = numpy.random.default_rng(20)
    yield "daily", draw.normal(0.0005, 0.01, 500), 252
    yield "one fold", draw.normal(0.002, 0.02, 20), 252
    yield "losing", draw.normal(-0.003, 0.02, 300), 252
    yield "every day of the year", draw.standard_t(5, 365) * 0.01, 365
    yield "minutes", draw.normal(1e-6, 3e-4, 780), 98280
    yield "seldom traded", numpy.where(draw.random(300) < 0.8, 0.0, draw.normal(0.001, 0.01, 300)), 252
    yield "skewed", draw.exponential(0.01, 200) - 0.0095, 252
    yield "a drawdown from the start", numpy.array([-0.2, 0.05, 0.05, -0.01, 0.1]), 252
    yield "a crash", numpy.concatenate([draw.normal(0.001, 0.01, 50), [-0.6], draw.normal(0.001, 0.01, 50)]), 252
    yield "everything lost", numpy.array([0.02, -0.01, -1.0, 0.03, 0.01]), 252
    yield "two", numpy.array([0.01, -0.004]), 252
    yield "no drawdown", numpy.array([0.01, 0.0, 0.02, 0.005]), 252
    yield "all equal", numpy.full(10, 0.1), 252
    yield "all zero", numpy.zeros(10), 252
    yield "one", numpy.array([-0.03]), 252
    yield "none", numpy.array([]), 252


def number(x):
    x = float(x)
    return x if math.isfinite(x) else None


def by_empyrical(returns, periods):
    return {
        "sharpe": number(empyrical.sharpe_ratio(returns, annualization=periods)),
        "sortino": number(empyrical.sortino_ratio(returns, annualization=periods)),
        "max_drawdown": number(empyrical.max_drawdown(returns)),
        "annual_return": number(empyrical.annual_return(returns, annualization=periods)),
        "calmar": number(empyrical.calmar_ratio(returns, annualization=periods)),
    }


def by_quantstats(returns, periods):
    if len(returns) < 2 or (returns == returns[0]).all() or returns.min() >= 0:
        return None  # Exceptions, warnings and rounding instead of values.
    dated = pandas.Series(returns, index=pandas.date_range("2001-01-01", periods=len(returns)))
    return {
        "sharpe": number(quantstats.stats.sharpe(dated, periods=periods)),
        "sortino": number(quantstats.stats.sortino(dated, periods=periods)),
        "max_drawdown": number(quantstats.stats.max_drawdown(dated)),
        "annual_return": number(quantstats.stats.cagr(dated, periods=periods)),
        "calmar": number(quantstats.stats.calmar(dated, periods=periods)),
        "hit_rate": number(quantstats.stats.win_rate(dated)),
    }


def by_the_paper(returns, trials, variance):
    """The deflated Sharpe ratio."""
    n = len(returns)
    if n < 2 or (returns == returns[0]).all():
        return None
    if variance is None:
        variance = 1 / (n - 1)
    greatest = 0.0
    if trials > 1:
        euler = 0.5772156649015329
        greatest = (1 - euler) * norm.isf(1 / trials) + euler * norm.isf(1 / (trials * math.e))
    sharpe = returns.mean() / returns.std(ddof=1)
    spread = 1 - skew(returns) * sharpe + (kurtosis(returns, fisher=False) - 1) / 4 * sharpe**2
    return number(norm.cdf((sharpe - math.sqrt(variance) * greatest) * math.sqrt(n - 1) / math.sqrt(spread)))


def main():
    cases = []
    for name, returns, periods in series():
        deflated = []
        for trials, variance in [(1, None), (2, None), (100, None), (3721, 0.0004), (10**12, None)]:
            value = by_the_paper(returns, trials, variance)
            deflated.append({"trials": trials, "variance": variance, "value": value})
        cases.append(
            {
                "name": name,
                "periods_per_year": periods,
                "returns": returns.tolist(),
                "empyrical": by_empyrical(returns, periods),
                "quantstats": by_quantstats(returns, periods),
                "deflated_sharpe": deflated,
            }
        )
    out = {
        "made_by": "tests/golden/metrics.py",
        "versions": {
            "empyrical-reloaded": empyrical.__version__,
            "quantstats": quantstats.__version__,
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
        },
        "cases": cases,
    }
    (HERE / "metrics.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
