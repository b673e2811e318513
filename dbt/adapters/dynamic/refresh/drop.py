"""Dropping a dynamic table with all that is kept for it; its history stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.names import literal, quoted
from dbt.adapters.dynamic.refresh.overview import Overview
from dbt.adapters.dynamic.refresh.state import SCHEMA, Store, drop_info
from dbt.adapters.dynamic.relation import RelationKey


@dataclass(frozen=True)
class Dropped:
    """What was dropped, or would be.

    Attributes:
        name: ``database.schema.identifier`` of the dynamic table.
        existed: there was a table, and not its state only.
        aggregates: its aggregates were kept in a table, which goes, too.
        read_by: the dynamic tables that read it.
    """

    name: str
    existed: bool
    aggregates: bool
    read_by: tuple[str, ...]

    @property
    def parts(self) -> str:
        """What goes, in words."""
        words = ["the table"] if self.existed else []
        words += ["its state"] + (["its kept aggregates"] if self.aggregates else [])
        return ", ".join(words[:-1]) + (" and " if words[1:] else "") + words[-1]


def found(
    overview: Overview, rows: Rows, lakes: Mapping[str, LakeCatalog], name: str
) -> tuple[RelationKey, Dropped]:
    """What `drop` would do.

    Args:
        overview: the dynamic tables.
        rows: runs a statement in the open transaction.
        lakes: the attached lakes.
        name: the table's.

    Raises:
        DynamicTableError: there is no such dynamic table, or another table has its name.
    """
    table = overview.find(name, gone=True)
    if overview.is_another(table):
        raise DynamicTableError(
            f"{table.record.name} is no dynamic table any more: another table has its name now. "
            "If that is to go, drop it by SQL."
        )
    lake = lakes[table.key[0]]
    kept = Store(rows, lake).aggregates_name(table.key)
    aggregates = lake.table(SCHEMA, kept, lake.current_snapshot()) is not None
    return table.key, Dropped(table.record.name, table.exists, aggregates, overview.readers(table))


def drop(rows: Rows, lakes: Mapping[str, LakeCatalog], name: str, invocation_id: str) -> Dropped:
    """Drop a dynamic table and all that is kept for it, in the open transaction.

    Args:
        rows: runs a statement in that transaction.
        lakes: the attached lakes.
        name: the table's.
        invocation_id: dbt's id of the invocation.

    Raises:
        DynamicTableError: see :func:`found`.
    """
    key, dropped = found(Overview(rows, lakes), rows, lakes, name)
    lake = lakes[key[0]]
    store = Store(rows, lake)
    for statement in (
        *([f"DROP TABLE {quoted(*key)}"] if dropped.existed else []),
        *store.drops(key),
        store.forgetting(key),
        f"CALL {quoted(lake.database)}.set_commit_message('dbt-dynamic', "
        f"{literal(f'drop {dropped.name}')}, "
        f"extra_info => {literal(drop_info(dropped.name, invocation_id))})",
    ):
        rows(statement)
    return dropped
