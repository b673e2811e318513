"""The command line: which commands there are, and how each of them ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
import duckdb
from dbt_common.exceptions import DbtBaseException

from dbt.adapters.dynamic.__version__ import version
from dbt.adapters.dynamic.cli.describe import describe
from dbt.adapters.dynamic.cli.drop import drop
from dbt.adapters.dynamic.cli.explain import explain
from dbt.adapters.dynamic.cli.history import history
from dbt.adapters.dynamic.cli.impact import impact
from dbt.adapters.dynamic.cli.list import list_
from dbt.adapters.dynamic.cli.maintain import maintain
from dbt.adapters.dynamic.cli.report import report
from dbt.adapters.dynamic.cli.validate import validate
from dbt.adapters.dynamic.cli.verify import verify
from dbt.adapters.dynamic.errors import one_line
from dbt.adapters.exceptions import FailedToConnectError

OK, WRONG, USAGE = 0, 1, 2
_UNOPENED = "Nothing was changed; check path and attach of the target in profiles.yml."


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(version, prog_name="dbt-dynamic")
def cli() -> None:
    """Dynamic tables for dbt on DuckLake."""


_COMMANDS = (
    list_,
    describe,
    validate,
    explain,
    history,
    verify,
    impact,
    drop,
    maintain,
    report,
)
for command in _COMMANDS:
    cli.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line, without the program; by default the process's own.

    Returns:
        The exit code: 0, 1 where something is wrong, 2 where the command line is. What is wrong
        stands on one line of standard error.
    """
    try:
        cli.main(args=arguments, prog_name="dbt-dynamic", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        error.show()
        return WRONG
    except (click.Abort, KeyboardInterrupt):
        click.echo("Aborted.", err=True)
        return WRONG
    except FailedToConnectError as error:
        click.echo(f"Error: {one_line(error)} {_UNOPENED}", err=True)
        return WRONG
    except (DbtBaseException, duckdb.Error) as error:
        click.echo(f"Error: {one_line(error)}", err=True)
        return WRONG
    return OK


def main() -> None:
    """The console script."""
    sys.exit(run())
