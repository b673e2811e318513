"""The adapter behind a dbt project's profile, without parsing the project's models."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

from dbt_common.context import set_invocation_context

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.impl import DynamicAdapter
from dbt.adapters.factory import get_adapter, register_adapter, reset_adapters
from dbt.config.runtime import RuntimeConfig, load_profile, load_project
from dbt.flags import set_from_args
from dbt.mp_context import get_mp_context


@contextmanager
def open_adapter(
    project_dir: str, profiles_dir: str, profile: str | None, target: str | None
) -> Iterator[DynamicAdapter]:
    """Connect as dbt would.

    Args:
        project_dir: where ``dbt_project.yml`` is.
        profiles_dir: where ``profiles.yml`` is.
        profile: the profile, if not the project's.
        target: the target, if not the profile's default.

    Raises:
        DynamicTableError: the profile is of another adapter.
        DbtBaseException: dbt's own errors about these files.
    """
    set_invocation_context(dict(os.environ))
    arguments = argparse.Namespace(
        project_dir=project_dir,
        profiles_dir=profiles_dir,
        profile=profile,
        target=target,
        vars={},
        threads=None,
        which="dbt-dynamic",
    )
    set_from_args(arguments, None)
    loaded = load_profile(project_dir, {}, profile, target, None)
    if loaded.credentials.type != "dynamic":
        raise DynamicTableError(
            f"The target '{loaded.target_name}' of the profile '{loaded.profile_name}' has type: "
            f"{loaded.credentials.type}; dbt-dynamic needs type: dynamic."
        )
    project = load_project(project_dir, False, loaded, {}, require_vars=False)
    config = RuntimeConfig.from_parts(project, loaded, arguments)
    reset_adapters()
    register_adapter(config, get_mp_context())
    adapter = get_adapter(config)
    assert isinstance(adapter, DynamicAdapter)
    try:
        with adapter.connection_named("dbt-dynamic"):
            yield adapter
    finally:
        adapter.cleanup_connections()
        reset_adapters()
