"""``dbt-dynamic report``."""

from __future__ import annotations

from pathlib import Path

import click

from dbt.adapters.dynamic.cli.options import places
from dbt.adapters.dynamic.cli.project import Where, open_adapter
from dbt.adapters.dynamic.report.page import check_path, render, write


@click.command()
@places
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The file to write; one that is there is replaced.",
)
def report(
    where: Where,
    output: Path,
) -> None:
    """Write a page about all dynamic tables: graph, lag, history, durations, time saved.

    One file of HTML that needs no network. It shows what the lakes of the profile record; nothing
    in them is changed.
    """
    check_path(output)
    with open_adapter(where) as adapter:
        facts = adapter.dynamic_table_facts()
    write(output, render(facts))
    count = len(facts.tables)
    click.echo(f"{output}: {count:,} dynamic {'table' if count == 1 else 'tables'}")
