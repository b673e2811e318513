"""``dbt-dynamic describe``."""

from __future__ import annotations

import click

from dbt.adapters.dynamic.cli.history import print_history
from dbt.adapters.dynamic.cli.options import common
from dbt.adapters.dynamic.cli.output import (
    duration,
    heading,
    number,
    print_json,
    print_table,
    when,
)
from dbt.adapters.dynamic.cli.project import Where, open_adapter
from dbt.adapters.dynamic.refresh.overview import Described


@click.command()
@common
@click.argument("model")
def describe(
    where: Where,
    output: str,
    model: str,
) -> None:
    """Show all about a dynamic table: definition, keys, sources, configuration, last refreshes.

    MODEL is the name of the model or of its table, as of its last refresh; the project is not
    parsed. Nothing is changed.

    \b
    Example: dbt-dynamic describe customer_metrics
    """
    with open_adapter(where) as adapter:
        described: Described = adapter.dynamic_table_describe(model)
    if output == "json":
        print_json(described)
        return
    _print(described)


def _print(one: Described) -> None:
    table = one.table
    facts = {
        "table": table.name,
        "model": table.unique_id,
        "status": table.status,
        "last action": " ".join(filter(None, (table.last_action, table.reason_code))) or None,
        "age of data": duration(table.age_seconds),
        "rows": number(table.rows),
        "keys": ", ".join(one.keys) or None,
        "read by": ", ".join(one.read_by) or None,
    }
    for name, value in one.configuration.items():
        shown = when(value) if hasattr(value, "strftime") else value
        facts[name] = None if shown is None else str(shown)
    for name, value in facts.items():
        click.echo(f"{name}: {value or '-'}")
    heading("sources")
    if one.sources:
        print_table(
            ("source", "snapshot", "rows", "since then", "first change"),
            (
                (
                    source.name + (" (dynamic table)" if source.dynamic else ""),
                    str(source.snapshot),
                    number(source.rows),
                    source.since,
                    when(source.changed_at),
                )
                for source in one.sources
            ),
            right=("snapshot", "rows"),
        )
    else:
        click.echo("none that has snapshots")
    heading("columns")
    print_table(("column", "type"), one.columns)
    heading("last refreshes")
    print_history(one.history)
    heading("definition")
    click.echo(one.definition.strip())
