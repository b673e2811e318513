"""What users ask about the models of a project without running them: explain and validate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dbt_common.exceptions import CompilationError, DbtRuntimeError

from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.errors import DynamicTableError, TurnNeeded, one_line
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.models import DYNAMIC_TABLE, compiled, dynamic_models
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.query.reasons import Explained, Reason
from dbt.adapters.dynamic.refresh.explain import Explanation, Rehearsal
from dbt.adapters.dynamic.refresh.invocation import Invocation
from dbt.adapters.dynamic.refresh.model import Model
from dbt.adapters.dynamic.refresh.planner import Ability, Planner
from dbt.adapters.dynamic.refresh.retry import rebuild_is_no_help
from dbt.adapters.dynamic.refresh.stages import Stage
from dbt.adapters.dynamic.refresh.validate import (
    Validated,
    Validation,
    circles,
    names_read,
    validated,
)
from dbt.adapters.dynamic.relation import RelationKey, relation_key

if TYPE_CHECKING:
    from dbt.adapters.dynamic.impl import DynamicAdapter


class Inspection:
    """Looks at models; changes nothing.

    Args:
        adapter: dbt's adapter, which has the project's macros.
        connections: its connections.
        session: the connection of this thread.
        lakes: the attached lakes by folded name.
        manifest: dbt's manifest of the project.
    """

    def __init__(
        self,
        adapter: DynamicAdapter,
        connections: DynamicConnectionManager,
        session: Session,
        lakes: Mapping[str, LakeCatalog],
        manifest: Any,
    ) -> None:
        self._adapter = adapter
        self._connections = connections
        self._session = session
        self._lakes = lakes
        self._manifest = manifest

    # Explain ------------------------------------------------------------------------------------

    def explain(self, name: str) -> Explanation:
        """What ``dbt run --select <name>`` would do now.

        Args:
            name: the model's name or unique_id.

        Raises:
            DynamicTableError: there is no such dynamic table, or its refresh would fail.
        """
        (node,) = dynamic_models(self._manifest, [name])
        model = self._facts(node)
        if model.key[0] not in self._lakes:
            raise DynamicTableError(
                f"Model '{model.name}' is in no DuckLake, but in '{model.target.database}': every "
                "run builds it as a whole, as dbt builds a table."
            )
        reading, forced = True, None
        while True:
            rehearsal: Rehearsal | None = None
            try:
                with self._transaction(reading):
                    rehearsal = Rehearsal(
                        model,
                        self._session,
                        self._lakes,
                        self._adapter.config.threads > 1,
                        forced,
                    )
                    return rehearsal.explain(
                        self._statement, self._connections.stage, self._notes(node)
                    )
            except TurnNeeded:
                reading = False
            except DbtRuntimeError as error:
                again = self._rebuilt_after(rehearsal, error) if forced is None else None
                if again is None:
                    raise
                forced = again

    def _rebuilt_after(
        self, rehearsal: Rehearsal | None, error: DbtRuntimeError
    ) -> Explained | None:
        """Why a refresh that fails like this builds the table as a whole, if it does."""
        if rehearsal is None or rebuild_is_no_help(error):
            return None
        return rehearsal.rebuild_after(error)

    def _statement(self, stage: Stage) -> str:
        """The statement of a stage, by the macro that a refresh renders it with."""
        name = f"dynamic_table_{stage.kind}_sql"
        return str(self._adapter.execute_macro(name, kwargs={"stage": stage}))

    def _notes(self, node: Any) -> tuple[str, ...]:
        notes = []
        above = [
            self._manifest.nodes[one].name
            for one in node.depends_on.nodes
            if one in self._manifest.nodes
            and self._manifest.nodes[one].config.materialized == DYNAMIC_TABLE
        ]
        if above:
            notes.append(
                f"{', '.join(above)}: read as it is now; dbt run --select +{node.name} refreshes "
                "what the model reads first"
            )
        if node.config.pre_hook:
            notes.append("its pre-hooks, which run before a refresh, were not run")
        return tuple(notes)

    # Validate -----------------------------------------------------------------------------------

    def validate(self, names: Iterable[str] | None = None) -> Validation:
        """Whether models can be refreshed incrementally, and whether any read each other.

        Args:
            names: models by name or unique_id; by default all dynamic tables.

        Raises:
            DynamicTableError: there is no such dynamic table.
        """
        nodes = dynamic_models(self._manifest, names)
        reading = self._reading()
        invocation = Invocation()
        found = []
        for node in nodes:
            one, reads = self._validated(node, invocation)
            found.append(one)
            if reads:
                reading[self._key(node)] = reads | reading.get(self._key(node), set())
        return Validation(tuple(found), circles(reading))

    def _validated(self, node: Any, invocation: Invocation) -> tuple[Validated, set[RelationKey]]:
        """What is found about a model, and what it reads by its own text."""
        relation = self._relation(node)
        name = f"{relation.database}.{relation.schema}.{relation.identifier}"
        mode = str(node.config.get("refresh_mode") or "auto").lower()
        try:
            model = self._facts(node)
        except (DbtRuntimeError, CompilationError) as error:
            text = one_line(error)
            return Validated(node.name, node.unique_id, name, "INVALID", mode, reason=text), set()
        if model.key[0] not in self._lakes:  # refresh_mode: full, on what is no lake
            whole = Explained(Reason.REFRESH_MODE_FULL, "refresh_mode is full")
            return validated(model, Ability(None, None, whole)), set()
        with self._transaction(reading=True):
            reads = names_read(
                model.sql,
                Engine(self._session.rows, self._session.aside),
                self._lakes,
                model.key,
            )
            try:
                ability = Planner(model, self._session, self._lakes, invocation, None).ability()
            except DbtRuntimeError as error:
                absent = self._absent(node, reads)
                status = "UNKNOWN" if absent else "INVALID"
                reason = (
                    f"reads {', '.join(absent)}, not built yet; dbt run --select "
                    f"+{node.name} builds it, and then this can be told"
                    if absent
                    else one_line(error)
                )
                mode = model.config.refresh_mode.value
                return (
                    Validated(node.name, node.unique_id, name, status, mode, reason=reason),
                    reads,
                )
        sources = set(ability.query.sources) if ability.query is not None else set()
        return validated(model, ability), reads | sources

    def _reading(self) -> dict[RelationKey, set[RelationKey]]:
        """What each node of the project reads, by dbt's own graph."""
        known = {**self._manifest.nodes, **self._manifest.sources}
        relational = {
            unique_id: self._key(node)
            for unique_id, node in known.items()
            if node.resource_type in ("model", "seed", "snapshot", "source")
        }
        reading: dict[RelationKey, set[RelationKey]] = {}
        for unique_id, key in relational.items():
            above = getattr(getattr(known[unique_id], "depends_on", None), "nodes", ())
            reading.setdefault(key, set()).update(
                relational[one] for one in above if one in relational
            )
        return reading

    def _absent(self, node: Any, reads: Iterable[RelationKey]) -> list[str]:
        """The models of the project that a model reads and that are not built.

        Args:
            node: the model.
            reads: what it reads by its compiled text: through ephemeral models, or by a name that
                is no ref, too.
        """
        named = {
            self._key(one): one for one in self._manifest.nodes.values() if _built_by_dbt(one)
        }
        above = [self._manifest.nodes.get(one) for one in node.depends_on.nodes]
        keys = [self._key(one) for one in above if one is not None and _built_by_dbt(one)]
        absent = []
        for key in dict.fromkeys([*keys, *sorted(reads)]):
            lake = self._lakes.get(key[0])
            if key not in named or lake is None or key == self._key(node):
                continue
            now = lake.current_snapshot()
            if lake.table(*key[1:], now) is None and lake.view(*key[1:], now) is None:
                absent.append(named[key].name)
        return absent

    # Both ---------------------------------------------------------------------------------------

    def _facts(self, node: Any) -> Model:
        """What dbt says about a model, compiled as for a run."""
        adapter, manifest = self._adapter, self._manifest
        try:
            model = compiled(adapter.config, manifest, node)
        finally:
            self._connections.rollback_if_open()  # of what it asked while it was compiled
        relation = self._relation(node).incorporate(type="table")
        config = adapter.dynamic_table_config(model, relation)
        full_refresh = bool(node.config.full_refresh)
        if not manifest.flat_graph:
            manifest.build_flat_graph()
        return adapter.model_facts(
            model,
            relation,
            model["compiled_code"],
            config,
            full_refresh,
            False,
            manifest.flat_graph,
        )

    def _relation(self, node: Any) -> Any:
        return self._adapter.Relation.create_from(self._adapter.config, node)

    def _key(self, node: Any) -> RelationKey:
        return relation_key(self._relation(node))

    @contextmanager
    def _transaction(self, reading: bool) -> Iterator[None]:
        """A transaction that is rolled back: nothing may stay, not even temporary tables.

        Args:
            reading: others may read beside it.
        """
        if reading:
            self._connections.begin_reading()
        else:
            self._connections.begin_refresh()
        try:
            yield
        finally:
            self._connections.rollback_if_open()


def _built_by_dbt(node: Any) -> bool:
    """Whether a node becomes a relation of the database."""
    kinds = ("model", "seed", "snapshot")
    return node.resource_type in kinds and node.config.materialized != "ephemeral"
