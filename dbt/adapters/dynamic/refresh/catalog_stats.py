"""What dbt's documentation shows of a dynamic table beside its columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.refresh.overview import Listed, Overview, Table

if TYPE_CHECKING:
    import agate

# By dbt's id of a stat: its label, what it means, and its value; None where there is none.
_STATS: Mapping[str, tuple[str, str, Callable[[Table, Listed], str | None]]] = {
    "keys": (
        "Keys",
        "The columns by which a refresh replaces rows",
        lambda table, _: ", ".join(table.state.keys) or "none",
    ),
    "refresh_mode": (
        "Refresh mode",
        "How it may be refreshed, as of its last refresh, and why never incrementally",
        lambda table, _: ": ".join(
            filter(None, (table.record.refresh_mode, table.record.refresh_mode_reason))
        ),
    ),
    "target_lag": (
        "Target lag",
        "How old its data may become",
        lambda table, _: table.record.target_lag,
    ),
    "last_refresh": (
        "Last refresh",
        "When the last one ended that wrote or failed, what it did and why",
        lambda _, listed: _last_refresh(listed),
    ),
    "rows": ("Rows", "How many rows it has", lambda _, listed: f"{listed.rows or 0:,}"),
}


def _last_refresh(listed: Listed) -> str | None:
    if listed.completed_at is None:
        return None
    did = filter(None, (listed.last_action, listed.reason_code))
    return f"{listed.completed_at:%Y-%m-%d %H:%M:%S} UTC, {' '.join(did)}"


def with_stats(catalog: agate.Table, overview: Overview) -> agate.Table:
    """dbt's catalog of a database with the stats of the dynamic tables in it.

    Args:
        catalog: one row a column, as ``get_catalog`` gives it.
        overview: the dynamic tables.

    Returns:
        The same rows; with four columns for each stat (``stats:<id>:label``, ``value``,
        ``description`` and ``include``) if one of them is of a dynamic table.
    """
    import agate

    values: dict[tuple[str, ...], dict[str, str | None]] = {
        table.key: {name: value(table, listed) for name, (_, _, value) in _STATS.items()}
        for table, listed in overview.tables()
    }
    place = ("table_database", "table_schema", "table_name")
    keys = [tuple(fold(str(row[part])) for part in place) for row in catalog.rows]
    if not any(key in values for key in keys):
        return catalog
    names, kinds = list(catalog.column_names), list(catalog.column_types)
    rows = [list(row) for row in catalog.rows]
    text = agate.Text(cast_nulls=False)  # or "none" would be a NULL
    for stat, (label, description, _) in _STATS.items():
        names += [f"stats:{stat}:{what}" for what in ("label", "value", "description", "include")]
        kinds += [text, text, text, agate.Boolean()]
        for key, row in zip(keys, rows, strict=True):
            value = values.get(key, {}).get(stat)
            row += [label, value or "", description, value is not None]
    return agate.Table(rows, names, kinds)
