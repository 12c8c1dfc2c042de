#!/usr/bin/env python3
"""Writes evolution.json: what scipy.optimize.differential_evolution finds with 200 seeds.

    python3 tests/golden/evolution.py        (needs numpy and scipy; takes some minutes)

Every run is one objective and one set of options, always with strategy='best1bin',
init='latinhypercube', updating='deferred' and polish=False; seed s is numpy's default_rng(s). Of
each run the 200 best values and numbers of evaluations are kept, sorted, with their means and
standard errors. The solver behind the function is called, since only it has maxfun.

Objectives of kind "profit" are minus the mean profit of simulations of entry_exit_direct.json, a
pair rounded to f32, gates decided on f32 sums. The others are polynomials, so that they have the
same bits everywhere.
"""

import json
import multiprocessing
import pathlib

import numpy
import scipy
from scipy.optimize._differentialevolution import DifferentialEvolutionSolver

SEEDS = 200
HERE = pathlib.Path(__file__).resolve().parent
SIMULATIONS = json.loads((HERE / "entry_exit_direct.json").read_text())["sims"]
PLANE = [[-0.03, 0.03]] * 2

RUNS = [
    {"name": "one simulation", "profit": [8], "bounds": PLANE, "options": {}},
    {"name": "eight simulations that share", "profit": list(range(8)), "bounds": PLANE, "options": {}},
    {"name": "exits at the close", "profit": [17], "bounds": PLANE, "options": {}},
    {"name": "the fast budget", "profit": [8], "bounds": PLANE, "options": {"popsize": 4, "maxfun": 100}},
    {
        "name": "a cap within an iteration",
        "profit": [8, 9, 10, 11],
        "bounds": PLANE,
        "options": {"popsize": 7, "maxfun": 137},
    },
    {"name": "Styblinski and Tang", "polynomial": "styblinski", "bounds": [[-5.0, 5.0]] * 3, "options": {}},
    {
        "name": "Goldstein and Price, one factor, little recombination",
        "polynomial": "goldstein",
        "bounds": [[-2.0, 2.0]] * 2,
        "options": {"mutation": [0.8, 0.8], "recombination": 0.3},
    },
    {
        "name": "an optimum in a corner",
        "polynomial": "corner",
        "bounds": [[0.0, 1.0], [-3.0, 1.0], [2.0, 4.0], [-1.0, 0.0]],
        "options": {"atol": 0.02, "tol": 0.0},
    },
    {
        "name": "Styblinski and Tang, a cap of iterations",
        "polynomial": "styblinski",
        "bounds": [[-5.0, 5.0]] * 3,
        "options": {"popsize": 10, "maxiter": 10},
    },
]


def profit(simulation):
    """The profit of the crate's design as a function of a pair: gates and levels are f32 sums."""
    column = lambda name: numpy.array(simulation[name], dtype=numpy.float32)
    high_pred, high_actual = column("high_pred"), column("high_actual")
    low_pred, low_actual = column("low_pred"), column("low_actual")
    close = column("close").astype(float)
    position = column("pos").astype(float)
    buy, sell = numpy.clip(position, 0, 10), numpy.clip(position, -10, 0)
    fees = (buy - sell) * simulation["fee"]
    at_close = simulation["close_at_eod"]

    def of_pair(x):
        high = numpy.clip(high_pred + numpy.float32(x[0]), 0, 10)
        low = numpy.clip(low_pred + numpy.float32(x[1]), -1, 0)
        long_exit = close if at_close else numpy.where(high <= high_actual, high, close)
        short_exit = close if at_close else numpy.where(low >= low_actual, low, close)
        long = (buy * (long_exit - low))[low > low_actual].sum()
        short = (sell * (short_exit - high))[high < high_actual].sum()
        entered = ((buy > 0) & (low > low_actual)) | ((sell < 0) & (high < high_actual))
        return long + short - fees[entered].sum()

    return of_pair


def styblinski(x):
    return sum(0.5 * (t * t * t * t - 16 * t * t + 5 * t) for t in x)


def goldstein(x):
    x, y = x
    one = (x + y + 1) ** 2 * (19 - 14 * x + 3 * x * x - 14 * y + 6 * x * y + 3 * y * y)
    other = (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x * x + 48 * y - 36 * x * y + 27 * y * y)
    return (1 + one) * (30 + other)


def corner(x):
    return 1 + sum(x)


def objective(run):
    if "polynomial" in run:
        return globals()[run["polynomial"]]
    profits = [profit(SIMULATIONS[index]) for index in run["profit"]]
    return lambda x: -sum(of_pair(x) for of_pair in profits) / len(profits)


def search(task):
    run, seed = task
    solver = DifferentialEvolutionSolver(
        objective(run),
        run["bounds"],
        strategy="best1bin",
        init="latinhypercube",
        updating="deferred",
        polish=False,
        rng=numpy.random.default_rng(seed),
        **run["options"],
    )
    found = solver.solve()
    return float(found.fun), int(found.nfev)


def summary(numbers):
    numbers = numpy.array(numbers, dtype=float)
    error = numbers.std(ddof=1) / len(numbers) ** 0.5
    return {"mean": float(f"{numbers.mean():.9g}"), "standard_error": float(f"{error:.4g}")}


def main():
    runs = []
    with multiprocessing.Pool() as pool:
        for run in RUNS:
            found = pool.map(search, [(run, seed) for seed in range(SEEDS)])
            values, evaluations = map(sorted, zip(*found))
            runs.append(
                run
                | {
                    "value": summary(values),
                    "evaluations": summary(evaluations),
                    "all_values": [float(f"{value:.9g}") for value in values],
                    "all_evaluations": evaluations,
                }
            )
            print(run["name"], runs[-1]["value"], runs[-1]["evaluations"])
    meta = {
        "what": "scipy.optimize.differential_evolution, best1bin, deferred, no polish; made by evolution.py",
        "scipy": scipy.__version__,
        "numpy": numpy.__version__,
        "seeds": SEEDS,
    }
    lines = ",\n".join(json.dumps(run, separators=(",", ":")) for run in runs)
    text = f'{{"meta":{json.dumps(meta, separators=(",", ":"))},"runs":[\n{lines}\n]}}\n'
    (HERE / "evolution.json").write_text(text)


if __name__ == "__main__":
    main()
