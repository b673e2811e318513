"""The descriptions of a model that its table does not show yet, where persist_docs asks for them.

dbt writes them when it makes a table. A dynamic table is seldom made, so what was described later
is written to the table that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbt.adapters.dynamic.lake.catalog import Comments
from dbt.adapters.dynamic.names import fold


@dataclass(frozen=True)
class Descriptions:
    """Descriptions to write.

    Attributes:
        table: of the table, or None if it says so already.
        columns: of columns, in the form of a model's ``columns``.
    """

    table: str | None
    columns: Mapping[str, Mapping[str, Any]]

    def __bool__(self) -> bool:
        return self.table is not None or bool(self.columns)


def wanted(model: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a model wants descriptions kept with its table, and with the table's columns."""
    asked = model["config"].get("persist_docs") or {}
    return bool(asked.get("relation")), bool(asked.get("columns"))


def missing(model: Mapping[str, Any], comments: Comments) -> Descriptions:
    """What a table does not say, or says otherwise; what is described no more is to be empty.

    Args:
        model: dbt's model node.
        comments: what the table says.
    """
    of_table, of_columns = wanted(model)
    description = model.get("description") or ""
    described: dict[str, str] = {}
    for column in model.get("columns", {}).values():
        # dbt compares a column's name as it is written only where it is to be quoted.
        exact = bool(column.get("quote"))
        for name in comments.columns:
            if name == column["name"] or (not exact and fold(name) == fold(column["name"])):
                described[name] = column.get("description") or ""
    columns = {
        name: {"name": name, "description": described.get(name, ""), "quote": True}
        for name, comment in comments.columns.items()
        if comment != described.get(name, "")
    }
    return Descriptions(
        table=description if of_table and description != comments.table else None,
        columns=columns if of_columns else {},
    )
