"""A dbt project of many small models of every kind, for several threads to build at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import yaml

from dbt.adapters.dynamic.lake.extensions import _wheel_files, load_extension
from tests.functional.oracle import differences, unequal

SCHEMAS = ("red", "green", "blue")
_FLAGS = {
    "send_anonymous_usage_stats": False,
    "use_colors": False,
    "write_json": False,
    "log_level_file": "none",
}
_SOURCES = 4
_QUERIES = (
    "SELECT k, count(*) AS n, sum(v)::BIGINT AS total FROM {source} GROUP BY k",
    "SELECT id, k, v + {number} AS v FROM {source} WHERE v % 3 = {rest}",
    "SELECT a.k, max(a.v) AS v, count(b.id) AS n "
    "FROM {source} a LEFT JOIN {other} b ON a.id = b.id GROUP BY a.k",
)
# dbt, its adapter and DuckDB in a process of their own: the control may end in a segfault.
_DBT = "import sys; from dbt.cli.main import cli; sys.exit(cli(sys.argv[1:]))"


@dataclass(frozen=True)
class Relation:
    """A model or seed, and where it belongs.

    Attributes:
        schema: its schema in the lake.
        name: its name.
        sql: its query on copies of the sources, "" for what is not compared with a query.
    """

    schema: str
    name: str
    sql: str


class Workload:
    """The project, its lake, and what must be true of both.

    Args:
        folder: an empty folder.
        path: the lake's path, as in a profile.
        dynamic: how many dynamic tables.
        plain: how many plain tables and views, half of each.
        adapter: ``dynamic``; or ``duckdb``, which builds the plain ones only.
        threads: of dbt.
        rows: of each source.
    """

    def __init__(
        self,
        folder: Path,
        path: str,
        dynamic: int,
        plain: int,
        adapter: str = "dynamic",
        threads: int = 8,
        rows: int = 400,
    ) -> None:
        self.folder = folder
        self.path = path.format(folder=folder)
        self._data = str(folder / "data")
        kind = self.path.split(":")[1]
        self._scanner = [f"{kind}_scanner"] if kind in ("sqlite", "postgres") else []
        self._relations: list[Relation] = []
        self._profile(adapter, threads)
        self._sources(rows)
        if adapter == "dynamic":
            for number in range(dynamic):
                self._model(f"dynamic_{number}", number, materialized="dynamic_table")
        for number in range(plain):
            kind = ("table", "view")[number % 2]
            self._model(f"{kind}_{number}", number, materialized=kind)
        for number in range(2 * ((plain + 19) // 20)):
            self._model(f"incremental_{number}", 3 * number, materialized="incremental")
            self._seed(f"seed_{number}", number)
        if plain:
            self._snapshot("history")

    # What happens -------------------------------------------------------------------------------

    def build(self) -> str:
        """``dbt build``, then look at every relation; returns what is wrong, or ""."""
        done = self.dbt("build")
        if done.returncode < 0:
            return f"dbt ended with signal {-done.returncode}"
        if done.returncode:
            return done.stdout + done.stderr
        with self.lake() as connection:
            wrong = list(self._misplaced(connection)) or list(self._different(connection))
            return "\n".join(wrong)

    def dbt(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run dbt in a process of its own."""
        return subprocess.run(
            [sys.executable, "-c", _DBT, command, "--project-dir", ".", "--profiles-dir", "."],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def change(self, round: int) -> None:
        """What somebody else does to the sources between two runs."""
        with self.lake() as connection:
            for number in range(_SOURCES):
                table = f"lake.raw.events_{number}"
                first = 1000 + 100 * round
                count = (3, 60)[number % 2]
                connection.execute(
                    f"INSERT INTO {table} SELECT i, i % 40, i "
                    f"FROM range({first}, {first + count}) r(i)"
                )
                connection.execute(f"UPDATE {table} SET v = v + 1 WHERE k = {round + number}")
                connection.execute(f"DELETE FROM {table} WHERE id = {20 * round + number}")

    def lake(self) -> duckdb.DuckDBPyConnection:
        """A connection to the lake; it must be closed before dbt runs again."""
        connection = duckdb.connect()
        for name in ("ducklake", *self._scanner):
            load_extension(connection, name)
        connection.execute(f"ATTACH '{self.path}' AS lake (DATA_PATH '{self._data}')")
        return connection

    # What must be true --------------------------------------------------------------------------

    def _misplaced(self, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """By the catalog's own metadata: what is in another schema, or missing, or left over."""
        found = {
            (schema, name)
            for kind in ("table", "view")
            for schema, name in _metadata(connection, kind)
            if schema.startswith("main")
        }
        wanted = {(one.schema, one.name) for one in self._relations}
        for schema, name in sorted(found - wanted):
            yield f"{schema}.{name} is there and should not be"
        for schema, name in sorted(wanted - found):
            yield f"{schema}.{name} is not there"

    def _different(self, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
        connection.execute("USE lake")
        for name, text in differences(connection).items():
            if text:
                yield f"{name}: {text}"
        for number in range(_SOURCES):
            connection.execute(
                f"CREATE TEMP TABLE events_{number} AS FROM lake.raw.events_{number}"
            )
        for one in self._relations:
            if one.sql:
                stored = f"lake.{one.schema}.{one.name}"
                rows = unequal(connection, one.sql, f"FROM {stored}")
                if rows:
                    yield f"{stored} differs in {len(rows)} rows"

    # The project --------------------------------------------------------------------------------

    def _profile(self, adapter: str, threads: int) -> None:
        self._yaml(
            "dbt_project.yml",
            {
                "name": "stress",
                "version": "1.0.0",
                "profile": "stress",
                "flags": _FLAGS,
                "models": {"+incremental_strategy": "append"},
            },
        )
        lake = {"path": self.path, "alias": "lake", "options": {"data_path": self._data}}
        output: dict[str, Any] = {
            "type": adapter,
            "path": ":memory:",
            "database": "memory",
            "threads": threads,
            "attach": [{**lake, "is_ducklake": True}],
        }
        if adapter == "duckdb":  # ours finds its extensions itself
            output["extensions"] = [
                str(next(iter(_wheel_files(name)), name)) for name in ("ducklake", *self._scanner)
            ]
            output["config_options"] = {"extension_directory": str(self.folder / "extensions")}
        self._yaml("profiles.yml", {"stress": {"target": "dev", "outputs": {"dev": output}}})

    def _sources(self, rows: int) -> None:
        with self.lake() as connection:
            connection.execute("CREATE SCHEMA lake.raw")
            for number in range(_SOURCES):
                connection.execute(
                    f"CREATE TABLE lake.raw.events_{number} AS "
                    f"SELECT i AS id, i % 40 AS k, i * {number + 1} AS v FROM range({rows}) r(i)"
                )
        tables = [{"name": f"events_{number}"} for number in range(_SOURCES)]
        source = {"name": "raw", "database": "lake", "schema": "raw", "tables": tables}
        self._yaml("models/sources.yml", {"version": 2, "sources": [source]})

    def _model(self, name: str, number: int, **config: Any) -> None:
        query = _QUERIES[number % len(_QUERIES)]
        numbers = {"number": number, "rest": number % 3}
        sources = {"source": number % _SOURCES, "other": (number + 1) % _SOURCES}
        schema = SCHEMAS[number % len(SCHEMAS)]
        text = query.format(
            **numbers,
            **{key: f"{{{{ source('raw', 'events_{n}') }}}}" for key, n in sources.items()},
        )
        plain = query.format(**numbers, **{key: f"temp.events_{n}" for key, n in sources.items()})
        config = {"database": "lake", "schema": schema, **config}
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.items())
        self._file(f"models/{name}.sql", f"{{{{ config({arguments}) }}}}\n{text}")
        compared = config["materialized"] in ("table", "view")
        self._relations.append(Relation(f"main_{schema}", name, plain if compared else ""))

    def _seed(self, name: str, number: int) -> None:
        schema = SCHEMAS[number % len(SCHEMAS)]
        rows = "".join(f"{i},{i * number}\n" for i in range(20))
        self._file(f"seeds/{name}.csv", f"id,v\n{rows}")
        config = {"database": "lake", "schema": schema, "fast": bool(number % 2)}
        self._yaml(
            f"seeds/{name}.yml", {"version": 2, "seeds": [{"name": name, "config": config}]}
        )
        self._relations.append(
            Relation(
                f"main_{schema}", name, f"SELECT i AS id, i * {number} AS v FROM range(20) r(i)"
            )
        )

    def _snapshot(self, name: str) -> None:
        self._file(
            f"snapshots/{name}.sql",
            f"{{% snapshot {name} %}}{{{{ config(target_database='lake', "
            "target_schema='main_red', unique_key='id', strategy='check', check_cols=['v']) }}"
            "SELECT * FROM {{ source('raw', 'events_0') }}{% endsnapshot %}",
        )
        self._relations.append(Relation("main_red", name, ""))

    def _file(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def _yaml(self, path: str, content: dict[str, Any]) -> None:
        self._file(path, yaml.safe_dump(content, sort_keys=False))


def _metadata(connection: duckdb.DuckDBPyConnection, kind: str) -> list[tuple[str, str]]:
    """Schema and name of every live table or view."""
    # A catalog in a file has its tables where names are looked for; PostgreSQL's are in a schema.
    rows = connection.execute(
        "SELECT concat(database_name, '.', schema_name) FROM duckdb_tables() "
        "WHERE table_name = 'ducklake_snapshot' AND database_name = '__ducklake_metadata_lake'"
    ).fetchall()
    prefix = rows[0][0] if rows else "__ducklake_metadata_lake"
    return connection.execute(
        f"SELECT s.schema_name, r.{kind}_name FROM {prefix}.ducklake_{kind} r "
        f"JOIN {prefix}.ducklake_schema s USING (schema_id) "
        "WHERE r.end_snapshot IS NULL AND s.end_snapshot IS NULL"
    ).fetchall()
