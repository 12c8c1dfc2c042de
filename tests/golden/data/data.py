#!/usr/bin/env python3
"""Writes price files with polars and pandas, and expected.json: what these two read from them.

    python3 -m venv venv && venv/bin/pip install polars==1.44.2 pandas==3.1.1 pyarrow==26.0.1
    venv/bin/python tests/golden/data/data.py

Every file is written by one of the two and read back by both, which must agree to the bit. The times
of expected.json are Unix seconds; local times become such by Python's zoneinfo (fold=0: of a time
that is there twice the first, and a time that is skipped counted on from before). `series` are moves
and means of 3 bars by numpy, as f32.
"""

import datetime
import json
import pathlib
import random
import zoneinfo

import numpy
import pandas
import polars

HERE = pathlib.Path(__file__).resolve().parent
PRICES = ["open", "high", "low", "close"]
NEW_YORK = "America/New_York"
draw = random.Random(7)


def bars(count):
    """Prices with all digits of a double, and with few; volumes with gaps."""
    close, rows = 50.0 + draw.random() * 100, []
    for bar in range(count):
        open_ = close * (1 + draw.uniform(-0.02, 0.02))
        close = open_ * (1 + draw.uniform(-0.03, 0.03))
        high = max(open_, close) * (1 + draw.uniform(0, 0.01))
        low = min(open_, close) * (1 - draw.uniform(0, 0.01))
        row = [open_, high, low, close]
        if bar % 2:
            row = [round(open_, 2), round(high, 2) + 0.01, round(low, 2) - 0.01, round(close, 2)]
        rows.append(dict(zip(PRICES, row)) | {"volume": float(draw.randrange(10**9)) if bar % 5 else None})
    return rows


def frame(symbols, times):
    """Rows of several symbols, mixed, as a polars frame."""
    rows = []
    for symbol in symbols:
        rows += [{"symbol": symbol, "date": time} | row for time, row in zip(times, bars(len(times)))]
    # A stable mix: by time first, as a feed writes them.
    rows.sort(key=lambda row: row["date"])
    return polars.DataFrame(rows)


def seconds(time, zone):
    if isinstance(time, (int, numpy.integer)):
        return int(time)
    if isinstance(time, str):
        time = datetime.datetime.fromisoformat(time)
    if not isinstance(time, datetime.datetime):
        time = datetime.datetime.combine(time, datetime.time())
    if time.tzinfo is None:
        time = time.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return int(time.timestamp() // 1)


def number(value):
    return None if value is None or value != value else float(value)


def series(symbol):
    """Moves against the close before, and the means of the 3 before, of bars with both."""
    close, high, low = (numpy.array(symbol[name]) for name in ("close", "high", "low"))
    moves = {name: column[1:] / close[:-1] - 1 for name, column in zip(PRICES[1:], (high, low, close))}
    mean = lambda column, t: (0.0 + column[t - 3] + column[t - 2] + column[t - 1]) / 3
    bars = range(3, len(close) - 1)
    single = lambda values: [float(numpy.float32(value)) for value in values]
    return {
        "times": symbol["times"][4:],
        **{name: single(moves[name][3:]) for name in ("close", "high", "low")},
        "high_pred": single(mean(moves["high"], t) for t in bars),
        "low_pred": single(mean(moves["low"], t) for t in bars),
        "position": [1.0 if mean(moves["close"], t) >= 0 else -1.0 for t in bars],
    }


def expected(rows, zone, scale, columns):
    symbols = {}
    for row in rows:
        symbol = symbols.setdefault(row.get("symbol") or "default", {})
        time = row["date"] // scale if scale else row["date"]
        symbol.setdefault("times", []).append(seconds(time, zone))
        for name in columns:
            symbol.setdefault(name, []).append(number(row[name]))
    return [{"symbol": name} | symbol for name, symbol in symbols.items()]


def case(file, read_polars, read_pandas, zone="UTC", scale=None, forecasts=()):
    columns = PRICES + ["volume", *forecasts]
    path = HERE / file
    from_polars = read_polars(path).to_dicts()
    pandas_frame = read_pandas(path)
    # Python's own types, whatever the frame holds.
    from_pandas = [
        {name: value.to_pydatetime() if isinstance(value, pandas.Timestamp) else value for name, value in row.items()}
        for row in pandas_frame.to_dict("records")
    ]
    one = expected(from_polars, zone, scale, columns)
    other = expected(from_pandas, zone, scale, columns)
    assert one == other, f"{file}: polars and pandas disagree"
    for symbol in one:
        if not forecasts:
            symbol["series"] = series(symbol)
    return {"file": file, "zone": zone, "symbols": one}


def csv_polars(path):
    return polars.read_csv(path)


def csv_pandas(path):
    return pandas.read_csv(path)


def days(count):
    return [datetime.date(2020, 2, 20) + datetime.timedelta(days=day) for day in range(count)]


def minutes(begin, count, step):
    return [begin + datetime.timedelta(minutes=step * minute) for minute in range(count)]


cases = []

# Dates: CSV, and Parquet with zstd, as polars writes it.
daily = frame(["AAA", "BBB", "CCC"], days(12))
daily.write_csv(HERE / "daily.csv")
cases.append(case("daily.csv", csv_polars, csv_pandas))
daily.write_parquet(HERE / "daily.parquet")
cases.append(case("daily.parquet", polars.read_parquet, pandas.read_parquet))

# As pandas writes it: snappy, nanoseconds without a zone, a category, an index that is stored, f32.
table = frame(["A", "B"], minutes(datetime.datetime(2021, 6, 1, 9, 30), 8, 5)).to_pandas()
table["date"] = table["date"].astype("datetime64[ns]")
table["symbol"] = table["symbol"].astype("category")
table[PRICES] = table[PRICES].astype("float32")
table.set_index(table["date"] + pandas.Timedelta("1h")).rename_axis("index").to_parquet(HERE / "category.parquet")
cases.append(case("category.parquet", polars.read_parquet, pandas.read_parquet, zone=NEW_YORK))

# Local times over the hour that is skipped and the one that is there twice.
spring = minutes(datetime.datetime(2020, 3, 8, 0, 30), 3, 60) + minutes(datetime.datetime(2020, 3, 8, 4, 45), 3, 60)
autumn = minutes(datetime.datetime(2020, 11, 1, 0, 30), 5, 60)
local = frame(["NY"], spring + autumn)
local.write_csv(HERE / "local.csv", datetime_format="%Y-%m-%d %H:%M")
cases.append(case("local.csv", csv_polars, csv_pandas, zone=NEW_YORK))
local.write_parquet(HERE / "local.parquet", compression="lz4")
cases.append(case("local.parquet", polars.read_parquet, pandas.read_parquet, zone=NEW_YORK))

# Instants shown in a zone.
zoned = frame(["Z"], minutes(datetime.datetime(2020, 11, 1, 4, 15), 8, 30))
zoned = zoned.with_columns(polars.col("date").dt.replace_time_zone("UTC").dt.convert_time_zone(NEW_YORK))
zoned.write_parquet(HERE / "zoned.parquet", compression="gzip")
cases.append(case("zoned.parquet", polars.read_parquet, pandas.read_parquet))
zoned.write_csv(HERE / "zoned.csv", datetime_format="%Y-%m-%dT%H:%M:%S%.3f%z")
cases.append(case("zoned.csv", csv_polars, csv_pandas))

# Integers.
for file, scale in [("milliseconds.csv", 10**3), ("nanoseconds.parquet", 10**9)]:
    counts = [scale * (1_600_000_000 + 86_400 * day) for day in range(7)]
    table = frame(["INT"], counts)
    table.write_csv(HERE / file) if file.endswith("csv") else table.write_parquet(HERE / file, compression="uncompressed")
    readers = (csv_polars, csv_pandas) if file.endswith("csv") else (polars.read_parquet, pandas.read_parquet)
    cases.append(case(file, *readers, scale=scale))

# Forecasts, none for the first bars.
given = frame(["F"], days(9))
forecasts = ["high_pred", "low_pred", "buy", "sell"]
values = {name: [None, None, None] + [draw.uniform(-0.02, 0.02) for _ in range(6)] for name in forecasts}
given = given.with_columns(polars.Series(name, column) for name, column in values.items())
given.write_csv(HERE / "forecasts.csv")
cases.append(case("forecasts.csv", csv_polars, csv_pandas, forecasts=forecasts))
given.write_parquet(HERE / "forecasts.parquet")
cases.append(case("forecasts.parquet", polars.read_parquet, pandas.read_parquet, forecasts=forecasts))

versions = {module.__name__: module.__version__ for module in (polars, pandas)}
(HERE / "expected.json").write_text(json.dumps({"written_by": versions, "cases": cases}, indent=1) + "\n")
