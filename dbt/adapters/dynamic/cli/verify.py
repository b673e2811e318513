"""``dbt-dynamic verify``."""

from __future__ import annotations

from typing import Any

import click

from dbt.adapters.dynamic.cli.options import common
from dbt.adapters.dynamic.cli.output import print_json, progress_bar
from dbt.adapters.dynamic.cli.project import Where, open_project
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.models import dynamic_models


@click.command()
@common
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Compare the rows of N keys of each table only, always the same ones.",
)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
def verify(
    where: Where,
    output: str,
    sample: int | None,
    models: tuple[str, ...],
) -> None:
    """Compare dynamic tables with their queries, computed anew at the recorded snapshots.

    Both ways, duplicates counted; rows that differ are shown. MODEL is a model of the project, or
    SCHEMA.TABLE; by default all dynamic tables are compared. Nothing is changed. The exit code is
    1 if a table differs.
    """
    with open_project(where) as project:
        names = [_relation(project.adapter, project.manifest, one) for one in models] or None
        with progress_bar() as progress:
            found = project.adapter.dynamic_table_verify(
                names, project.manifest.flat_graph, sample, progress
            )
    if output == "json":
        print_json({"tables": found})
    else:
        for one in found:
            click.echo(one.line)
            for example in one.examples:
                click.echo(f"    {example}")
        if not found:
            click.echo("no dynamic tables")
    different = [one.dynamic_table for one in found if one.status == "DIFFERENT"]
    if different:
        raise click.ClickException(
            f"not equal to their queries: {', '.join(different)}. "
            "dbt run --full-refresh --select <model> rebuilds a table."
        )


def _relation(adapter: Any, manifest: Any, name: str) -> str:
    """The table of a model; what is no model and has a dot in it is a table's name already."""
    try:
        (node,) = dynamic_models(manifest, [name])
    except DynamicTableError:
        if "." in name:
            return name
        raise
    relation = adapter.Relation.create_from(adapter.config, node)
    return f"{relation.database}.{relation.schema}.{relation.identifier}"
