"""A dbt project on a lake, run in this process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.refresh.lake import CONFIG, PATH
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from tests.functional.project import close_dbt

# The ways to keep a table up to date as a dbt model.
DYNAMIC, TABLE, INCREMENTAL = "dynamic_table", "table", "incremental"
FULL, FORCED = "forced_full", "forced_incremental"
MODELS = (DYNAMIC, TABLE, INCREMENTAL, FULL, FORCED)
_CONFIG = {
    DYNAMIC: {"materialized": "dynamic_table"},
    TABLE: {"materialized": "table"},
    INCREMENTAL: {"materialized": "incremental", "incremental_strategy": "append"},
    FULL: {"materialized": "dynamic_table", "refresh_mode": "full"},
    FORCED: {"materialized": "dynamic_table", "refresh_mode": "incremental"},
}
_FLAGS = {
    "send_anonymous_usage_stats": False,
    "use_colors": False,
    "write_json": False,
    "log_level_file": "none",
}


@dataclass(frozen=True)
class Done:
    """What one way needed for a workload; of its tables the sum.

    Attributes:
        seconds: of a dynamic table the sum of its phases; of another model what dbt says
            (`execution`); of the floor from BEGIN to COMMIT.
        execution: dbt's execution_time: without its start, with the macros' rendering; None for
            the floor.
        phases: of a dynamic table, by phase.
        messages: of a dynamic table: what it did, a line for each table.
    """

    seconds: float
    execution: float | None = None
    phases: dict[str, float] | None = None
    messages: tuple[str, ...] = ()


def total(parts: Iterable[Done]) -> Done:
    """What several models needed together."""
    parts = list(parts)
    phases: dict[str, float] = {}
    for part in parts:
        for phase, seconds in (part.phases or {}).items():
            phases[phase] = phases.get(phase, 0.0) + seconds
    return Done(
        sum(part.seconds for part in parts),
        sum(part.execution or 0.0 for part in parts),
        phases or None,
        tuple(message for part in parts for message in part.messages),
    )


class Models:
    """The models of a project.

    Args:
        folder: of the project.
        settings: DuckDB's.
        sources: tables of the lake's schema main that the models read.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], sources: Iterable[str]) -> None:
        self._folder = folder
        self._manifest: Manifest | None = None
        self.sources = {name: f"{{{{ source('main', '{name}') }}}}" for name in sources}
        self._yaml(
            "dbt_project.yml",
            {"name": "bench", "version": "1.0.0", "profile": "bench", "flags": _FLAGS},
        )
        output = {
            "type": "dynamic",
            "path": PATH,
            "threads": 1,
            "config_options": CONFIG,
            "settings": dict(settings),
        }
        self._yaml("profiles.yml", {"bench": {"target": "dev", "outputs": {"dev": output}}})
        tables = [{"name": name} for name in self.sources]
        source = {"name": "main", "schema": "main", "tables": tables}
        self._yaml("models/sources.yml", {"version": 2, "sources": [source]})

    def write(self, name: str, way: str, sql: str, **config: str) -> None:
        """Write a model."""
        arguments = ", ".join(f"{key}={value!r}" for key, value in (_CONFIG[way] | config).items())
        self._file(f"models/{name}.sql", f"{{{{ config({arguments}) }}}}\n{sql}")

    def run(self, models: Iterable[str]) -> dict[str, Done]:
        """``dbt run`` of some models; by name what dbt says.

        Raises:
            SystemExit: dbt failed.
        """
        if self._manifest is None:
            self._manifest = self._invoke("parse").result
        found = {}
        for one in self._invoke("run", "--select", " ".join(models)).result.results:
            response = dict(one.adapter_response)
            phases = response.get("timings")
            found[one.node.name] = Done(
                sum(phases.values()) if phases else one.execution_time,
                one.execution_time,
                phases,
                (response["_message"],) if phases else (),
            )
        return found

    def _invoke(self, *arguments: str) -> Any:
        shown = io.StringIO()
        places = ("--project-dir", str(self._folder), "--profiles-dir", str(self._folder))
        close_dbt()
        with contextlib.redirect_stdout(shown):
            result = dbtRunner(manifest=self._manifest).invoke(
                [*arguments, *places, "--no-use-colors"]
            )
        close_dbt()
        if not result.success:
            said = shown.getvalue() + str(result.exception or "")
            raise SystemExit(f"dbt {' '.join(arguments)} failed:\n{said}")
        return result

    def _file(self, path: str, text: str) -> None:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def _yaml(self, path: str, content: dict[str, Any]) -> None:
        self._file(path, yaml.safe_dump(content, sort_keys=False))
