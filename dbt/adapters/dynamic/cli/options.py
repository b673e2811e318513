"""Options that every command has: dbt's own, and the form of the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from dbt.cli import params

Command = TypeVar("Command", bound=Callable[..., Any])


def places(command: Command) -> Command:
    """Add dbt's options that say which project, profile and target."""
    for option in (params.target, params.profile, params.profiles_dir, params.project_dir):
        command = option(command)
    return command


def common(command: Command) -> Command:
    """Add the common options; the command gets them as dbt names them, and `output`."""
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
