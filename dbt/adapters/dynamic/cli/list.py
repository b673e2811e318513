"""``dbt-dynamic list``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from dbt.adapters.dynamic.cli.options import common, selecting
from dbt.adapters.dynamic.cli.output import duration, number, print_json, print_table
from dbt.adapters.dynamic.cli.project import Where, open_adapter, open_project
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.models import DYNAMIC_TABLE
from dbt.adapters.dynamic.refresh.overview import Listed

_COLUMNS = ("table", "status", "last action", "age of data", "target_lag", "rows")


@click.command("list")
@common
@selecting
def list_(
    where: Where,
    output: str,
    select: tuple[str, ...],
    exclude: tuple[str, ...],
) -> None:
    """List the dynamic tables: status, last refresh, age of the data, rows.

    All that were built in the profile's lakes; or with --select or --exclude those of the project
    that are selected, built or not. The data is as old as the first change that it does not show;
    the age is 0 s where nothing has changed since the last refresh. Nothing is changed.

    \b
    Example: dbt-dynamic list --select tag:hourly
    """
    if select or exclude:
        with open_project(where, select, exclude) as project:
            nodes = [project.manifest.nodes[one] for one in project.selected or ()]
            chosen = [node for node in nodes if node.config.materialized == DYNAMIC_TABLE]
            if not chosen:
                raise DynamicTableError(
                    "No dynamic table is selected; dbt-dynamic list without --select shows all "
                    "that were built."
                )
            found = _chosen(project.adapter, chosen)
    else:
        with open_adapter(where) as adapter:
            found = adapter.dynamic_table_list()
    if output == "json":
        print_json({"tables": found})
    elif not found:
        click.echo("no dynamic tables; dbt run builds them")
    else:
        print_table(_COLUMNS, map(_row, found), right=_COLUMNS[3:])


def _chosen(adapter: Any, nodes: Iterable[Any]) -> list[Listed]:
    """The tables of some models, those among them that do not exist yet."""
    built = {one.unique_id: one for one in adapter.dynamic_table_list()}
    found = []
    for node in nodes:
        relation = adapter.Relation.create_from(adapter.config, node)
        name = f"{relation.database}.{relation.schema}.{relation.identifier}"
        lag = node.config.get("target_lag")
        absent = Listed(
            name, node.unique_id, "UNINITIALIZED", None, None, None, None, lag, None, None
        )
        found.append(built.get(node.unique_id, absent))
    return sorted(found, key=lambda one: one.name)


def _row(one: Listed) -> tuple[str | None, ...]:
    late = " (late)" if one.late else ""
    age = duration(one.age_seconds)
    return (
        one.name,
        one.status,
        " ".join(filter(None, (one.last_action, one.reason_code))) or None,
        None if age is None else age + late,
        one.target_lag,
        number(one.rows),
    )
