"""What users of Python run today beside `trisect`, on the same data, in the same run.

Started by `run`, which makes the virtual environment and builds the Rust side, main.rs.

Every objective is compared with the profits that `trisect` gives before anything is timed; one that
computes something else ends the run. Rows are timed in rounds, each row once a round, so that a change
in the machine's load meets all of them; a row's time is the median of its rounds.

`--check` only compares the objectives and runs every search once on a few simulations.
"""

import argparse
import concurrent.futures
import datetime
import functools
import importlib.metadata
import json
import multiprocessing
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

import nlopt
import numba
import numpy as np
import scipy.optimize

try:
    import torch
except ImportError:
    torch = None

BOX = [(-0.03, 0.03), (-0.03, 0.03)]
FEE = 0.0000278
PRODUCTION, FAST = 500, 100
SHARED = 16
GRID = 22

# What ratios are given to.
BASELINE = "SciPy DIRECT, torch objective, 500"


def fail(why):
    sys.exit(f"error: {why}")


# --- objectives: the profit of one window (6, T), or of several that share the pair (6, n, T) ---


def profit_of_arrays(xp, window, high, low):
    """The profit with the operations of NumPy, torch or JAX; the last axis is the bars."""
    close, bar_high, bar_low, high_pred, low_pred, position = window
    high_level = xp.clip(high_pred + high, 0, 10)
    low_level = xp.clip(low_pred + low, -1, 0)
    long = xp.clip(position, 0, 10)
    short = xp.clip(position, -10, 0)
    sold = xp.where(high_level <= bar_high, high_level, close)
    bought = xp.where(low_level >= bar_low, low_level, close)
    of_long = long * (sold - low_level) - long * FEE
    of_short = short * (bought - high_level) - xp.abs(short) * FEE
    entered = xp.where(low_level > bar_low, of_long, 0.0) + xp.where(high_level < bar_high, of_short, 0.0)
    return entered.sum(-1)


@numba.njit(fastmath=True)
def profit_compiled(window, high, low):
    """The same, compiled: gates in f32, values in f64, as `trisect` reports it."""
    high32, low32 = np.float32(high), np.float32(low)
    total = 0.0
    for t in range(window.shape[1]):
        close, bar_high, bar_low = window[0, t], window[1, t], window[2, t]
        high_pred, low_pred, position = window[3, t], window[4, t], window[5, t]
        gate_high = min(max(high_pred + high32, np.float32(0)), np.float32(10))
        gate_low = min(max(low_pred + low32, np.float32(-1)), np.float32(0))
        high_level = min(max(np.float64(high_pred) + np.float64(high32), 0.0), 10.0)
        low_level = min(max(np.float64(low_pred) + np.float64(low32), -1.0), 0.0)
        long = np.float64(min(max(position, np.float32(0)), np.float32(10)))
        short = np.float64(min(max(position, np.float32(-10)), np.float32(0)))
        sold = high_level if gate_high <= bar_high else np.float64(close)
        bought = low_level if gate_low >= bar_low else np.float64(close)
        total += (long * (sold - low_level) - long * FEE) if gate_low > bar_low else 0.0
        total += (short * (bought - high_level) + short * FEE) if gate_high < bar_high else 0.0
    return total


@numba.njit
def loss_compiled(x, window):
    return -profit_compiled(window, x[0], x[1])


@numba.njit(parallel=True)
def grid_compiled(windows, steps, found):
    """The best pair of a grid, both ends included, for every window; simulations in parallel."""
    for s in numba.prange(windows.shape[0]):
        best = -np.inf
        for i in range(steps):
            high = -0.03 + 0.06 * i / (steps - 1)
            for j in range(steps):
                low = -0.03 + 0.06 * j / (steps - 1)
                profit = profit_compiled(windows[s], high, low)
                if profit > best:
                    best = profit
                    found[s, 0] = high
                    found[s, 1] = low


def grid_of_arrays(xp, windows, pairs):
    """Profits (S, C) of all windows (S, 6, T) at all pairs (C, 2), as one broadcast."""
    columns = [windows[:, None, field, :] for field in range(6)]
    return profit_of_arrays(xp, columns, pairs[None, :, 0, None], pairs[None, :, 1, None])


def grid_pairs(dtype):
    axis = np.linspace(-0.03, 0.03, GRID)
    return np.array([(high, low) for high in axis for low in axis], dtype)


# --- searches: from the windows (n, 6, T) to their pairs and the evaluations per search ---


def direct(objective, evaluations):
    found = scipy.optimize.direct(objective, BOX, maxfun=evaluations)
    return found.x, found.nfev


def tuned(search, windows):
    pairs, evaluations = zip(*map(search, windows))
    return np.array(pairs), statistics.fmean(evaluations)


def search_torch(window, evaluations, device="cpu"):
    columns = torch.from_numpy(window).to(device)
    return direct(lambda x: -profit_of_arrays(torch, columns, x[0], x[1]).item(), evaluations)


def search_torch_shared(windows, evaluations):
    """One pair for all windows: the mean profit of (n, 6, T)."""
    columns = torch.from_numpy(windows).permute(1, 0, 2)
    return direct(lambda x: -profit_of_arrays(torch, columns, x[0], x[1]).mean().item(), evaluations)


def search_compiled(window, evaluations):
    found = scipy.optimize.direct(loss_compiled, BOX, args=(window,), maxfun=evaluations)
    return found.x, found.nfev


def search_nlopt(window, evaluations, algorithm):
    optimizer = nlopt.opt(algorithm, 2)
    optimizer.set_lower_bounds([low for low, _ in BOX])
    optimizer.set_upper_bounds([high for _, high in BOX])
    optimizer.set_maxeval(evaluations)
    optimizer.set_min_objective(lambda x, gradient: loss_compiled(x, window))
    found = optimizer.optimize([0.0, 0.0])
    return found, optimizer.get_numevals()


def one_by_one(search, *arguments):
    return lambda windows: tuned(lambda window: search(window, *arguments), windows)


def in_pool(pool, search, evaluations):
    bound = functools.partial(search, evaluations=evaluations)

    def tune(windows):
        pairs, done = zip(*pool.map(bound, windows, chunksize=max(1, len(windows) // (4 * cores()))))
        return np.array(pairs), statistics.fmean(done)

    return tune


def shared(windows):
    pairs, done = [], []
    for start in range(0, len(windows), SHARED):
        chunk = windows[start : start + SHARED]
        pair, evaluations = search_torch_shared(chunk, PRODUCTION)
        pairs += [pair] * len(chunk)
        done.append(evaluations)
    return np.array(pairs), statistics.fmean(done)


def grid_numba(windows):
    found = np.empty((len(windows), 2))
    grid_compiled(windows, GRID, found)
    return found, GRID * GRID


def grid_torch(windows, device):
    pairs = torch.from_numpy(grid_pairs(np.float32)).to(device)
    best = grid_of_arrays(torch, torch.from_numpy(windows).to(device), pairs).argmax(1)
    return pairs[best].cpu().numpy(), GRID * GRID


def grid_jax():
    """A jitted grid, vmapped over pairs and over windows."""
    import jax

    over_pairs = jax.vmap(lambda window, pair: profit_of_arrays(jax.numpy, window, pair[0], pair[1]), (None, 0))
    best = jax.jit(jax.vmap(lambda window, pairs: over_pairs(window, pairs).argmax(), (0, None)))
    pairs = grid_pairs(np.float32)
    return lambda windows: (pairs[np.asarray(best(windows, pairs))], GRID * GRID)


# --- what is true of the data ---


class Data:
    def __init__(self, rust, simulations, bars):
        with tempfile.NamedTemporaryFile(suffix=".f32") as file:
            report = ask(rust, "data", simulations, bars, file.name)
            self.windows = np.fromfile(file.name, "<f4").reshape(simulations, 6, bars)
        if report["fee"] != FEE:
            fail(f"the fee is {FEE} here, {report['fee']} in trisect")
        self.pairs = np.array(report["pairs"])
        self.profits = np.array(report["profits"])
        self.optima = np.array(report["optima"])
        self.baselines = self.profits[:, 0]

    def score(self, pairs):
        """Profits of the first simulations at their pairs, rounded to f32."""
        return np.array([profit_compiled(window, *pair) for window, pair in zip(self.windows, pairs)])


def ask(rust, *words):
    done = subprocess.run([rust, *map(str, words)], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, words))}: the Rust side failed")
    return json.loads(done.stdout)


def disagreement(data, objective, count, tolerance):
    """The first place where an objective misses `trisect`'s profit by more, in words, if any."""
    for s, window in enumerate(data.windows[:count]):
        for (high, low), expected in zip(data.pairs, data.profits[s]):
            got = float(objective(window, high, low))
            if not abs(got - expected) <= tolerance:
                return f"simulation {s} at ({high}, {low}): {got}, trisect gives {expected}"
    return None


def check_objectives(data):
    count = min(8, len(data.windows))
    # A trade more or less is 1e-2. Sums of f32 differ by less than 2^-24 of the largest partial sum per bar.
    single = 2e-7 * data.windows.shape[2]
    objectives = {
        "compiled": (profit_compiled, 1e-12 * data.windows.shape[2]),
        "NumPy": (lambda window, high, low: profit_of_arrays(np, window, high, low), single),
    }
    if torch:
        objectives["torch"] = (
            lambda window, high, low: profit_of_arrays(torch, torch.from_numpy(window), high, low).item(),
            single,
        )
    for name, (objective, tolerance) in objectives.items():
        wrong = disagreement(data, objective, count, tolerance)
        if wrong:
            fail(f"the {name} objective, {wrong}")
    # The comparison itself can fail: no fee, and an entry at a level that was not touched.
    for name, wrong_objective in {
        "without fees": lambda w, high, low: profit_compiled(w, high, low) + FEE * np.abs(w[5]).sum() / 2,
        "one trade less": lambda w, high, low: profit_compiled(np.ascontiguousarray(w[:, 1:]), high, low),
    }.items():
        if disagreement(data, wrong_objective, count, single) is None:
            fail(f"an objective {name} passes the comparison")
    return list(objectives)


def check_found(name, data, pairs):
    """A search's pairs lie in the box, and no profit is above the exact optimum."""
    if not (np.abs(np.float32(pairs)) <= np.float32(0.03)).all():
        fail(f"{name}: a pair outside the box")
    profits = data.score(pairs)
    excess = profits - data.optima[: len(pairs)]
    if not (excess <= 1e-9).all():
        worst = int(excess.argmax())
        fail(f"{name}: simulation {worst} at {pairs[worst]} is {excess[worst]} above the exact optimum")
    return profits


# --- rows ---


def cores():
    return len(os.sched_getaffinity(0))


def start_worker(windows):
    """In a new process: one thread for torch, and everything that is done once."""
    if torch:
        torch.set_num_threads(1)
        search_torch(windows[0], 10)


def slept(seconds):
    time.sleep(seconds)


def started_processes(windows):
    """A pool whose processes have started, and the seconds that took."""
    start = time.perf_counter()
    pool = concurrent.futures.ProcessPoolExecutor(
        cores(), multiprocessing.get_context("spawn"), start_worker, (windows[:1],)
    )
    # One task for each, which none of them can do alone.
    list(pool.map(slept, [0.5] * cores()))
    return pool, time.perf_counter() - start - 0.5


def has_cuda():
    return torch is not None and torch.cuda.is_available()


def peers(windows, sizes):
    """Name, search and number of simulations of every row; no search where it cannot run, and why."""
    few, many = sizes
    rows, notes = [], []
    if torch:
        processes, seconds = started_processes(windows)
        notes.append(f"{cores()} processes took {seconds:.1f} s to start, which is in no row")
        threads = concurrent.futures.ThreadPoolExecutor(cores())
        rows += [
            (BASELINE, one_by_one(search_torch, PRODUCTION), few),
            ("the same, fast (100)", one_by_one(search_torch, FAST), few),
            ("the same, thread pool, 500", in_pool(threads, search_torch, PRODUCTION), few),
            ("the same, process pool, 500", in_pool(processes, search_torch, PRODUCTION), 2 * few),
            ("the same, process pool, fast (100)", in_pool(processes, search_torch, FAST), 2 * few),
            ("the same, shared by chunks of 16, 500", shared, 2 * SHARED),
        ]
    else:
        notes.append("torch is not installed: its rows are left out")
    rows += [
        ("SciPy DIRECT, compiled objective, 500", one_by_one(search_compiled, PRODUCTION), many),
        ("SciPy DIRECT, compiled objective, fast (100)", one_by_one(search_compiled, FAST), many),
        ("NLopt GN_ORIG_DIRECT, compiled, 500", one_by_one(search_nlopt, PRODUCTION, nlopt.GN_ORIG_DIRECT), many),
        ("NLopt GN_DIRECT_L, compiled, 500", one_by_one(search_nlopt, PRODUCTION, nlopt.GN_DIRECT_L), many),
        ("numba grid 22 x 22, parallel", grid_numba, len(windows)),
    ]
    none = "no device" if torch else "no torch"
    rows += [
        ("SciPy DIRECT, torch on the GPU, 500", one_by_one(search_torch, PRODUCTION, "cuda") if has_cuda() else none, few),
        ("torch grid 22 x 22 on the GPU", functools.partial(grid_torch, device="cuda") if has_cuda() else none, len(windows)),
        ("JAX vmapped grid 22 x 22 on the GPU", grid_jax() if has_cuda() else none, len(windows)),
    ]
    return rows, notes


def measure(data, rust, rounds, sizes):
    """Rows with their times, one per round, in the order of the table."""
    searches, notes = peers(data.windows, sizes)
    rows = {}

    def add(name, milliseconds, evaluations, pairs):
        if name not in rows:
            pairs = np.array(pairs)
            profits = check_found(name, data, pairs)
            attainable = (data.optima - data.baselines)[: len(pairs)].sum()
            rows[name] = {
                "strategy": name,
                "simulations": len(pairs),
                "evaluations": evaluations,
                "profit": profits.mean(),
                "quality": (profits - data.baselines[: len(pairs)]).sum() / attainable,
                "milliseconds": [],
            }
        rows[name]["milliseconds"].append(milliseconds)

    for _ in range(rounds):
        for name, search, count in searches:
            if isinstance(search, str):
                rows[name] = {"strategy": name, "note": search}
                continue
            if name not in rows:
                # Compiles, starts, fills caches.
                search(data.windows[:count])
            start = time.perf_counter()
            pairs, evaluations = search(data.windows[:count])
            add(name, 1e3 * (time.perf_counter() - start) / count, evaluations, pairs)
        for row in ask(rust, "time", len(data.windows), data.windows.shape[2], cores()):
            if "note" in row:
                rows[row["name"]] = {"strategy": row["name"], "note": row["note"].split(":")[0]}
            else:
                add(row["name"], row["milliseconds"], row["evaluations"], row["pairs"])
    for row in rows.values():
        if "milliseconds" in row:
            times = row.pop("milliseconds")
            row["per_simulation_ms"] = statistics.median(times)
            row["least_ms"], row["most_ms"] = min(times), max(times)
    return rows, notes


def sweep(rust, rounds, simulations, bars, most):
    """basin beside `trisect` at equal evaluations: medians over rounds."""
    runs = [ask(rust, "sweep", simulations, bars, most) for _ in range(rounds)]
    rows = []
    for row in zip(*runs):
        milliseconds = [statistics.median(times) for times in zip(*(run["milliseconds"] for run in row))]
        rows.append({**row[0], "milliseconds": milliseconds})
    return rows


# --- the report ---


def targets(rows, swept):
    """Wanted ratios of times, and what was measured: (words, least, ratio)."""
    def ratio(slow, fast):
        if slow in rows and "per_simulation_ms" in rows[slow]:
            return rows[slow]["per_simulation_ms"] / rows[fast]["per_simulation_ms"]
        return None

    production, exact = "trisect, threads, 500", "trisect, threads, exact"
    compiled = "SciPy DIRECT, compiled objective, 500"
    wanted = [
        ("threads + production budget beside the baseline", 300, ratio(BASELINE, production)),
        ("exact beside the baseline", 700, ratio(BASELINE, exact)),
        ("threads + production budget beside SciPy with a compiled objective", 8, ratio(compiled, production)),
    ]
    for place, words in enumerate(["by the same rules on the same objective", "with its own"], 1):
        slowest = min(swept, key=lambda row: row["milliseconds"][0] / row["milliseconds"][place])
        ratio_there = slowest["milliseconds"][0] / slowest["milliseconds"][place]
        words = f"one thread beside basin at equal evaluations, {words}, least of all (at {slowest['budget']})"
        wanted.append((words, 1, ratio_there))
    return [{"target": words, "at_least": least, "ratio": ratio} for words, least, ratio in wanted]


def table(rows):
    base = rows.get(BASELINE, {}).get("per_simulation_ms")
    lines = ["| strategy | ms per simulation | least to most | times the baseline | evaluations | profit | quality |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows.values():
        if "note" in row:
            lines.append(f"| {row['strategy']} | {row['note']} | | | | | |")
            continue
        own = row["per_simulation_ms"]
        cells = [
            row["strategy"],
            f"{own:.4g}",
            f"{row['least_ms']:.3g} to {row['most_ms']:.3g}",
            f"{base / own:.4g}" if base else "",
            f"{row['evaluations']:.0f}",
            f"{row['profit']:.5f}",
            f"{row['quality']:.4f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def sweep_table(swept):
    lines = [
        "| evaluations | basin, ms | `minimize`, ms | times basin | `optimize`, ms | times basin |",
        "|---|---|---|---|---|---|",
    ]
    for row in swept:
        basin, same, own = row["milliseconds"]
        evaluations = f"{row['evaluations'][0]:.0f}"
        lines.append(f"| {evaluations} | {basin:.4g} | {same:.4g} | {basin / same:.2f} | {own:.4g} | {basin / own:.2f} |")
    return "\n".join(lines)


def target_lines(wanted):
    for row in wanted:
        if row["ratio"] is None:
            yield f"* {row['target']}: not measured; wanted at least {row['at_least']}"
            continue
        met = "met" if row["ratio"] >= row["at_least"] else "MISSED"
        yield f"* {row['target']}: {row['ratio']:.3g} times, wanted at least {row['at_least']}: {met}"


def machine():
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": name, "cores": cores(), "system": platform.platform(), "load": os.getloadavg()[0]}


def versions():
    here = pathlib.Path(__file__).parent
    with open(here / "../../Cargo.toml", "rb") as own, open(here / "Cargo.toml", "rb") as peers:
        own, peers = tomllib.load(own), tomllib.load(peers)
    found = {
        "trisect": own["package"]["version"],
        "basin": peers["dependencies"]["basin"].lstrip("="),
        "python": platform.python_version(),
    }
    for name in ["numpy", "scipy", "numba", "nlopt", "torch", "jax"]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    found["rustc"] = subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[1]
    return found


def check(rust):
    """No times: every objective, every search once."""
    data = Data(rust, 32, 50)
    print("objectives that agree with trisect:", ", ".join(check_objectives(data)))
    searches, notes = peers(data.windows, (4, 8))
    for name, search, count in searches:
        if isinstance(search, str):
            print(f"{name}: {search}")
            continue
        pairs, evaluations = search(data.windows[:count])
        check_found(name, data, pairs)
        print(f"{name}: ran, {evaluations:.0f} evaluations")
    if torch:
        # What a GPU would run, on the CPU.
        pairs, _ = grid_torch(data.windows, "cpu")
        expected, _ = grid_numba(data.windows)
        if not np.allclose(data.score(pairs), data.score(expected), rtol=0, atol=1e-4):
            fail("the torch grid finds other pairs than the numba grid")
    for row in ask(rust, "time", 32, 50, cores()):
        if "note" not in row:
            check_found(row["name"], data, np.array(row["pairs"]))
    sweep(rust, 1, 32, 50, 2000)
    for note in notes:
        print(note)
    print("all profits are below the exact optima, all pairs in the box")


def main():
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__.split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="compare objectives, run every search once, time nothing")
    parser.add_argument("--quick", action="store_true", help="two rounds, fewer simulations, a short sweep")
    parser.add_argument("--json", metavar="FILE", help="write the rows there, too")
    parser.add_argument("--rust", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments.rust)
        return
    if arguments.json:
        # Refused now, not after the measurements.
        open(arguments.json, "a").close()

    simulations, bars = (200, 200) if arguments.quick else (1000, 200)
    rounds, few, many, most = (2, 8, 40, 20_000) if arguments.quick else (5, 16, 100, 100_000)
    head = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(["benches/peers/run"] + (["--quick"] if arguments.quick else [])),
        "machine": machine(),
        "simulations": simulations,
        "bars": bars,
        "seed": 1,
        "rounds": rounds,
    }
    data = Data(arguments.rust, simulations, bars)
    head["versions"] = versions()
    check_objectives(data)
    rows, notes = measure(data, arguments.rust, rounds, (few, many))
    swept = sweep(arguments.rust, min(rounds, 3), simulations, bars, most)
    wanted = targets(rows, swept)

    print(f"`{head['command']}`, {head['date']}: {head['machine']['cpu']}, {head['machine']['cores']} cores, load "
          f"{head['machine']['load']:.1f} at the start")
    print(", ".join(f"{name} {version}" for name, version in head["versions"].items()))
    print(f"{simulations} simulations of {bars} bars; slow rows take the first of them. Median of {rounds} rounds.\n")
    print(table(rows))
    print()
    print(sweep_table(swept))
    print()
    for line in [*target_lines(wanted), *(f"* {note}" for note in notes)]:
        print(line)
    if arguments.json:
        report = {**head, "rows": list(rows.values()), "sweep": swept, "targets": wanted, "notes": notes}
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
