"""When the rows of a table last changed, by the lake's own history (``dbt source freshness``)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from dbt.adapters.base import BaseRelation
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.changes import changes_rows
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.refresh.state import is_maintenance
from dbt.adapters.dynamic.relation import relation_key

_REMEDY = "Set loaded_at_field or loaded_at_query on the source."


class LastModified:
    """Asks the lakes, each once, when rows of tables last changed.

    Args:
        lakes: the attached lakes by lower-case name; a transaction is open.
    """

    def __init__(self, lakes: Mapping[str, LakeCatalog]) -> None:
        self._lakes = lakes
        self._log = CommitLog(lakes)

    def of(self, source: BaseRelation) -> datetime:
        """The commit time (UTC) of the newest snapshot that changed a table's rows.

        Compaction changes none. If that snapshot has expired it is the time of the oldest one
        that has not: the rows are that old at least.

        Raises:
            DynamicTableError: the source is not a table of an attached DuckLake.
        """
        key = relation_key(source)
        lake = self._lakes.get(key[0])
        if lake is None:
            raise DynamicTableError(
                f"{source.render()} is not in a DuckLake, so no snapshots tell how fresh it is. "
                f"{_REMEDY}"
            )
        now = self._log.now(key[0])
        table = lake.table(key[1], key[2], now)
        if table is None:
            view = lake.view(key[1], key[2], now) is not None
            what = "is a view, which has no snapshots of its own" if view else "does not exist"
            remedy = _REMEDY if view else "Create it, or correct the source's name."
            raise DynamicTableError(f"{source.render()} {what}. {remedy}")
        commits = self._log.since(key[0], 0)
        created = lake.created(table.table_id)
        changing = [
            commit.snapshot_id
            for commit in commits.of(table.table_id)
            # A flush says the same as a delete.
            if changes_rows(commit.changes[table.table_id]) and not is_maintenance(commit)
        ]
        newest = max([created, *changing])
        time = lake.commit_time(newest) or lake.commit_time(commits[0].snapshot_id)
        assert time is not None, "the newest snapshot never expires"
        return time
