"""Options that every command has: dbt's own, and the form of the output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from dbt.adapters.dynamic.cli.project import Where
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.cli import params
from dbt.cli.resolvers import default_project_dir

Command = TypeVar("Command", bound=Callable[..., Any])


def _project(context: click.Context, option: click.Parameter, value: Any) -> str:
    if not (Path(value) / "dbt_project.yml").is_file():
        raise DynamicTableError(
            f"There is no dbt_project.yml in {value}; run this in the folder of a dbt project, or "
            "say with --project-dir where it is."
        )
    return str(value)


# As dbt has it; but looked at first, since without a project nothing else that is said matters.
_PROJECT_DIR = click.option(
    "--project-dir",
    envvar="DBT_PROJECT_DIR",
    help="Which directory to look in for the dbt_project.yml file. Default is the current working "
    "directory and its parents.",
    default=default_project_dir,
    type=click.Path(exists=True),
    is_eager=True,
    callback=_project,
)


def places(command: Command) -> Command:
    """Add dbt's options that say which project, profile and target; the command gets `where`."""

    @functools.wraps(command)
    def with_where(**options: Any) -> Any:
        where = Where(**{field.name: options.pop(field.name) for field in fields(Where)})
        return command(where=where, **options)

    decorated: Any = with_where
    for option in (params.vars, params.target, params.profile, params.profiles_dir, _PROJECT_DIR):
        decorated = option(decorated)
    return cast(Command, decorated)


def common(command: Command) -> Command:
    """Add the common options; the command gets `where` and `output`."""
    output = click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How to print the result.",
    )
    return places(output(command))


def selecting(command: Command) -> Command:
    """Add dbt's options that select models; the command gets `select` and `exclude`."""
    for option in (params.exclude, params.select):
        command = option(command)
    return command
