"""Kept copies of sources that have no history (``change_tracking: diff`` and ``timestamp``).

A copy is a table in the schema ``dbt_dynamic`` of the target's lake. Before a refresh reads it, it
is brought up to date in a commit of its own, at most once in an invocation, by the rows that
differ. So it has versions and a change feed like every table of a lake, all dynamic tables of a
run see the same version of the source, and their pins are versions of the copy.
"""

from __future__ import annotations

import json
import re
import uuid

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.lake.types import stored_with_loss
from dbt.adapters.dynamic.names import fold, literal, quoted
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.refresh.state import SCHEMA, Store
from dbt.adapters.dynamic.refresh.tracking import ChangeTracking, TrackedSource
from dbt.adapters.dynamic.relation import RelationKey

_UNSUPPORTED = re.compile("unsupported type (.+)")
_WEIGHT = quoted("dbt_dynamic_weight")


def copy_name(source: RelationKey) -> str:
    """The name of a source's copy in the schema ``dbt_dynamic``."""
    return f"copy of {'.'.join(source)}"


class Copies:
    """The kept copies in one lake.

    Args:
        rows: runs a statement.
        engine: DuckDB's binder.
        catalog: the lake.
    """

    def __init__(self, rows: Rows, engine: Engine, catalog: LakeCatalog) -> None:
        self._rows = rows
        self._engine = engine
        self._catalog = catalog
        self._store = Store(rows, catalog)

    def key(self, source: TrackedSource) -> RelationKey:
        """The copy's relation."""
        return fold(self._catalog.database), SCHEMA, copy_name(source.key)

    def bring_up_to_date(self, source: TrackedSource, whole: bool) -> bool:
        """Let a copy have the rows of its source, within an open transaction.

        Args:
            source: the source.
            whole: compare all rows, also where a timestamp says which ones are new.

        Returns:
            Whether anything was written; otherwise there is nothing to commit.

        Raises:
            DynamicTableError: a lake cannot keep the values of a column as they are.
        """
        snapshot = self._catalog.current_snapshot()
        columns = self._columns(source)
        name = quoted(*self.key(source))
        if self._catalog.table(SCHEMA, copy_name(source.key), snapshot) is None:
            self._claim(source, snapshot)
            self._create(source)
            return True
        if self._engine.describe(f"FROM {name}") != columns:
            self._claim(source, snapshot)
            self._rows(f"DROP TABLE {name}")
            self._create(source)
            return True
        changes = quoted(f"dbt_dynamic_copy_{uuid.uuid4().hex}")
        self._rows(
            f"CREATE TEMPORARY TABLE {changes} AS "
            + self._difference(source, columns, None if whole else self._newest(source))
        )
        ((removed, added),) = self._rows(
            f"SELECT coalesce(sum(-{_WEIGHT}) FILTER ({_WEIGHT} < 0), 0)::BIGINT, "
            f"coalesce(sum({_WEIGHT}) FILTER ({_WEIGHT} > 0), 0)::BIGINT FROM {changes}"
        )
        if removed or added:
            self._claim(source, snapshot)
            self._apply(name, changes, columns, int(removed))
        self._rows(f"DROP TABLE {changes}")
        return bool(removed or added)

    def lost(self, source: TrackedSource) -> tuple[int, int] | None:
        """How many rows a copy by timestamp lacks, and has too many; None without a copy.

        Rows that are newer than the copy are not counted: the next run takes them.
        """
        snapshot = self._catalog.current_snapshot()
        if self._catalog.table(SCHEMA, copy_name(source.key), snapshot) is None:
            return None
        columns = self._columns(source)
        name = quoted(*self.key(source))
        if self._engine.describe(f"FROM {name}") != columns:
            return None
        newest = self._newest(source)
        upto = f" WHERE ({source.loaded_at}) < {newest}" if newest else " WHERE FALSE"
        ((missing, extra),) = self._rows(
            f"SELECT (SELECT count(*) FROM (FROM {quoted(*source.relation)}{upto} "
            f"EXCEPT ALL FROM {name}{upto})), "
            f"(SELECT count(*) FROM (FROM {name}{upto} "
            f"EXCEPT ALL FROM {quoted(*source.relation)}{upto}))"
        )
        return int(missing), int(extra)

    def _columns(self, source: TrackedSource) -> list[tuple[str, str]]:
        columns = self._engine.describe(f"FROM {quoted(*source.relation)}")
        for column, kind in columns:
            loss = stored_with_loss(kind)
            if loss:
                raise self._refused(source, f"stores column {column}, of type {kind}, {loss}")
        return columns

    def _newest(self, source: TrackedSource) -> str | None:
        """The newest timestamp in the copy, as SQL; None where all rows must be compared."""
        if source.tracking is not ChangeTracking.TIMESTAMP:
            return None
        at = f"max({source.loaded_at})"
        ((newest, kind),) = self._rows(
            f"SELECT {at}::VARCHAR, typeof({at}) FROM {quoted(*self.key(source))}"
        )
        return None if newest is None else f"CAST({literal(newest)} AS {kind})"

    def _difference(
        self, source: TrackedSource, columns: list[tuple[str, str]], newest: str | None
    ) -> str:
        """The rows to remove from the copy and to add to it, each with its weight.

        With `newest` only of what is as new: rows with that very timestamp may have come later.
        """
        names = ", ".join(quoted(name) for name, _ in columns)
        same = ", ".join([names, *(f"{text}::VARCHAR" for text in _floats(columns))])
        where = ""
        if newest is not None:
            where = f" WHERE ({source.loaded_at}) >= {newest} OR ({source.loaded_at}) IS NULL"
        return (
            f"SELECT {names}, sum(weight)::BIGINT AS {_WEIGHT} FROM ("
            f"SELECT {names}, 1 AS weight FROM {quoted(*source.relation)}{where} UNION ALL "
            f"SELECT {names}, -1 AS weight FROM {quoted(*self.key(source))}{where}"
            f") GROUP BY {same} HAVING sum(weight) <> 0"
        )

    def _apply(
        self, name: str, changes: str, columns: list[tuple[str, str]], removed: int
    ) -> None:
        names = ", ".join(quoted(column) for column, _ in columns)
        values = [quoted(column) for column, _ in columns]
        values += [f"{text}::VARCHAR" for text in _floats(columns)]
        if removed:
            match = " AND ".join(f"t.{value} IS NOT DISTINCT FROM c.{value}" for value in values)
            ((deleted,),) = self._rows(
                # A row may have copies: each is numbered, so that no more than needed go.
                f"DELETE FROM {name} WHERE rowid IN (SELECT row_id FROM ("
                f"SELECT t.rowid AS row_id, -c.{_WEIGHT} AS wanted, "
                "row_number() OVER (PARTITION BY c.rowid) AS number "
                f"FROM {name} AS t JOIN {changes} AS c ON {match} WHERE c.{_WEIGHT} < 0"
                ") WHERE number <= wanted)"
            )
            if int(deleted) != removed:
                raise DynamicTableError(
                    f"{name}: of {removed:,} rows to remove {int(deleted):,} were found. Drop "
                    "this table; the next run makes it anew."
                )
        self._rows(
            f"INSERT INTO {name} ({names}) SELECT {names} "
            f"FROM {changes} AS c, range(c.{_WEIGHT}) WHERE c.{_WEIGHT} > 0"
        )

    def _create(self, source: TrackedSource) -> None:
        name = quoted(*self.key(source))
        try:
            self._rows(f"CREATE TABLE {name} AS FROM {quoted(*source.relation)}")
        except Exception as error:  # whatever DuckLake says about it
            found = _UNSUPPORTED.search(str(error))
            if found is None:
                raise
            raise self._refused(source, f"has no columns of type {found.group(1)}") from error

    def _refused(self, source: TrackedSource, why: str) -> DynamicTableError:
        return DynamicTableError(
            f"{source.label}: meta.change_tracking '{source.tracking.value}' keeps a copy in the "
            f"lake, which {why}. Read the source through a view that casts the column, or set "
            "change_tracking to none."
        )

    def _claim(self, source: TrackedSource, snapshot: int) -> None:
        """Let two processes that bring the same copy up to date conflict (design.md §6.9)."""
        if not self._store.exists(snapshot):
            for statement in self._store.layout_statements(snapshot):
                self._rows(statement)
        self._rows(self._store.fence_statement(self.key(source), str(uuid.uuid4()), snapshot))
        info = json.dumps({"copy_of": ".".join(source.relation)})
        self._rows(
            f"CALL {quoted(self._catalog.database)}.set_commit_message('dbt-dynamic', "
            f"{literal(f'copy of {source.label}')}, extra_info => {literal(info)})"
        )


def _floats(columns: list[tuple[str, str]]) -> list[str]:
    """The columns in which equal values need not be the same one: 0.0 equals -0.0."""
    return [
        quoted(name) for name, kind in columns if any(word in kind for word in ("DOUBLE", "FLOAT"))
    ]
