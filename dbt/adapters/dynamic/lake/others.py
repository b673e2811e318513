"""Who else has a transaction open on a lake.

DuckLake 1.5.5 lets a flush or a merge and a transaction that deletes few rows of the same table
both commit, in either order, and the deletes are lost. A catalog in a DuckDB file belongs to one
process, and SQLite lets one of the two fail ("database is locked"). PostgreSQL does neither. But
DuckLake keeps a transaction of PostgreSQL open as long as its own, and that holds a lock of the
table of snapshots, which everybody may look at.
"""

from __future__ import annotations

from dataclasses import dataclass

from dbt.adapters.dynamic.lake.catalog import LakeCatalog, Rows
from dbt.adapters.dynamic.names import literal

_EXCLUSIVE = frozenset({"duckdb", "sqlite"})


@dataclass(frozen=True)
class Others:
    """The transactions that are open on one lake.

    Attributes:
        rows: runs a statement on the connection whose own transaction is to be told from others.
        catalog: the lake.
    """

    rows: Rows
    catalog: LakeCatalog

    def kind(self) -> str:
        """The kind of the lake's catalog: ``duckdb``, ``sqlite``, ``postgres`` or another."""
        name = literal(self.catalog.database)
        return str(self.rows(f"SELECT catalog_type FROM ducklake_settings({name})")[0][0]).lower()

    def excluded(self, kind: str) -> bool:
        """Whether such a catalog keeps others from committing beside a transaction that writes."""
        return kind in _EXCLUSIVE

    def visible(self, kind: str) -> bool:
        """Whether such a catalog shows the transactions of others."""
        return kind == "postgres"

    def open(self) -> frozenset[str]:
        """PostgreSQL's ids of the open transactions that read or write a lake of its database.

        Within a transaction its own is one of them.
        """
        locks = (
            "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND relation IN (SELECT oid FROM pg_class WHERE relname = 'ducklake_snapshot') "
            # DuckDB asks on a connection of its own, which is not DuckLake's.
            "AND pid <> pg_backend_pid()"
        )
        metadata = literal(f"__ducklake_metadata_{self.catalog.database}")
        return frozenset(
            str(row[0])
            for row in self.rows(f"SELECT * FROM postgres_query({metadata}, {literal(locks)})")
        )
