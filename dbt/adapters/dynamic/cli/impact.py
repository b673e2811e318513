"""``dbt-dynamic impact``."""

from __future__ import annotations

import click

from dbt.adapters.dynamic.cli.options import common
from dbt.adapters.dynamic.cli.output import duration, number, print_json, print_table
from dbt.adapters.dynamic.cli.project import Where, open_adapter
from dbt.adapters.dynamic.refresh.overview import Reached


@click.command()
@common
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
def impact(
    where: Where,
    output: str,
    sources: tuple[str, ...],
) -> None:
    """Show which dynamic tables a change of SOURCE reaches, in the order of their refreshes.

    With their keys and what their last refreshes cost. SOURCE is a table that dynamic tables read,
    such as raw.orders, or a dynamic table. Only what was built counts: views and ephemeral models
    are seen through. Nothing is changed.

    \b
    Example: dbt-dynamic impact raw.orders raw.customers
    """
    with open_adapter(where) as adapter:
        reached = adapter.dynamic_table_impact(list(sources))
    if output == "json":
        print_json({"changed": sources, "reached": reached})
    elif not reached:
        click.echo("no dynamic tables are reached")
    else:
        columns = ("", "table", "reads", "keys", "last merge", "affected keys", "last build")
        rows = (_row(place, one) for place, one in enumerate(reached, start=1))
        print_table(columns, rows, right=("", *columns[4:]))


def _row(place: int, one: Reached) -> tuple[str | None, ...]:
    keys, total = number(one.affected_keys), number(one.total_keys)
    return (
        str(place),
        one.name,
        ", ".join(one.because),
        ", ".join(one.keys) or None,
        _seconds(one.incremental_ms),
        f"{keys}/{total}" if keys and total else keys,
        _seconds(one.full_ms),
    )


def _seconds(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else duration(milliseconds / 1000)
