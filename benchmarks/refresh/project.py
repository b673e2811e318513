"""A dbt project on a lake with TPC-H: every workload as three models."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from benchmarks.refresh.workloads import Workload
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.dynamic.environment import UNSOUND_OPTIMIZER
from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

TABLES = ("customer", "lineitem", "orders")
# The ways to keep a table up to date, as models.
DYNAMIC, TABLE, INCREMENTAL = "dynamic_table", "table", "incremental"
WAYS = (DYNAMIC, TABLE, INCREMENTAL)
_FLAGS = {
    "send_anonymous_usage_stats": False,
    "use_colors": False,
    "write_json": False,
    "log_level_file": "none",
}


@dataclass(frozen=True)
class Run:
    """What dbt says of one model.

    Attributes:
        seconds: from its start to its end, without dbt's own start.
        response: its adapter_response.
    """

    seconds: float
    response: dict[str, Any]


class Project:
    """The project and its lake.

    Args:
        folder: an empty folder.
        scale_factor: of TPC-H.
        workloads: what to build.
        memory_limit: DuckDB's, or "".
    """

    def __init__(
        self,
        folder: Path,
        scale_factor: float,
        workloads: tuple[Workload, ...],
        memory_limit: str = "",
    ) -> None:
        self.folder = folder
        self._settings = {"memory_limit": memory_limit} if memory_limit else {}
        os.chdir(folder)  # the profile's paths are relative
        self._write(workloads)
        with self.lake() as connection:
            load_extension(connection, "tpch")
            connection.execute("USE memory")
            connection.execute(f"CALL dbgen(sf = {scale_factor})")
            connection.execute("CREATE SCHEMA lake.bench")
            for table in TABLES:
                connection.execute(f"CREATE TABLE lake.main.{table} AS FROM memory.main.{table}")
            connection.execute(
                "CREATE TABLE lake.bench.changed AS "
                "SELECT l_orderkey, l_partkey, l_suppkey FROM lake.main.lineitem LIMIT 0"
            )
        self._manifest: Manifest = self._invoke("parse").result

    @contextlib.contextmanager
    def lake(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the lake, beside dbt."""
        close_dbt()
        with contextlib.closing(duckdb.connect(config=self._settings)) as connection:
            load_extension(connection, "ducklake")
            connection.execute(f"SET GLOBAL disabled_optimizers = '{UNSOUND_OPTIMIZER}'")
            connection.execute("ATTACH 'ducklake:lake.ducklake' AS lake")
            connection.execute("USE lake")
            yield connection

    def run(self, model: str, *arguments: str) -> Run:
        """``dbt run`` of one model."""
        result = self._invoke("run", "--select", model, *arguments)
        (one,) = result.result.results
        return Run(one.execution_time, dict(one.adapter_response))

    def _invoke(self, *arguments: str) -> Any:
        shown = io.StringIO()
        known = getattr(self, "_manifest", None)
        with contextlib.redirect_stdout(shown):
            result = dbtRunner(manifest=known).invoke(
                [*arguments, "--project-dir", ".", "--profiles-dir", ".", "--no-use-colors"]
            )
        close_dbt()
        if not result.success:
            raise SystemExit(f"dbt {' '.join(arguments)} failed: {shown.getvalue()}")
        return result

    def _write(self, workloads: tuple[Workload, ...]) -> None:
        self._yaml(
            "dbt_project.yml",
            {"name": "bench", "version": "1.0.0", "profile": "bench", "flags": _FLAGS},
        )
        output = {
            "type": "dynamic",
            "path": "ducklake:lake.ducklake",
            "threads": 1,
            "settings": self._settings,
        }
        self._yaml("profiles.yml", {"bench": {"target": "dev", "outputs": {"dev": output}}})
        tables = [{"name": name} for name in TABLES]
        sources = [{"name": "main", "schema": "main", "tables": tables}]
        self._yaml("models/sources.yml", {"version": 2, "sources": sources})
        references = {name: f"{{{{ source('main', '{name}') }}}}" for name in TABLES}
        for one in workloads:
            query = one.query.format(**references)
            self._model(f"{one.name}_{DYNAMIC}", query, f"materialized='{DYNAMIC}'")
            self._model(f"{one.name}_{TABLE}", query, f"materialized='{TABLE}'")
            keys = "(" + one.affected.format(**references) + ")"
            restricted = one.restricted.format(keys=f"{keys} AS k", **references)
            self._model(
                f"{one.name}_{INCREMENTAL}",
                "{% if is_incremental() %}" + restricted + "{% else %}" + query + "{% endif %}",
                "materialized='incremental', incremental_strategy='delete+insert', "
                f"unique_key={list(one.keys)!r}",
            )

    def _model(self, name: str, sql: str, config: str) -> None:
        self._file(f"models/{name}.sql", f"{{{{ config({config}) }}}}\n{sql}")

    def _file(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def _yaml(self, path: str, content: dict[str, Any]) -> None:
        self._file(path, yaml.safe_dump(content, sort_keys=False))


def close_dbt() -> None:
    """Close the DuckDB instance that dbt keeps: the lake's catalog admits one."""
    environment = DuckDBConnectionManager._ENV
    if environment is not None:
        environment.close()
    DuckDBConnectionManager._ENV = None
