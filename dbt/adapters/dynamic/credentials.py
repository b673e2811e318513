"""The profile: dbt-duckdb's, under the type ``dynamic``, with a lake as the main database."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlparse

from dbt.adapters.duckdb.credentials import Attachment, DuckDBCredentials
from dbt.adapters.dynamic.errors import ConfigurationError
from dbt.adapters.dynamic.maintenance.report import RETENTIONS, Retention, duration
from dbt.adapters.dynamic.names import fold

_SCHEME = "ducklake:"
_SQLITE = "ducklake:sqlite:"
_JOURNAL_MODE = "meta_journal_mode"  # DuckLake hands meta_… on to what attaches the catalog
# What a DuckLake's catalog database needs, by the word after "ducklake:".
_CATALOG_EXTENSIONS = {"postgres": "postgres_scanner", "sqlite": "sqlite_scanner"}


def _is_lake(path: str) -> bool:
    return path.lower().startswith(_SCHEME)


def _lake_name(path: str) -> str:
    """The database name of a lake's path: the stem of its file, else ``lake``."""
    catalog = path[len(_SCHEME) :]
    kind = urlparse(catalog).scheme.lower()
    if kind in ("postgres", "mysql"):
        return "lake"
    file = catalog.split(":", 1)[1] if kind in ("sqlite", "duckdb") else catalog
    return os.path.basename(file).lstrip(".").split(".")[0] or "lake"


def _in_wal_mode(attachment: Attachment) -> Attachment:
    """A lake's catalog in SQLite with a write-ahead log, unless the user says otherwise.

    With SQLite's rollback journal a reader keeps others from committing, and after a commit that
    fails for it DuckLake 1.5.5 holds SQLite's lock as long as it is attached: nobody can use the
    lake then.
    """
    options = attachment.options or {}
    chosen = {key.lower() for key in options} & {_JOURNAL_MODE, "read_only"}
    if attachment.read_only or chosen or not attachment.path.lower().startswith(_SQLITE):
        return attachment
    return replace(attachment, options={**options, _JOURNAL_MODE: "WAL"})


@dataclass
class DynamicCredentials(DuckDBCredentials):
    """Credentials of the adapter ``dynamic``.

    Attributes:
        data_path: where the lake of ``path`` keeps its files, if not beside its catalog.
        history_retention: how long maintenance keeps rows of the refresh history.
        snapshot_retention: how long it keeps snapshots that no dynamic table needs.
        file_retention: how long it keeps files that no snapshot names.
    """

    data_path: str | None = None
    history_retention: str = RETENTIONS["history_retention"]
    snapshot_retention: str = RETENTIONS["snapshot_retention"]
    file_retention: str = RETENTIONS["file_retention"]

    @property
    def type(self) -> str:
        return "dynamic"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.retention()
        if _is_lake(self.path):
            # The parent derives a useless name from the path of a PostgreSQL catalog.
            self._ducklake_dbs.discard(self.path_derived_database_name(self.path))
            self._ducklake_dbs.add(self.database)

    @classmethod
    def __pre_deserialize__(cls, data: dict[Any, Any]) -> dict[Any, Any]:
        path = data.get("path")
        if isinstance(path, str) and _is_lake(path):
            # The lake is attached under the name of our choice, so any `database` is right; the
            # parent would derive a name from the path and insist on it.
            data = {"database": _lake_name(path), **data}
            rest = super().__pre_deserialize__({**data, "path": f"{data['database']}.duckdb"})
            return {**rest, "path": path}
        return super().__pre_deserialize__(data)

    def retention(self, **over: str | None) -> Retention:
        """What maintenance keeps for how long.

        Args:
            over: values that take the place of the profile's, by its keys.

        Raises:
            ConfigurationError: a value is no duration, or there is no such key.
        """
        for key in over:
            if key not in RETENTIONS:
                raise ConfigurationError(
                    f"There is no '{key}' for maintenance; accepted: {', '.join(RETENTIONS)}."
                )
        history, snapshots, files = (
            duration(key, getattr(self, key) if over.get(key) is None else over[key])
            for key in RETENTIONS
        )
        return Retention(history, snapshots, files)

    @property
    def attachments(self) -> list[Attachment]:
        """All databases to attach, the lake of ``path`` first."""
        attachments = list(self.attach or [])
        if _is_lake(self.path):
            options = {"data_path": self.data_path} if self.data_path else None
            main = Attachment(path=self.path, alias=f'"{self.database}"', options=options)
            attachments.insert(0, main)
        return [_in_wal_mode(attachment) for attachment in attachments]

    @property
    def lakes(self) -> frozenset[str]:
        """The names of the attached lakes, lower case."""
        return frozenset(fold(name) for name in self._ducklake_dbs)

    @property
    def main_is_lake(self) -> bool:
        return _is_lake(self.path)

    @property
    def needed_extensions(self) -> list[str]:
        """The DuckDB extensions that the lakes need, in the order to load them."""
        paths = [a.path.lower() for a in self.attachments if "ducklake:" in a.path.lower()]
        kinds = {path.split(_SCHEME, 1)[1].split(":", 1)[0] for path in paths}
        catalogs = [name for kind, name in _CATALOG_EXTENSIONS.items() if kind in kinds]
        return [*catalogs, "ducklake"] if paths else []

    def _connection_keys(self) -> tuple[str, ...]:
        return (*super()._connection_keys(), "data_path")
