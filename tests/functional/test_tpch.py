"""TPC-H through dbt: the 22 queries as they are, each a dynamic table."""

from __future__ import annotations

from pathlib import Path

import duckdb

from dbt.adapters.dynamic.lake.extensions import load_extension
from tests.functional.project import LakeProject
from tests.tpch.test_tpch import WITH_LIMIT
from tests.tpch.workload import CHANGES, SCALE_FACTOR, TABLES


def generated(folder: Path) -> dict[int, str]:
    """Write TPC-H's tables as Parquet files; returns its queries."""
    with duckdb.connect() as connection:
        load_extension(connection, "tpch")
        connection.execute(f"CALL dbgen(sf = {SCALE_FACTOR})")
        for table in TABLES:
            connection.execute(f"COPY {table} TO '{folder / table}.parquet'")
        return dict(connection.execute("SELECT query_nr, query FROM tpch_queries()").fetchall())


def test_all_queries_of_tpch(project: LakeProject, tmp_path: Path) -> None:
    """LakeProject compares every table with its query after every run."""
    queries = generated(tmp_path)
    project.sql(
        *(f"CREATE TABLE {table} AS FROM '{tmp_path}/{table}.parquet'" for table in TABLES)
    )
    for number, sql in queries.items():
        project.model(f"q{number}", sql.rstrip().rstrip(";"))
    first = project.run()
    assert {one["reason_code"] for one in first.values()} == {"FIRST_BUILD"}
    changes = ["RF1: new orders", "suppliers moved"]
    project.sql("BEGIN", *(sql for name in changes for sql in CHANGES[name]), "COMMIT")
    done = project.run()
    for number in queries:
        one = done[f"q{number}"]
        found = one["refresh_action"], one["reason_code"]
        expected = (
            {("FULL", "LIMIT_UNSUPPORTED")}
            if number in WITH_LIMIT
            else {("INCREMENTAL", "SOURCE_CHANGED"), ("FULL", "OVER_THRESHOLD")}
        )
        assert found in expected | {("NO_DATA", "NO_CHANGES")}, (number, found, one["reason"])
    assert sum(one["refresh_action"] == "INCREMENTAL" for one in done.values()) >= 5
    quiet = project.run()
    assert {one["refresh_action"] for one in quiet.values()} == {"NO_DATA"}
