"""``dbt-dynamic validate``."""

from __future__ import annotations

import click

from dbt.adapters.dynamic.cli.options import common, selecting
from dbt.adapters.dynamic.cli.output import print_json
from dbt.adapters.dynamic.cli.project import Where, open_project
from dbt.adapters.dynamic.models import DYNAMIC_TABLE


@click.command()
@common
@selecting
def validate(
    where: Where,
    output: str,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
) -> None:
    """Tell of each dynamic table whether its refreshes can be incremental, or why not.

    By which keys and which strategy, and whether any tables read each other in a circle. No rows
    are read, and nothing need be built. The exit code is 1 if dbt run would fail: a model with
    refresh_mode: incremental that cannot be, SQL that is not valid, or a circle.
    """
    with open_project(where, select, exclude) as project:
        chosen = None
        if project.selected is not None:
            nodes = project.manifest.nodes
            chosen = [
                one for one in project.selected if nodes[one].config.materialized == DYNAMIC_TABLE
            ]
        validation = project.adapter.dynamic_table_validate(chosen)
    if output == "json":
        print_json(validation)
    else:
        for line in validation.lines:
            click.echo(line)
        if not validation.lines:
            click.echo("no dynamic tables")
    if validation.wrong:
        raise click.ClickException(
            f"{validation.wrong} of these must be mended before dbt run succeeds."
        )
