"""DuckDB, day by day."""

from collections import Counter
from pathlib import Path

import duckdb

from tests.benchmarks.edge import FIELDS, LIMITS
from tests.benchmarks.peers.common import (
    COLUMNS,
    NOT_BEFORE,
    PERCENT,
    TIME,
    days_done,
    main,
    rejections,
)

NAMES = ", ".join(("timestamp", "sensor_id", *FIELDS))


def reading(path: Path) -> str:
    """Return the query of a file's rows with the reason for which each is rejected."""
    columns = ", ".join(f"'{column}': 'VARCHAR'" for column in COLUMNS)
    numbers = ", ".join(
        f"TRY_CAST({column} AS DOUBLE) AS n_{name}" for name, (column, _, _) in LIMITS.items()
    )
    cases = ""
    for name, (column, least, most) in LIMITS.items():
        invalid, outside = rejections(name)
        cases += (
            f" WHEN n_{name} IS NULL AND {column} <> '' THEN '{invalid}'"
            f" WHEN n_{name} NOT BETWEEN {least} AND {most} THEN '{outside}'"
        )
    given = ", ".join(f"n_{name} AS {name}" for name in FIELDS)
    return f"""
        SELECT time AS timestamp, sensor_id, {given}, CASE
            WHEN stamp = '' THEN 'missing_timestamp'
            WHEN time IS NULL THEN 'invalid_timestamp'
            WHEN time < TIMESTAMP '{NOT_BEFORE}' THEN 'timestamp_too_old'
            WHEN sensor_id = '' THEN 'missing_key' {cases} END AS reason
        FROM (SELECT timestamp AS stamp, try_strptime(timestamp, '{TIME}') AS time, sensor_id,
            {", ".join(column for column, _, _ in LIMITS.values())}, {numbers}
            FROM read_csv('{path}', header = true, delim = ';', quote = '', escape = '',
                auto_detect = false, columns = {{{columns}}}, nullstr = '~'))
    """  # noqa: S608


def finish(db: duckdb.DuckDBPyConnection, day: str, out: Path) -> int:
    """Write a day; return how many duplicates it had."""
    where = f"timestamp >= '{day}' AND timestamp < DATE '{day}' + INTERVAL 1 DAY"
    db.execute(f"""
        CREATE OR REPLACE TABLE kept AS SELECT {NAMES} FROM clean
        WHERE rowid IN (SELECT min(rowid) FROM clean WHERE {where} GROUP BY timestamp, sensor_id)
        ORDER BY timestamp, sensor_id
    """)  # noqa: S608
    options = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
    db.execute(f"COPY kept TO '{out}/rows-{day}.parquet' {options}")
    statistics = ", ".join(
        f"{function}({name}) AS {name}_{label}"
        for name in FIELDS
        for label, function in (
            *(("count", "count"), ("mean", "avg"), ("stddev", "stddev_samp")),
            *(("min", "min"), ("max", "max")),
        )
    )
    statistics += "".join(
        f", quantile_disc({name}, {percent / 100}) AS {name}_p{percent}"
        for name in FIELDS
        for percent in PERCENT
    )
    db.execute(f"""
        COPY (SELECT date_trunc('hour', timestamp) AS window_start, sensor_id, {statistics}
            FROM kept GROUP BY ALL ORDER BY ALL)
        TO '{out}/features-{day}.parquet' {options}
    """)  # noqa: S608
    found = db.execute(f"SELECT count(*) FROM clean WHERE {where}").fetchone()  # noqa: S608
    kept = db.execute("SELECT count(*) FROM kept").fetchone()
    db.execute(f"CREATE OR REPLACE TABLE clean AS SELECT * FROM clean WHERE NOT ({where})")  # noqa: S608
    return int(found[0] - kept[0]) if found and kept else 0


def clean(source: Path, out: Path) -> Counter[str]:
    """Clean the files of a folder."""
    counts: Counter[str] = Counter()
    db = duckdb.connect(config={"threads": 1})
    db.execute(f"""CREATE TABLE clean (timestamp TIMESTAMP, sensor_id VARCHAR,
        {", ".join(f"{name} DOUBLE" for name in FIELDS)})""")
    for path, _, done in days_done(source.iterdir()):
        db.execute(f"CREATE OR REPLACE TABLE read AS {reading(path)}")
        for reason, count in db.execute("SELECT reason, count(*) FROM read GROUP BY 1").fetchall():
            counts["read"] += count
            if reason is not None:
                counts[reason] += count
        db.execute(f"INSERT INTO clean SELECT {NAMES} FROM read WHERE reason IS NULL")  # noqa: S608
        days = db.execute(
            "SELECT DISTINCT CAST(timestamp AS DATE)::VARCHAR FROM clean ORDER BY 1"
        ).fetchall()
        for (day,) in days:
            if day <= done:
                counts["duplicate"] += finish(db, day, out)
    return counts


if __name__ == "__main__":
    main(clean)
