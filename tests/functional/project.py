"""A dbt project in a temporary directory, run through dbt's own runner."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import yaml
from dbt_common.behavior_flags import BehaviorFlagRendered
from dbt_common.tests import enable_test_caching

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.credentials import Attachment
from dbt.adapters.dynamic.environment import UNSOUND_OPTIMIZER
from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.cli import requires
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from tests.functional.oracle import differences


def responses(result: dbtRunnerResult) -> dict[str, Any]:
    """The ``adapter_response`` of each node by name, or its message where it failed."""
    return {
        # Of an operation there is only the result as it would be written.
        (one.node if hasattr(one, "node") else one).unique_id.split(".")[2]: (
            one.adapter_response if one.status in ("success", "pass") else one.message
        )
        for one in getattr(result.result, "results", [])
    }


def close_dbt() -> None:
    """Close the DuckDB instance that dbt keeps between the runs of a process."""
    environment = DuckDBConnectionManager._ENV
    if environment is not None:
        environment.close()
    DuckDBConnectionManager._ENV = None


class LakeProject:
    """A project, its lake, and the only way to run dbt in it.

    Args:
        folder: an empty or missing folder; it becomes the working directory.
        output: keys of the profile's output, over the defaults (an embedded lake).
    """

    def __init__(self, folder: Path, **output: Any) -> None:
        self.folder = folder
        (folder / "models").mkdir(parents=True, exist_ok=True)
        # A relative path keeps the profile the same in every test, so that dbt's parsed macros
        # can be carried over: that is most of the time of a first run.
        os.chdir(folder)
        self.path = "ducklake:lake.ducklake"
        self._yaml(
            "dbt_project.yml",
            {"name": "test", "version": "1.0.0", "profile": "test", "flags": _FLAGS},
        )
        settings = {
            "type": "dynamic",
            "path": self.path,
            "threads": 1,
            # DuckDB's check of a signature takes longer than most that is done here; and one
            # thread does such few rows sooner than two. The stress and the demo have all.
            "config_options": {"allow_unsigned_extensions": True, "threads": 1},
            **output,
        }
        self._yaml("profiles.yml", {"test": {"target": "dev", "outputs": {"dev": settings}}})
        self.path = settings["path"]
        self.data_path = settings.get("data_path")
        self.attachments = [
            Attachment.from_dict(one).to_sql() for one in settings.get("attach", [])
        ]
        self.is_lake = self.path.startswith("ducklake:")
        self.parsed = _PARSED.setdefault(yaml.safe_dump(settings), [])
        if self.parsed:
            (folder / "target").mkdir()
            (folder / "target" / "partial_parse.msgpack").write_bytes(self.parsed[0])
        self._manifest: Manifest | None = None
        self.output = ""
        self.sources: dict[str, set[str]] = {}

    def model(self, name: str, sql: str, **config: Any) -> None:
        """Write a model, a dynamic table if nothing else is configured."""
        config = {"materialized": "dynamic_table", **config}
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.items())
        self.file(f"models/{name}.sql", f"{{{{ config({arguments}) }}}}\n{sql}")

    def file(self, path: str, text: str) -> None:
        """Write any file of the project."""
        self._manifest = None
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements on the lake as somebody else would; returns the last one's rows."""
        self.close()
        rows: list[tuple[Any, ...]] = []
        with self.connect() as connection:
            for statement in statements:
                rows = connection.execute(statement).fetchall()
        return rows

    def source(self, name: str, select: str) -> None:
        """Create ``raw.<name>`` from a SELECT and declare it as a source."""
        self.sql("CREATE SCHEMA IF NOT EXISTS raw", f"CREATE TABLE raw.{name} AS {select}")
        self.sources.setdefault("raw", set()).add(name)
        declared = [
            {"name": schema, "tables": [{"name": table} for table in sorted(tables)]}
            for schema, tables in self.sources.items()
        ]
        self._yaml("models/sources.yml", {"version": 2, "sources": declared})

    def dbt(self, *arguments: str, ok: bool = True) -> dict[str, Any]:
        """Run dbt, then check every dynamic table of the lake against the oracle.

        Args:
            arguments: dbt's command line.
            ok: whether dbt is expected to succeed.

        Returns:
            The ``adapter_response`` of each node by name, or its message where it failed.
        """
        result = self._invoke(*arguments)
        parsed = self.folder / "target" / "partial_parse.msgpack"
        if not self.parsed and parsed.exists():
            self.parsed.append(parsed.read_bytes())
        self.check()
        assert result.success is ok, self.output
        return responses(result)

    def manifest(self) -> bytes:
        """The project as dbt has parsed it, in its own format (its pickled manifest is wrong)."""
        result = self._invoke("parse")
        assert result.success, self.output
        return (self.folder / "target" / "partial_parse.msgpack").read_bytes()

    def _invoke(self, *arguments: str) -> dbtRunnerResult:
        self.close()
        shown = io.StringIO()
        places = ("--project-dir", str(self.folder), "--profiles-dir", str(self.folder))
        # What is parsed does not change before a file does, or what these options say.
        usual = not {"--vars", "--target"} & set(arguments)
        known = self._manifest if usual and "parse" not in arguments else None
        _PARSED_NOW.clear()
        with contextlib.redirect_stdout(shown):
            result = dbtRunner(manifest=known).invoke([*arguments, *places, "--no-use-colors"])
        if _PARSED_NOW and usual:
            self._manifest = _PARSED_NOW[0]
        self.output = shown.getvalue() + (str(result.exception) if result.exception else "")
        self.close()
        return result

    def run(self, *arguments: str, ok: bool = True) -> dict[str, Any]:
        """``dbt run``."""
        return self.dbt("run", *arguments, ok=ok)

    def statements(self, model: str) -> str:
        """The statements that the last run of a model executed."""
        return (self.folder / "target" / "run" / "test" / "models" / f"{model}.sql").read_text()

    def check(self) -> None:
        """Every dynamic table equals its query at its pins, both ways."""
        if not self.is_lake:
            return
        with self.connect() as connection:
            # DuckDB may take a max from statistics that are wrong (lake/changes.py), and filter
            # through a DISTINCT ON (query/sources.py).
            resting = f"statistics_propagation,join_filter_pushdown,{UNSOUND_OPTIMIZER}"
            connection.execute(f"SET GLOBAL disabled_optimizers = '{resting}'")
            try:
                different = {name: text for name, text in differences(connection).items() if text}
            finally:
                connection.execute("RESET GLOBAL disabled_optimizers")
        assert not different, different

    def close(self) -> None:
        """Let go of the lake: its catalog file admits one DuckDB instance."""
        close_dbt()

    @contextlib.contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the lake; dbt can run again when it is closed."""
        scheme = self.path.removeprefix("ducklake:").split(":")[0]
        connection = _instance(scheme if scheme in ("sqlite", "postgres") else "").cursor()
        options = f"(DATA_PATH '{self.data_path}')" if self.data_path else ""
        try:
            connection.execute(f"ATTACH '{self.path}' AS lake {options}")
            for attachment in self.attachments:
                connection.execute(attachment)
            connection.execute("USE lake")
            yield connection
        finally:
            with contextlib.suppress(duckdb.Error):  # where no transaction is open
                connection.execute("ROLLBACK")
            try:
                connection.execute("USE memory")
                for (name,) in connection.execute(
                    "SELECT database_name FROM duckdb_databases() "
                    "WHERE NOT internal AND database_name <> 'memory' "
                    "AND NOT starts_with(database_name, '__ducklake_metadata_')"
                ).fetchall():
                    connection.execute(f'DETACH "{name}"')
            except duckdb.Error:  # DuckDB gave the instance up, or the disk is full
                _instance.cache_clear()
            connection.close()

    @contextlib.contextmanager
    def somebody_else(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of another DuckDB to a lake that several may attach, while dbt runs."""
        with contextlib.closing(duckdb.connect()) as other:
            for extension in (f"{self.path.split(':')[1]}_scanner", "ducklake"):
                load_extension(other, extension)
            other.execute(f"ATTACH '{self.path}' AS lake (DATA_PATH '{self.data_path}')")
            other.execute("USE lake")
            yield other

    def _yaml(self, path: str, content: dict[str, Any]) -> None:
        self.file(path, yaml.safe_dump(content, sort_keys=False))


@functools.cache
def _instance(catalog: str) -> duckdb.DuckDBPyConnection:
    """A DuckDB instance for what is done beside dbt: loading extensions takes most of the time."""
    connection = duckdb.connect(config={"threads": 1})
    if catalog:
        load_extension(connection, f"{catalog}_scanner")
    load_extension(connection, "ducklake")
    return connection


# What dbt finds out anew in every run, and is the same in all of them: what the text of a macro
# means and which installed modules are plugins, for which dbt has a switch; and who made a flag
# (it reads the source of every frame of the stack).
enable_test_caching()
BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt")  # type: ignore[method-assign]
# What dbt parsed in the run that is under way.
_PARSED_NOW: list[Manifest] = []
_parse = requires.parse_manifest


def _remembering(*arguments: Any, **options: Any) -> Manifest:
    _PARSED_NOW.append(_parse(*arguments, **options))
    return _PARSED_NOW[-1]


requires.parse_manifest = _remembering
# dbt's parsed project by profile; see LakeProject.
_PARSED: dict[str, list[bytes]] = {}
_FLAGS = {
    "send_anonymous_usage_stats": False,
    "use_colors": False,
    "write_json": False,
    "log_level_file": "none",
}
