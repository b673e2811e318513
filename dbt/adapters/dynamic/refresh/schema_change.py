"""What a changed column list of a dynamic table's own query does (``on_schema_change``).

dbt's incremental models may leave a table behind its query: without the new columns, with columns
that the query no longer has, with old rows that have NULL in a new column. A dynamic table is
equal to its query, so a changed column list is either taken over as a whole, with all rows
computed anew, or refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbt.adapters.dynamic.config import OnSchemaChange
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.names import fold

_WHY = {
    OnSchemaChange.FAIL: "on_schema_change is fail",
    OnSchemaChange.IGNORE: (
        "on_schema_change is ignore, but a dynamic table that leaves columns of its query out "
        "would not be equal to it"
    ),
    OnSchemaChange.APPEND_NEW_COLUMNS: (
        "on_schema_change is append_new_columns, which keeps columns that the query no longer has "
        "as they are, and their types; the table would not be equal to its query"
    ),
}


def refuse_changed_columns(
    model: str,
    rule: OnSchemaChange,
    table: Sequence[tuple[str, str]],
    query: Sequence[tuple[str, str]],
) -> None:
    """Refuse columns that the rule does not let a table take over; their order is free.

    Args:
        model: the model's name.
        rule: the model's ``on_schema_change``.
        table: names and types of the columns, as they were built.
        query: names and types of the columns that the query has now.

    Raises:
        DynamicTableError: with the columns that differ; the table stays as it is.
    """
    was = {fold(name): kind for name, kind in table}
    now = {fold(name): kind for name, kind in query}
    added = [f"{name} ({kind}) is new" for name, kind in query if fold(name) not in was]
    others = [f"{name} ({kind}) is gone" for name, kind in table if fold(name) not in now]
    others += [
        f"{name} was {was[fold(name)]}, is {kind}"
        for name, kind in query
        if was.get(fold(name), kind) != kind
    ]
    allowed = {
        OnSchemaChange.SYNC_ALL_COLUMNS: True,
        OnSchemaChange.APPEND_NEW_COLUMNS: not others,
    }
    if not (added or others) or allowed.get(rule, False):
        return
    raise DynamicTableError(
        f"Model '{model}': the query has other columns than the table: "
        f"{'; '.join([*added, *others])}. {_WHY[rule]}. Set it to "
        "sync_all_columns, which builds the table anew with these columns, or run dbt with "
        "--full-refresh once. The table was left as it was."
    )
