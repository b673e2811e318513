"""Others who write to a lake, as far as conflicts do not exclude them.

DuckLake 1.5.5 lets a flush, a merge or a rewrite and a transaction that deletes few rows of the
same table both commit, in either order, and the deletes are lost. A catalog in a DuckDB file
belongs to one process, and SQLite lets one of the two fail ("database is locked"). PostgreSQL
does neither, but has locks that end with their transaction, or with the process. DuckDB ends the
transaction on the connection that it asks by after DuckLake's own, so such a lock is held until
all is committed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from dbt.adapters.dynamic.errors import Overtaken
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.names import literal


@dataclass(frozen=True)
class Others:
    """The other transactions on one lake.

    Attributes:
        rows: runs a statement in the transaction that is not one of the others.
        catalog: the lake.
    """

    rows: Rows
    catalog: LakeCatalog

    @property
    def excluded(self) -> bool:
        """Whether the catalog keeps others from committing beside a transaction that writes."""
        return self.catalog.kind in ("duckdb", "sqlite")

    @property
    def locks(self) -> bool:
        """Whether the catalog has locks that refreshes share and compaction excludes by."""
        return self.catalog.kind == "postgres"

    def share(self, *tables: tuple[str, str]) -> bool:
        """Keep others from compacting tables until the transaction ends.

        To be asked before the transaction reads anything of the lake, whose version that fixes.

        Args:
            tables: schema and name of each, in lower case.

        Returns:
            False if somebody compacts one of them now.

        Raises:
            Overtaken: see :meth:`_lock`.
        """
        return not self.locks or self._lock("pg_try_advisory_xact_lock_shared", *tables)

    def exclude(self, schema: str, name: str) -> bool:
        """Keep others from sharing a table until the transaction ends; False if somebody does.

        Raises:
            Overtaken: see :meth:`_lock`.
        """
        return not self.locks or self._lock("pg_try_advisory_xact_lock", (schema, name))

    def _lock(self, function: str, *tables: tuple[str, str]) -> bool:
        """Ask for a lock on each of some tables.

        By the question PostgreSQL fixes which metadata the transaction sees; which version of the
        lake it sees DuckLake fixes later, on a connection of its own.

        Raises:
            Overtaken: somebody committed between the two.
        """
        calls = []
        for table in tables:
            text = json.dumps(["dbt-dynamic", *table])
            key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
            calls.append(f"{function}({key})")
        metadata = literal(f"__ducklake_metadata_{self.catalog.database}")
        # A function without its schema is looked up in the lake first, whose version that fixes.
        query = f"system.main.postgres_query({metadata}, 'SELECT {' AND '.join(calls)}')"
        if not self.rows(f"FROM {query}")[0][0]:
            return False
        newest = f"SELECT max(snapshot_id) FROM {self.catalog.metadata('ducklake_snapshot')}"
        if int(self.rows(newest)[0][0]) != self.catalog.current_snapshot():
            raise Overtaken("somebody committed while the transaction began")
        return True
