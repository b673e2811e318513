"""The adapter: dbt-duckdb's, and the methods that the dynamic table's macros call."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from dbt_common.exceptions import DbtRuntimeError
from dbt_common.invocation import get_invocation_id

from dbt.adapters.base import BaseRelation
from dbt.adapters.base.meta import available
from dbt.adapters.contracts.connection import AdapterResponse
from dbt.adapters.duckdb.impl import DuckDBAdapter
from dbt.adapters.dynamic.config import SNOWFLAKE_KEYS, DynamicTableConfig, RefreshMode
from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.reasons import Explained
from dbt.adapters.dynamic.refresh.history import failure_row
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.model import Model
from dbt.adapters.dynamic.refresh.refresh import Refresh
from dbt.adapters.dynamic.refresh.retry import passes, wait_seconds
from dbt.adapters.dynamic.refresh.state import Store
from dbt.adapters.dynamic.refresh.verify import Verifier
from dbt.adapters.dynamic.relation import DynamicRelation, relation_key
from dbt.adapters.events.logging import AdapterLogger

logger = AdapterLogger("dynamic")


@functools.cache
def _keys_of_dbt() -> frozenset[str]:
    """The configuration keys that dbt itself defines for models."""
    from dbt.artifacts.resources import ModelConfig

    fields = frozenset(ModelConfig.__dataclass_fields__)
    return fields | {"pre-hook", "post-hook"}


class DynamicAdapter(DuckDBAdapter):
    """The adapter ``dynamic``."""

    ConnectionManager = DynamicConnectionManager
    Relation = DynamicRelation
    connections: DynamicConnectionManager

    def __init__(self, config: Any, mp_context: Any) -> None:
        super().__init__(config, mp_context)
        self._invocation = Invocation()
        self._session = Session(self._rows, self.connections.aside, self.connections.disable)

    # dbt-duckdb's own ---------------------------------------------------------------------------

    @available
    def is_ducklake(self, relation: BaseRelation) -> bool:
        """Whether a relation is in a DuckLake; names compare as DuckDB compares them."""
        if not relation or not relation.database:
            return False
        lakes: frozenset[str] = self.config.credentials.lakes
        return fold(relation.database) in lakes

    def submit_python_job(
        self, parsed_model: dict[str, Any], compiled_code: str
    ) -> AdapterResponse:
        with self.connections.lake_turn():
            return super().submit_python_job(parsed_model, compiled_code)

    def pre_model_hook(self, config: Any) -> Any:
        for lake in self._lakes().values():
            self._invocation.base(fold(lake.database), lake.current_snapshot)
        return super().pre_model_hook(config)

    def post_model_hook(self, config: Any, context: Any) -> None:
        super().post_model_hook(config, context)
        model = getattr(config, "model", None)
        relation = self.Relation.create_from(self.config, model) if model is not None else None
        if relation is not None and self.is_ducklake(relation):
            key = relation_key(relation)
            if self._invocation.result(key) is None:
                lake = self._lakes()[key[0]]
                self._invocation.built(key, lake.current_snapshot())

    # Dynamic tables -----------------------------------------------------------------------------

    @available
    def dynamic_table_config(self, model: Mapping[str, Any], relation: BaseRelation) -> Any:
        """Check a model's configuration and its target.

        Returns:
            The configuration; its refresh_mode decides what a target that is no lake may do.

        Raises:
            DynamicTableError: a bad key or value, or a target that is not a DuckLake.
        """
        set_by_user = dict(model.get("config", {}))
        config = DynamicTableConfig.from_model(model["name"], set_by_user, _keys_of_dbt())
        idle = sorted(key for key in SNOWFLAKE_KEYS if set_by_user.get(key) is not None)
        if idle:
            self.connections.warn_once(
                f"{', '.join(idle)}: accepted for models written for dbt-snowflake; "
                "there is nothing here that they could set."
            )
        if not self.is_ducklake(relation) and config.refresh_mode is not RefreshMode.FULL:
            raise DynamicTableError(
                f"Model '{model['name']}': a dynamic table lives in a DuckLake, and "
                f"'{relation.database}' is none. Set path: \"ducklake:lake.ducklake\" in the "
                'profile; or attach one (attach: [{path: "ducklake:lake.ducklake", alias: lake}])'
                " and set database: lake; or set refresh_mode: full on the model."
            )
        return config

    @available
    def refresh_dynamic_table(
        self,
        model: Mapping[str, Any],
        relation: BaseRelation,
        compiled_sql: str,
        config: DynamicTableConfig,
        full_refresh: bool,
        partial: bool,
        caller: Callable[[Refresh], Any],
    ) -> str:
        """Refresh a dynamic table in one transaction, again after a conflict.

        Used as a call block: its body executes the stages of the refresh that it is given.

        Args:
            model: dbt's model node.
            relation: the table.
            compiled_sql: the model's query.
            config: from `dynamic_table_config`.
            full_refresh: build the table as a whole.
            partial: the query reads less than the sources hold (``--empty``, ``--sample``).
            caller: the call block.
        """
        facts = Model(
            name=model["name"],
            unique_id=model["unique_id"],
            sql=compiled_sql,
            raw_sql=model.get("raw_code", ""),
            target=relation,
            config=config,
            shaping=_shaping(model),
            full_refresh=full_refresh,
            partial=partial,
        )
        forced: Explained | None = None
        attempt = 0
        while True:
            attempt += 1
            started_at = datetime.now(timezone.utc)
            refresh: Refresh | None = None
            try:
                self.connections.begin()
                refresh = Refresh(
                    facts,
                    self._session,
                    self._lakes(),
                    self._invocation,
                    get_invocation_id(),
                    attempt,
                    forced,
                )
                caller(refresh)
                committing = time.perf_counter()
                self.connections.commit()
                refresh.committed(time.perf_counter() - committing)
                return ""  # what the call block renders to
            except Exception as error:
                self.connections.rollback_if_open()
                if passes(error) and attempt <= config.retries:
                    wait = wait_seconds(attempt, config.retry_wait)
                    logger.info(
                        f"{facts.dynamic_table}: attempt {attempt} failed and is tried again in "
                        f"{wait:.1f} s: {error}"
                    )
                    time.sleep(wait)
                    continue
                if refresh is not None and forced is None:
                    forced = refresh.rebuild_after(error)
                    if forced is not None:
                        logger.warning(f"{facts.dynamic_table} is rebuilt: {forced.text}")
                        continue
                self._record_failure(facts, started_at, attempt, error)
                raise

    def _record_failure(
        self, model: Model, started_at: datetime, attempt: int, error: Exception
    ) -> None:
        """Leave a history row of a failed refresh, in a commit of its own."""
        row = failure_row(model, get_invocation_id(), started_at, attempt, error)
        catalog = self._lakes()[model.key[0]]
        store = Store(self._rows, catalog)
        try:
            self.connections.begin()
            if not store.exists(catalog.current_snapshot()):
                for statement in store.layout_statements():
                    self._rows(statement)
            self._rows(store.insert("refresh_log", row))
            self.connections.commit()
        except DbtRuntimeError as second:  # the refresh's own error is the one to report
            self.connections.rollback_if_open()
            logger.warning(f"{model.dynamic_table}: no history row for the failure: {second}")

    @available
    def dynamic_table_verify(self, names: list[str] | None = None) -> list[Any]:
        """Compare dynamic tables with their queries at the recorded pins; changes nothing.

        Args:
            names: ``schema.identifier`` or ``identifier``, in any case; all dynamic tables by
                default.

        Returns:
            One :class:`~dbt.adapters.dynamic.refresh.verify.Verified` a table.
        """
        found: list[Any] = []
        self.connections.begin()
        try:
            for lake in self._lakes().values():
                found += Verifier(self._session, lake).verify(names)
        finally:
            self.connections.rollback_if_open()
        known = {name for one in found for name in one.names}
        missing = {name for name in names or [] if fold(name) not in known}
        if missing:
            raise DynamicTableError(
                f"No dynamic table is called {', '.join(sorted(missing))}. Built ones are listed "
                "in the relation dbt_dynamic.dynamic_tables; dbt run builds the others."
            )
        return found

    def _lakes(self) -> dict[str, LakeCatalog]:
        credentials = self.config.credentials
        return {
            fold(name): LakeCatalog(self._rows, name) for name in sorted(credentials._ducklake_dbs)
        }

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connections.kept_transaction():
            _, cursor = self.connections.add_select_query(sql)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _shaping(model: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that shapes the stored table."""
    config = model.get("config", {})
    shaping = {
        key: config[key]
        for key in ("partition_by", "partitioned_by", "sort_by", "sorted_by")
        if config.get(key) is not None
    }
    contract = config.get("contract")
    if contract and contract.get("enforced"):
        shaping["contract"] = {
            name: [column.get("data_type"), column.get("constraints")]
            for name, column in model.get("columns", {}).items()
        }
        shaping["constraints"] = model.get("constraints")
    return shaping
