"""Errors and fallbacks: what the user did wrong, and why a query is refreshed in full."""

from __future__ import annotations

from dbt_common.exceptions import DbtBaseException, DbtRuntimeError


def one_line(error: Exception) -> str:
    """What an error says, without dbt's heading."""
    text = error.msg if isinstance(error, DbtBaseException) and hasattr(error, "msg") else error
    return " ".join(str(text).split())


class DynamicTableError(DbtRuntimeError):
    """A mistake that the user can mend: says what, where, and the remedy in one message."""

    CODE = 10200
    MESSAGE = "Dynamic table error"


class ConfigurationError(DynamicTableError):
    """A configuration key or value that a dynamic table cannot take."""


class SelfCheckFailed(DynamicTableError):
    """A merge did not do what its plan said; it never commits, the table is rebuilt."""


class DeletesLost(DbtRuntimeError):
    """DuckLake may have lost what a refresh deleted; the table is created anew."""


class BeingMaintained(DbtRuntimeError):
    """Maintenance works on the table's files; a refresh waits."""


class Overtaken(DbtRuntimeError):
    """What a transaction sees of a lake is not of one moment; it begins again."""


class TurnNeeded(DbtRuntimeError):
    """A refresh cannot go on beside others that read; it starts over with the turn to write."""
