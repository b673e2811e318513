"""``dbt-dynamic drop``."""

from __future__ import annotations

from dataclasses import asdict

import click

from dbt.adapters.dynamic.cli.options import common
from dbt.adapters.dynamic.cli.output import print_json
from dbt.adapters.dynamic.cli.project import Where, open_adapter


@click.command()
@common
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("model")
def drop(
    where: Where,
    output: str,
    yes: bool,
    model: str,
) -> None:
    """Drop a dynamic table with its state, in one transaction; its history stays.

    MODEL is the name of the model or of its table. The model itself stays in the project: the next
    dbt run builds the table again.

    \b
    Example: dbt-dynamic drop customer_metrics --yes
    """
    with open_adapter(where) as adapter:
        if not yes:
            planned = adapter.dynamic_table_drop(model, dry_run=True)
            readers = ", ".join(planned.read_by)
            hint = f" {readers} will lack it." if readers else ""
            click.confirm(f"Drop {planned.name}: {planned.parts}?{hint}", abort=True, err=True)
        dropped = adapter.dynamic_table_drop(model)
    if output == "json":
        print_json({"dropped": asdict(dropped)})
    else:
        click.echo(f"dropped {dropped.name}: {dropped.parts}")
