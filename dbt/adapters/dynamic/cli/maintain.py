"""``dbt-dynamic maintain``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from dbt.adapters.dynamic.cli.options import common
from dbt.adapters.dynamic.cli.project import Where, open_adapter
from dbt.adapters.dynamic.errors import ConfigurationError
from dbt.adapters.dynamic.maintenance.report import duration


def _checked(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            duration(option.name or "", value)
        except ConfigurationError as error:
            raise click.BadParameter(error.msg, context, option) from error
    return value


@click.command()
@common
@click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")
@click.option(
    "--alone",
    is_flag=True,
    help="Nobody else writes to the lake meanwhile: on PostgreSQL, also merge the files of tables "
    "that are not dynamic.",
)
@click.option(
    "--lake",
    "lakes",
    multiple=True,
    help="An attached lake to maintain; by default those that dynamic tables were built in.",
)
@click.option(
    "--delete-orphans",
    is_flag=True,
    help="Delete files that no snapshot ever named; only if no other lake, attached or not, keeps "
    "its files in the same place.",
)
@click.option(
    "--history-retention", callback=_checked, help="How long to keep rows of the refresh history."
)
@click.option(
    "--snapshot-retention", callback=_checked, help="How long to keep snapshots nobody needs."
)
@click.option(
    "--file-retention", callback=_checked, help="How long to keep files that no snapshot names."
)
def maintain(
    where: Where,
    output: str,
    dry_run: bool,
    alone: bool,
    lakes: tuple[str, ...],
    delete_orphans: bool,
    **retention: str | None,
) -> None:
    """Merge files, expire snapshots and delete history, as far as no dynamic table needs them.

    How long things are kept is said in the profile (history_retention, snapshot_retention,
    file_retention), or by the options.
    """
    with open_adapter(where) as adapter:
        steps = adapter.dynamic_table_maintain(
            dry_run, list(lakes) or None, alone, delete_orphans, **retention
        )
    if output == "json":
        listed = [asdict(step) for step in steps]
        click.echo(json.dumps({"dry_run": dry_run, "steps": listed}, indent=2))
    else:
        for step in steps:
            click.echo(step.said(dry_run))
        if not steps:
            click.echo("nothing to maintain")
    failed = sum(step.failed for step in steps)
    if failed:
        raise click.ClickException(f"{failed} of these could not be done; all others were.")
