"""The DuckDB instance behind a profile, with its extensions loaded and its lakes attached."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import duckdb

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.environments.local import LocalEnvironment
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.dynamic.credentials import DynamicCredentials
from dbt.adapters.dynamic.lake.extensions import load_extension
from dbt.adapters.dynamic.names import fold, literal, quoted
from dbt.adapters.factory import get_adapter_by_type

# By this optimizer DuckDB 1.5.5 loses rows of queries, parts of which are alike (its issue 25819).
# What merges two versions of a query consists of such parts.
UNSOUND_OPTIMIZER = "common_subplan"
_RESTING = "disabled_optimizers"


class LakeEnvironment(LocalEnvironment):
    """dbt-duckdb's local environment for a machine that may have no extensions installed."""

    @classmethod
    def initialize_db(
        cls, creds: DuckDBCredentials, plugins: dict[str, BasePlugin] | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Open the instance: extensions first, then secrets, then the databases."""
        assert isinstance(creds, DynamicCredentials)
        plain = copy.copy(creds)
        plain.attach = None
        plain.secrets = []
        plain._secrets = []
        plain.extensions = [e for e in creds.extensions or [] if not isinstance(e, str)]
        if creds.main_is_lake:
            plain.path = ":memory:"
        connection: duckdb.DuckDBPyConnection = super().initialize_db(plain, plugins)
        named = [extension for extension in creds.extensions or [] if isinstance(extension, str)]
        for name in dict.fromkeys([*creds.needed_extensions, *named]):
            load_extension(connection, name)
        for statement in creds.secrets_sql():
            connection.execute(statement)
        for attachment in creds.attachments:
            connection.execute(attachment.to_sql())
        resting = {*str(_settings(creds).get(_RESTING, "")).split(","), UNSOUND_OPTIMIZER}
        names = ",".join(sorted(filter(None, map(str.strip, resting))))
        connection.execute(f"SET GLOBAL {_RESTING} = {literal(names)}")
        return connection

    @classmethod
    def initialize_cursor(
        cls,
        creds: DuckDBCredentials,
        cursor: Any,
        plugins: dict[str, BasePlugin] | None = None,
        registered_df: dict[str, Any] | None = None,
    ) -> Any:
        """Prepare a cursor: the current database is not inherited from the connection."""
        assert isinstance(creds, DynamicCredentials)
        if creds.main_is_lake:
            cursor.execute(f"USE {quoted(creds.database)}")
        plain = copy.copy(creds)
        # Which optimizers rest is said once for all of the instance: a cursor that said it again
        # would wake those that another thread's refresh lets rest.
        plain.settings = {k: v for k, v in _settings(creds).items() if k != _RESTING}
        return super().initialize_cursor(plain, cursor, plugins, registered_df or {})

    def load_source(self, plugin_name: str, source_config: Any) -> str:
        """Load a plugin's source, which may go into a lake, in the turn of this thread."""
        connections: Any = get_adapter_by_type(self.creds.type).connections
        with contextlib.ExitStack() as stack:
            if connections.get_if_exists() is not None:
                stack.enter_context(connections.lake_turn())
            loaded: str = super().load_source(plugin_name, source_config)
            return loaded

    def close(self) -> None:
        """Close the instance, lakes first: after a failed commit DuckLake would keep them open."""
        if self.conn is not None:
            for name in sorted(self.creds._ducklake_dbs):
                with contextlib.suppress(duckdb.Error):
                    self.conn.execute(f"DETACH DATABASE IF EXISTS {quoted(name)}")
        super().close()


def _settings(creds: DuckDBCredentials) -> dict[str, Any]:
    """The profile's settings, by their names in lower case."""
    return {fold(name): value for name, value in (creds.settings or {}).items()}
