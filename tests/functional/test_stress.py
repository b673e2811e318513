"""Short forms of the stress: ``make stress`` runs them long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.adapters.dynamic.turn import Turn
from tests.functional.catalogs import any_catalog, on
from tests.stress.reading import Reading
from tests.stress.workload import Workload


def _lake(folder: Path, catalog: dict[str, Any]) -> str:
    return str(catalog.get("path", f"ducklake:{folder}/lake.ducklake")).replace(
        "sqlite:lake", f"sqlite:{folder}/lake"
    )


@any_catalog
def test_reading_in_turns(tmp_path: Path, catalog: dict[str, Any]) -> None:
    """design.md §9: reading in every way, between transactions that write in every way."""
    connection = duckdb.connect()
    for name in ("sqlite_scanner", "postgres_scanner", "ducklake"):
        load_extension(connection, name)
    path = _lake(tmp_path, catalog)
    connection.execute(f"ATTACH '{path}' AS lake (DATA_PATH '{tmp_path}/data')")
    try:
        reading = Reading(connection, rounds=4, readers=4, turn=Turn())
        reading.run()
    finally:
        connection.close()
    assert not reading.wrong
    assert reading.commits == 4
    assert reading.reads.total() >= 4 * 4


@on("postgres")
def test_threads(tmp_path: Path, catalog: dict[str, Any]) -> None:
    """Models of every kind, first built and then refreshed, on eight threads."""
    work = Workload(tmp_path, _lake(tmp_path, catalog), dynamic=3, plain=3)
    assert work.build() == ""
    work.change(0)
    assert work.build() == ""
