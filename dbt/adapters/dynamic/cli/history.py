"""``dbt-dynamic history``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from dbt.adapters.dynamic.cli.options import common
from dbt.adapters.dynamic.cli.output import duration, number, print_json, print_table, when
from dbt.adapters.dynamic.cli.project import Where, open_adapter
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.refresh.history import STATES, moment
from dbt.adapters.dynamic.refresh.state import Refreshed

_COLUMNS = (
    "completed",
    "table",
    "state",
    "action",
    "reason",
    "took",
    "inserted",
    "deleted",
    "affected keys",
    "error",
)


def _moment(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    try:
        return None if value is None else moment(value)
    except DynamicTableError as error:
        raise click.BadParameter(error.msg, context, option) from error


@click.command()
@common
@click.option(
    "--state",
    type=click.Choice(STATES, case_sensitive=False),
    help="Only refreshes that ended like this.",
)
@click.option(
    "--since",
    callback=_moment,
    metavar="TIME",
    help="Only refreshes completed since: '2 days' ago, or 2026-11-30T06:00 (UTC).",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="How many refreshes to show.",
)
@click.argument("model", required=False)
def history(
    where: Where,
    output: str,
    state: str | None,
    since: datetime | None,
    limit: int,
    model: str | None,
) -> None:
    """Show the refreshes of all dynamic tables, or of MODEL, the newest first.

    A refresh that found nothing to do leaves no row. MODEL is the name of a model or of its table,
    which may have been dropped. Nothing is changed.

    \b
    Example: dbt-dynamic history customer_metrics --state failed --since '2 days'
    """
    with open_adapter(where) as adapter:
        found = adapter.dynamic_table_history(model, state, since, limit)
    if output == "json":
        print_json({"refreshes": found})
    else:
        print_history(found)


def print_history(refreshes: Sequence[Refreshed]) -> None:
    """Print refreshes as text."""
    if not refreshes:
        click.echo("no refreshes")
        return
    print_table(_COLUMNS, map(_row, refreshes), right=_COLUMNS[5:9])


def _row(one: Refreshed) -> tuple[str | None, ...]:
    keys = number(one.affected_keys)
    total = number(one.total_keys)
    return (
        when(one.completed_at),
        one.dynamic_table,
        one.state,
        one.refresh_action,
        one.reason_code,
        duration(one.duration_ms / 1000),
        number(one.rows_inserted),
        number(one.rows_deleted),
        f"{keys}/{total}" if keys and total else keys,
        one.error_message,
    )
