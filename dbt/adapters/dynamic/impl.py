"""The adapter: dbt-duckdb's, and the methods that the dynamic table's macros call."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import duckdb
from dbt_common.exceptions import DbtRuntimeError
from dbt_common.invocation import get_invocation_id

from dbt.adapters.base import BaseRelation
from dbt.adapters.base.meta import available
from dbt.adapters.capability import Capability, CapabilityDict, CapabilitySupport, Support
from dbt.adapters.contracts.connection import AdapterResponse
from dbt.adapters.contracts.macros import MacroResolverProtocol
from dbt.adapters.duckdb.impl import DuckDBAdapter
from dbt.adapters.dynamic.config import (
    SNOWFLAKE_KEYS,
    Consistency,
    DynamicTableConfig,
    RefreshMode,
)
from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.errors import (
    BeingMaintained,
    DeletesLost,
    DynamicTableError,
    Overtaken,
    TurnNeeded,
)
from dbt.adapters.dynamic.faults import fault_point
from dbt.adapters.dynamic.inspection import Inspection
from dbt.adapters.dynamic.lake.catalog import LakeCatalog, NotRemembered
from dbt.adapters.dynamic.lake.others import Others
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.maintenance.run import maintain
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.dialect import compiled_sqlglot
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.query.reasons import Explained
from dbt.adapters.dynamic.refresh.catalog_stats import with_stats
from dbt.adapters.dynamic.refresh.copies import Copies, copy_name
from dbt.adapters.dynamic.refresh.descriptions import Descriptions, missing, wanted
from dbt.adapters.dynamic.refresh.drop import drop
from dbt.adapters.dynamic.refresh.drop import found as dropping
from dbt.adapters.dynamic.refresh.freshness import LastModified
from dbt.adapters.dynamic.refresh.history import ended_like, failure_row, moment
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.look import Look, Looks, look
from dbt.adapters.dynamic.refresh.model import Model
from dbt.adapters.dynamic.refresh.overview import Overview
from dbt.adapters.dynamic.refresh.refresh import Refresh
from dbt.adapters.dynamic.refresh.retry import (
    passes,
    patiently,
    rebuild_is_no_help,
    remedy,
    wait_seconds,
)
from dbt.adapters.dynamic.refresh.state import SCHEMA, Store
from dbt.adapters.dynamic.refresh.tracking import (
    ChangeTracking,
    timestamp_sources,
    tracked_sources,
)
from dbt.adapters.dynamic.refresh.verify import Verified, Verifier
from dbt.adapters.dynamic.relation import DynamicRelation, relation_key
from dbt.adapters.dynamic.report.facts import Facts
from dbt.adapters.dynamic.report.read import read
from dbt.adapters.dynamic.response import RefreshAction
from dbt.adapters.events.logging import AdapterLogger

if TYPE_CHECKING:
    import agate

logger = AdapterLogger("dynamic")
# How often to look whether maintenance is done with a table, in seconds.
_MAINTENANCE_WAIT = 0.5
_DROP_RETRIES = 6


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
    _capabilities = CapabilityDict(
        {
            **DuckDBAdapter._capabilities,
            Capability.TableLastModifiedMetadata: CapabilitySupport(support=Support.Full),
            Capability.TableLastModifiedMetadataBatch: CapabilitySupport(support=Support.Full),
        }
    )

    def __init__(self, config: Any, mp_context: Any) -> None:
        super().__init__(config, mp_context)
        if compiled_sqlglot():
            raise DynamicTableError(
                "sqlglot is installed with its compiled modules (sqlglotc, or the extra "
                "sqlglot[c]), to which no dialect can be added: pip uninstall sqlglotc, then "
                "pip install --force-reinstall --no-deps sqlglot."
            )
        self._invocation = Invocation()
        self._looks = Looks(self._look, lambda: self.connections.other_writes)
        self._catalogs: dict[str, LakeCatalog] = {}
        self._session = Session(
            self._rows,
            self.connections.aside,
            self.connections.disable,
            self.connections.reads_only,
            self.connections.begin_to_write,
            self.connections.unused,
        )

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

    def create_schema(self, relation: BaseRelation) -> None:
        """Create a schema; another process may be creating it, too."""
        patiently(lambda: super(DynamicAdapter, self).create_schema(relation))

    # DuckDB would look through all that is attached, a lake's metadata too, to list one lake.

    def list_schemas(self, database: str) -> list[str]:
        # dbt gives it in quotes, or none where a profile has none.
        lake = self._lakes().get(fold((database or "").strip('"')))
        if lake is None or self._in_transaction():
            schemas: list[str] = super().list_schemas(database)
            return schemas
        return sorted(patiently(lambda: lake.schemas(lake.current_snapshot())))

    def list_relations_without_caching(self, schema_relation: BaseRelation) -> list[BaseRelation]:
        lake = self._lakes().get(fold(str(schema_relation.database)))
        if lake is None or self._in_transaction():
            relations: list[BaseRelation] = super().list_relations_without_caching(schema_relation)
            return relations
        schema = str(schema_relation.schema)
        return [
            self.Relation.create(
                database=schema_relation.database,
                schema=schema,
                identifier=name,
                quote_policy={"database": True, "schema": True, "identifier": True},
                type=self.Relation.get_relation_type(kind),
            )
            for name, kind in patiently(lambda: lake.relations(schema, lake.current_snapshot()))
        ]

    def _in_transaction(self) -> bool:
        """Whether a transaction is open, which may have made what no snapshot knows."""
        return bool(self.connections.get_thread_connection().transaction_open)

    # dbt-duckdb asks the database while it holds a lock, which somebody may want whose turn it is.
    # So the turn always comes first.

    def _catalog_type(self, database: str) -> str | None:
        with self.connections.lake_turn(reading=True):
            return super()._catalog_type(database)

    def _existing_key_constraint_types(self, relation: Any) -> set[Any]:
        with self.connections.lake_turn(reading=True):
            return super()._existing_key_constraint_types(relation)

    def pre_model_hook(self, config: Any) -> Any:
        for lake in self._lakes().values():
            _ = lake.kind  # a transaction that locks must not read the lake for it
            snapshot = functools.partial(patiently, lake.current_snapshot)
            self._invocation.base(fold(lake.database), snapshot)
        return super().pre_model_hook(config)

    def post_model_hook(self, config: Any, context: Any) -> None:
        super().post_model_hook(config, context)
        model = getattr(config, "model", None)
        relation = self.Relation.create_from(self.config, model) if model is not None else None
        if relation is not None and self.is_ducklake(relation):
            key = relation_key(relation)
            if self._invocation.result(key) is None:
                lake = self._lakes()[key[0]]
                self._invocation.built(key, patiently(lake.current_snapshot))

    def commit_if_has_connection(self) -> None:
        """Commit if there is something to commit; every model asks for that, most have nothing.

        dbt-duckdb tells dbt's log of each that has not.
        """
        connection = self.connections.get_if_exists()
        if connection is not None and connection.transaction_open:
            super().commit_if_has_connection()

    # dbt's own looks a batch's results up by schema and name, which two lakes may have in common.

    def calculate_freshness_from_metadata_batch(
        self,
        sources: list[BaseRelation],
        macro_resolver: MacroResolverProtocol | None = None,
    ) -> tuple[list[AdapterResponse | None], dict[BaseRelation, Any]]:
        """How fresh sources are, by the newest snapshots that changed their rows.

        Returns:
            No responses, and what is known of each source; of one that is not in a DuckLake
            nothing: dbt asks for it by itself, and gets the error.
        """
        found: dict[BaseRelation, Any] = {}
        with self._freshness() as freshness:
            for source in sources:
                with contextlib.suppress(DynamicTableError):
                    found[source] = freshness(source)
        return [], found

    def calculate_freshness_from_metadata(
        self, source: BaseRelation, macro_resolver: MacroResolverProtocol | None = None
    ) -> tuple[AdapterResponse | None, Any]:
        """How fresh a source is.

        Raises:
            DynamicTableError: it is not a table of an attached DuckLake.
        """
        with self._freshness() as freshness:
            return None, freshness(source)

    # What dbt's documentation is made of.

    def _get_one_catalog(self, *args: Any, **options: Any) -> agate.Table:
        return self._with_stats(super()._get_one_catalog(*args, **options))

    def _get_one_catalog_by_relations(self, *args: Any, **options: Any) -> agate.Table:
        return self._with_stats(super()._get_one_catalog_by_relations(*args, **options))

    def _with_stats(self, catalog: agate.Table) -> agate.Table:
        databases = {fold(str(name)) for name in catalog.columns["table_database"]}
        if not databases & self._lakes().keys():
            return catalog
        with self._overview() as overview:
            return with_stats(catalog, overview)

    @contextlib.contextmanager
    def _freshness(self) -> Iterator[Callable[[BaseRelation], Any]]:
        """Says in dbt's form how fresh a source is, within one transaction."""
        # For a batch dbt gives a connection that it has not opened.
        self.connections.open(self.connections.get_thread_connection())
        self.connections.begin_reading()
        try:
            last_modified, now = LastModified(self._lakes()), datetime.now(timezone.utc)
            yield lambda source: self._create_freshness_response(last_modified.of(source), now)
        finally:
            self.connections.rollback_if_open()

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
        if "on_schema_change" not in model.get("unrendered_config", {}):
            # dbt's default, ignore, is meant for incremental models.
            set_by_user.pop("on_schema_change", None)
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
        graph: Mapping[str, Any],
        caller: Callable[[Refresh], Any],
    ) -> str:
        """Refresh a dynamic table in one transaction, again after a conflict.

        With several threads, planning and computing come before, in a transaction that only
        reads, beside those of other threads.

        Used as a call block: its body executes the stages of the refresh that it is given.

        Args:
            model: dbt's model node.
            relation: the table.
            compiled_sql: the model's query.
            config: from `dynamic_table_config`.
            full_refresh: build the table as a whole.
            partial: the query reads less than the sources hold (``--empty``, ``--sample``).
            graph: dbt's graph, which knows the ``meta`` of what the model reads.
            caller: the call block.
        """
        facts = self.model_facts(
            model, relation, compiled_sql, config, full_refresh, partial, graph
        )
        if not model["config"].get("pre-hook") and self._left_alone(facts, caller):
            return ""
        forced: Explained | None = None
        reading_first = self.config.threads > 1
        uncertain: Refresh | None = None
        waited = False
        attempt = 0
        while True:
            attempt += 1
            started_at = datetime.now(timezone.utc)
            refresh: Refresh | None = None
            try:
                self._bring_copies_up_to_date(facts)
                if uncertain is not None and uncertain.landed():
                    return ""
                if reading_first:
                    self.connections.begin_reading()
                else:
                    self.connections.begin_refresh()
                refresh = Refresh(
                    facts,
                    self._session,
                    self._lakes(),
                    self._invocation,
                    get_invocation_id(),
                    attempt,
                    forced,
                )
                fault_point("after_plan")
                caller(refresh)
                fault_point("before_commit")
                # Until it is known: a connection may be lost while it commits.
                uncertain = refresh
                committing = time.perf_counter()
                self.connections.commit()
                fault_point("after_commit")
                refresh.committed(time.perf_counter() - committing)
                if refresh.decision.action is RefreshAction.NO_DATA:
                    self._looks.unchanged(facts.key[0])
                return ""  # what the call block renders to
            except TurnNeeded as why:
                logger.debug(f"{facts.dynamic_table} starts over, with nobody beside: {why}")
                self._undo(refresh)
                reading_first = False
                attempt -= 1
            except Overtaken as why:
                logger.debug(f"{facts.dynamic_table} begins again: {why}")
                self._undo(refresh)
                attempt -= 1
            except BeingMaintained as why:
                (logger.debug if waited else logger.info)(f"{facts.dynamic_table} waits: {why}")
                waited = True
                self._undo(refresh)
                attempt -= 1
                self.connections.wait(_MAINTENANCE_WAIT)
            except Exception as error:
                self._undo(refresh)
                if isinstance(error, DeletesLost):
                    uncertain = None  # it was made, and is not good enough
                if passes(error) and attempt <= config.retries:
                    wait = wait_seconds(attempt, config.retry_wait)
                    logger.info(
                        f"{facts.dynamic_table}: attempt {attempt} failed and is tried again in "
                        f"{wait:.1f} s: {error}"
                    )
                    self.connections.wait(wait)
                    continue
                if uncertain is not None and self._landed(uncertain):
                    return ""
                if refresh is not None and forced is None and not rebuild_is_no_help(error):
                    forced = refresh.rebuild_after(error)
                    if forced is not None:
                        logger.warning(f"{facts.dynamic_table} is rebuilt: {forced.text}")
                        continue
                advice = remedy(error, attempt)
                if advice and isinstance(error, DbtRuntimeError):
                    error.msg = f"{error.msg}\n{advice}"
                self._record_failure(facts, started_at, attempt, error)
                raise

    @available
    def describe_dynamic_table(
        self,
        model: Mapping[str, Any],
        relation: BaseRelation,
        caller: Callable[[Descriptions], Any],
    ) -> str:
        """Write what persist_docs asks for and the table does not say yet.

        Most often that is nothing, and then nothing is written. Used as a call block: its body
        writes the descriptions that it is given, in one transaction.

        Args:
            model: dbt's model node.
            relation: the table.
            caller: the call block.
        """
        if any(wanted(model)):
            patiently(lambda: self._describe(model, relation, caller))
        return ""

    def _describe(
        self,
        model: Mapping[str, Any],
        relation: BaseRelation,
        caller: Callable[[Descriptions], Any],
    ) -> None:
        lake, schema, name = relation_key(relation)
        catalog = self._lakes()[lake]
        self.connections.begin_reading()
        try:
            snapshot = catalog.current_snapshot()
            table = catalog.table(schema, name, snapshot)
            if table is None:
                return  # somebody dropped it
            descriptions = missing(model, catalog.comments(table, snapshot))
            if descriptions:
                self.connections.begin_to_write()
                caller(descriptions)
                self.connections.commit()
        finally:
            self.connections.rollback_if_open()

    def model_facts(
        self,
        model: Mapping[str, Any],
        relation: BaseRelation,
        compiled_sql: str,
        config: DynamicTableConfig,
        full_refresh: bool,
        partial: bool,
        graph: Mapping[str, Any],
    ) -> Model:
        """What dbt says about a model; the arguments are those of `refresh_dynamic_table`."""
        return Model(
            name=model["name"],
            unique_id=model["unique_id"],
            sql=compiled_sql,
            raw_sql=model.get("raw_code", ""),
            target=relation,
            config=config,
            shaping=_shaping(model),
            full_refresh=full_refresh,
            partial=partial,
            tracked=tracked_sources(model, graph, self.config.credentials.lakes),
        )

    def _left_alone(self, model: Model, caller: Callable[[Refresh], Any]) -> bool:
        """Leave a table alone, without a transaction, if a look at the lakes says that it may be.

        Not where the model wants to know what the lakes hold at this very moment.
        """
        now = model.config.consistency is Consistency.LATEST
        if model.full_refresh or model.partial or model.tracked or now:
            return False
        try:
            seen = self._looks.at(model.key[0])
            if seen is None:
                return False
            invocation = (self._invocation, get_invocation_id())
            # It may ask for what others wait for.
            with self.connections.lake_turn(reading=True):
                refresh = Refresh(model, self._session, self._lakes(), *invocation, look=seen)
        except (DbtRuntimeError, duckdb.Error, NotRemembered):
            return False  # a refresh says what is wrong
        caller(refresh)
        refresh.committed(0.0)
        return True

    def _look(self, lake: str) -> Look:
        self.connections.begin_reading()
        try:
            rows, aside = self._rows, self.connections.aside
            return look(rows, aside, self._lakes(), self._invocation, lake)
        finally:
            self.connections.rollback_if_open()

    @available
    def dynamic_table_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run the statement of a stage; returns its rows, or DuckDB's count of changed rows.

        A `statement` block would make a table of agate of them, and try each value as a number,
        a date and a time, which takes longer than many a stage.
        """
        return self.connections.stage(sql)

    def _landed(self, refresh: Refresh) -> bool:
        """Whether a refresh was made though its commit failed; False also if nobody can tell."""
        try:
            self.connections.begin_reading()
            return refresh.landed()
        except DeletesLost:
            raise
        except DbtRuntimeError:
            return False
        finally:
            self.connections.rollback_if_open()

    def _undo(self, refresh: Refresh | None) -> None:
        """Roll back, and drop what was computed for the transaction that failed."""
        self.connections.rollback_if_open()
        with contextlib.suppress(DbtRuntimeError):  # a lost connection has none any more
            for name in refresh.temporary if refresh is not None else ():
                self._rows(f"DROP TABLE IF EXISTS {quoted('temp', name)}")

    def _bring_copies_up_to_date(self, model: Model) -> None:
        """Bring the copies of sources without history up to date, each once in an invocation."""
        lakes = self._lakes()
        for source in model.tracked.values():
            outside = source.key[0] not in lakes and source.tracking is not ChangeTracking.NONE
            if model.partial or not outside:
                continue
            lake = lakes[model.key[0]]
            copies = Copies(self._rows, Engine(self._rows, self.connections.aside), lake)
            key = copies.key(source)
            self.connections.begin()  # one thread at a time comes behind this line
            if not Others(self._rows, lake).share(key[1:]):
                raise BeingMaintained(f"maintenance compacts the copy of {source.label}")
            if self._invocation.result(key) is None:
                if copies.bring_up_to_date(source, whole=model.full_refresh):
                    self.connections.commit()
                    self.connections.begin()
                self._invocation.built(key, lake.current_snapshot())
            self.connections.rollback_if_open()

    def _record_failure(
        self, model: Model, started_at: datetime, attempt: int, error: Exception
    ) -> None:
        """Leave a history row of a failed refresh, in a commit of its own."""
        row = failure_row(model, get_invocation_id(), started_at, attempt, error)
        catalog = self._lakes()[model.key[0]]
        store = Store(self._rows, catalog)
        try:
            self.connections.begin()
            snapshot = catalog.current_snapshot()
            if not store.laid_out(snapshot):
                for statement in store.layout_statements(snapshot):
                    self._rows(statement)
            self._rows(store.insert("refresh_log", row))
            self.connections.commit()
        except DbtRuntimeError as second:  # the refresh's own error is the one to report
            self.connections.rollback_if_open()
            logger.warning(f"{model.dynamic_table}: no history row for the failure: {second}")

    @available
    def dynamic_table_list(self) -> list[Any]:
        """Every dynamic table of the profile's lakes; changes nothing.

        Returns:
            One :class:`~dbt.adapters.dynamic.refresh.overview.Listed` a table.
        """
        with self._overview() as overview:
            return overview.listed()

    @available
    def dynamic_table_describe(self, model: str) -> Any:
        """All about a dynamic table, by name; changes nothing.

        Returns:
            A :class:`~dbt.adapters.dynamic.refresh.overview.Described`.
        """
        with self._overview() as overview:
            return overview.describe(model)

    @available
    def dynamic_table_history(
        self,
        model: str | None = None,
        state: str | None = None,
        since: datetime | str | None = None,
        limit: int | None = None,
    ) -> list[Any]:
        """The refresh history, the newest first; changes nothing.

        Args:
            model: only of this table.
            state: only refreshes that ended like this, in any case.
            since: only those completed since: a time, or text as `moment` reads it.
            limit: how many at most.

        Returns:
            One :class:`~dbt.adapters.dynamic.refresh.state.Refreshed` a refresh.
        """
        ended = ended_like(state) if state is not None else None
        start = moment(since) if isinstance(since, str) else since
        with self._overview() as overview:
            return overview.history(model, ended, start, limit)

    @available
    def dynamic_table_impact(self, sources: list[str]) -> list[Any]:
        """Which dynamic tables a change of these tables reaches, in order; changes nothing.

        Returns:
            One :class:`~dbt.adapters.dynamic.refresh.overview.Reached` a table.
        """
        with self._overview() as overview:
            return overview.impact(sources)

    @available
    def dynamic_table_drop(self, model: str, dry_run: bool = False) -> Any:
        """Drop a dynamic table with all that is kept for it; its history stays.

        All in one transaction, which is tried again after a conflict.

        Args:
            model: the table's name.
            dry_run: say what would go, and change nothing.

        Returns:
            A :class:`~dbt.adapters.dynamic.refresh.drop.Dropped`.
        """
        if dry_run:
            with self._overview() as overview:
                return dropping(overview, self._rows, self._lakes(), model)[1]
        attempt = 0
        while True:
            attempt += 1
            try:
                self.connections.begin()
                for lake in self._lakes().values():
                    if not Others(self._rows, lake).share((SCHEMA, "state_log")):
                        raise BeingMaintained("maintenance compacts the states of dynamic tables")
                done = drop(self._rows, self._lakes(), model, get_invocation_id())
                self.connections.commit()
                return done
            except (BeingMaintained, Overtaken) as why:
                logger.debug(f"drop {model} waits: {why}")
                attempt -= 1
                wait = _MAINTENANCE_WAIT
            except Exception as error:
                if not passes(error) or attempt > _DROP_RETRIES:
                    raise
                wait = wait_seconds(attempt, _MAINTENANCE_WAIT)
            finally:
                self.connections.rollback_if_open()
            self.connections.wait(wait)

    @contextlib.contextmanager
    def _overview(self) -> Iterator[Overview]:
        """The dynamic tables of all lakes, in a transaction that reads."""
        self.connections.begin_reading()
        try:
            yield Overview(self._rows, self._lakes())
        finally:
            self.connections.rollback_if_open()

    @available
    def dynamic_table_explain(self, model: str) -> Any:
        """What the next refresh of a model would do now; changes nothing.

        Returns:
            An :class:`~dbt.adapters.dynamic.refresh.explain.Explanation`.
        """
        return self._inspection.explain(model)

    @available
    def dynamic_table_validate(self, models: list[str] | None = None) -> Any:
        """Whether models can be refreshed incrementally; looks at no rows.

        Returns:
            A :class:`~dbt.adapters.dynamic.refresh.validate.Validation`.
        """
        return self._inspection.validate(models)

    @property
    def _inspection(self) -> Inspection:
        # What dbt gives the adapter to find macros in is the manifest.
        manifest = self._macro_resolver
        return Inspection(self, self.connections, self._session, self._lakes(), manifest)

    @available
    def dynamic_table_verify(
        self,
        names: list[str] | None = None,
        graph: Mapping[str, Any] | None = None,
        sample: int | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Any]:
        """Compare dynamic tables with their queries at the recorded pins; changes nothing.

        Args:
            names: ``schema.identifier`` or ``identifier``, in any case; all dynamic tables by
                default.
            graph: dbt's graph, for the sources whose kept copies may have lost rows; they are
                looked at together with all dynamic tables only.
            sample: see :class:`~dbt.adapters.dynamic.refresh.verify.Verifier`; so is `progress`.
            progress: told of each table.

        Returns:
            One :class:`~dbt.adapters.dynamic.refresh.verify.Verified` a table.
        """
        found: list[Any] = []
        self.connections.begin()
        try:
            lakes = self._lakes()
            for lake in lakes.values():
                verifier = Verifier(self._session, lake, lakes, sample, progress)
                found += verifier.verify(names)
                if graph is not None and names is None:
                    engine = Engine(self._rows, self.connections.aside)
                    copies = Copies(self._rows, engine, lake)
                    for source in timestamp_sources(graph, self.config.credentials.lakes):
                        lost = copies.lost(source)
                        if lost is not None and any(lost):
                            name = copy_name(source.key)
                            found.append(Verified(name, "DIFFERENT", "", 0, *lost))
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

    def dynamic_table_facts(self) -> Facts:
        """What ``dbt-dynamic report`` shows; changes nothing."""
        with self._overview() as overview:
            return read(overview)

    @available
    def dynamic_table_maintain(
        self,
        dry_run: bool = False,
        lakes: str | list[str] | None = None,
        alone: bool = False,
        delete_orphans: bool = False,
        **retention: str | None,
    ) -> list[Any]:
        """Maintain lakes; see :mod:`~dbt.adapters.dynamic.maintenance.maintainer`.

        Args:
            dry_run: change nothing.
            lakes: names of attached lakes; by default those that dynamic tables were built in.
            alone: nobody else writes to them meanwhile.
            delete_orphans: delete files that no snapshot ever named.
            retention: over the profile: history_retention, snapshot_retention, file_retention.

        Returns:
            One :class:`~dbt.adapters.dynamic.maintenance.report.Step` for each thing done.

        Raises:
            DynamicTableError: there is no such lake to maintain.
        """
        return maintain(
            self.connections,
            self._session,
            self._lakes(),
            self.config.credentials.retention(**retention),
            [lakes] if isinstance(lakes, str) else lakes,
            dry_run,
            alone,
            delete_orphans,
        )

    def _lakes(self) -> dict[str, LakeCatalog]:
        credentials = self.config.credentials
        for name in sorted(credentials._ducklake_dbs):
            if fold(name) not in self._catalogs:
                self._catalogs[fold(name)] = LakeCatalog(self._rows, name)
        return self._catalogs

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.connections.rows(sql)
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
