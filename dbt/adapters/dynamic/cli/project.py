"""The adapter behind a dbt project's profile, with the project's models or without them."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dbt_common.context import set_invocation_context
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager_client import add_logger_to_manager, cleanup_event_logger
from dbt_common.events.logger import LoggerConfig

from dbt.adapters.dynamic.errors import DynamicTableError, one_line
from dbt.adapters.dynamic.impl import DynamicAdapter
from dbt.adapters.factory import (
    get_adapter,
    get_adapter_by_type,
    register_adapter,
    reset_adapters,
)
from dbt.cli.main import dbtRunner
from dbt.config.runtime import RuntimeConfig, load_profile, load_project
from dbt.flags import set_from_args
from dbt.mp_context import get_mp_context


@dataclass(frozen=True)
class Where:
    """Which project, profile and target; as dbt's options of these names.

    Attributes:
        project_dir: where ``dbt_project.yml`` is.
        profiles_dir: where ``profiles.yml`` is.
        profile: the profile, if not the project's.
        target: the target, if not the profile's default.
        vars: variables, over those of the project.
    """

    project_dir: str
    profiles_dir: str
    profile: str | None
    target: str | None
    vars: dict[str, Any]

    @property
    def options(self) -> list[str]:
        """The same on dbt's command line."""
        found = ["--project-dir", self.project_dir, "--profiles-dir", self.profiles_dir]
        found += ["--profile", self.profile] if self.profile else []
        found += ["--target", self.target] if self.target else []
        return found + (["--vars", json.dumps(self.vars)] if self.vars else [])


@contextmanager
def open_adapter(where: Where) -> Iterator[DynamicAdapter]:
    """Connect as dbt would.

    Args:
        where: the project, which need not be one that dbt can parse.

    Raises:
        DynamicTableError: the profile is of another adapter.
        DbtBaseException: dbt's own errors about these files.
    """
    set_invocation_context(dict(os.environ))
    arguments = argparse.Namespace(**vars(where), threads=None, which="dbt-dynamic")
    set_from_args(arguments, None)
    loaded = load_profile(where.project_dir, where.vars, where.profile, where.target, None)
    if loaded.credentials.type != "dynamic":
        raise DynamicTableError(
            f"The target '{loaded.target_name}' of the profile '{loaded.profile_name}' has type: "
            f"{loaded.credentials.type}; dbt-dynamic needs type: dynamic."
        )
    project = load_project(where.project_dir, False, loaded, where.vars, require_vars=False)
    config = RuntimeConfig.from_parts(project, loaded, arguments)
    reset_adapters()
    _warnings_only()
    register_adapter(config, get_mp_context())
    adapter = get_adapter(config)
    assert isinstance(adapter, DynamicAdapter)
    try:
        with adapter.connection_named("dbt-dynamic"):
            yield adapter
    finally:
        adapter.cleanup_connections()
        reset_adapters()


def _warnings_only() -> None:
    """Let dbt's log say what is amiss, on standard error: standard output has the result only."""
    cleanup_event_logger()
    add_logger_to_manager(
        LoggerConfig(name="dbt-dynamic", level=EventLevel.WARN, output_stream=sys.stderr)
    )


@dataclass(frozen=True)
class Project:
    """A parsed dbt project.

    Attributes:
        adapter: connects as dbt would.
        manifest: dbt's manifest.
        selected: the unique_ids of the selected models, or None if nothing was selected.
    """

    adapter: DynamicAdapter
    manifest: Any
    selected: list[str] | None


def run_dbt(*arguments: str, manifest: Any = None) -> Any:
    """Run dbt in this process, silently; returns dbt's result.

    Raises:
        DynamicTableError: dbt could not even begin.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        result = dbtRunner(manifest=manifest).invoke([*arguments, "--no-use-colors"])
    if result.exception is not None:
        raise DynamicTableError(one_line(Exception(str(result.exception))))
    return result


@contextmanager
def open_project(
    where: Where, select: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Iterator[Project]:
    """Parse a project as dbt would, and connect.

    Args:
        where: the project.
        select: as dbt's ``--select``.
        exclude: as dbt's ``--exclude``.

    Raises:
        DynamicTableError: dbt cannot parse it, or the profile is of another adapter.
    """
    listing = ["ls", "--resource-type", "model", "--output", "json"]
    listing += ["--output-keys", "unique_id"]
    for option, values in (("--select", select), ("--exclude", exclude)):
        for value in values:
            listing += [option, value]
    chosen = bool(select or exclude)
    result = run_dbt(*(listing if chosen else ["parse"]), *where.options)
    _warnings_only()
    try:
        adapter = get_adapter_by_type("dynamic")
    except KeyError:
        raise DynamicTableError(
            "The project's target has another adapter; dbt-dynamic needs type: dynamic."
        ) from None
    assert isinstance(adapter, DynamicAdapter)
    ids = [json.loads(line)["unique_id"] for line in result.result or ()] if chosen else None
    try:
        with adapter.connection_named("dbt-dynamic"):
            yield Project(adapter, adapter.get_macro_resolver(), ids)
    finally:
        adapter.cleanup_connections()
        reset_adapters()
