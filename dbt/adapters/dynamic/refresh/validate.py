"""Validating models: whether each can be refreshed incrementally, and whether they form circles.

Nothing of a table or of its sources but their columns is looked at, so that it works before
anything is built.
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dbt.adapters.dynamic.config import RefreshMode
from dbt.adapters.dynamic.incremental.compile import Compiled
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.changes import ChangeKind, SourceChange
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.engine import Engine, UnparsedSql
from dbt.adapters.dynamic.query.lowering import lower
from dbt.adapters.dynamic.query.reasons import NotIncremental
from dbt.adapters.dynamic.query.sources import ModelQuery
from dbt.adapters.dynamic.query.tree import reads
from dbt.adapters.dynamic.refresh.decision import STRATEGIES
from dbt.adapters.dynamic.refresh.model import Model
from dbt.adapters.dynamic.refresh.planner import Ability
from dbt.adapters.dynamic.relation import RelationKey


@dataclass(frozen=True)
class Validated:
    """What is known of a model before it is built.

    Attributes:
        model: dbt's name.
        unique_id: dbt's id.
        dynamic_table: ``database.schema.identifier``.
        status: INCREMENTAL, FULL, UNKNOWN (it reads what is not built yet), or INVALID.
        refresh_mode: as configured.
        reason_code: why no refresh can be incremental, or "".
        reason: the sentence, with the place in the SQL; what is unknown; or what is wrong.
        keys: the columns by which changes are merged; none where rows are merged as they are.
        strategies: the strategy by what happens to the sources.
        sources: what the query reads, with the text of views in their place.
    """

    model: str
    unique_id: str
    dynamic_table: str
    status: str
    refresh_mode: str = ""
    reason_code: str = ""
    reason: str = ""
    keys: tuple[str, ...] = ()
    strategies: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    @property
    def wrong(self) -> bool:
        """Whether dbt run would fail for it."""
        strict = self.refresh_mode == RefreshMode.INCREMENTAL.value
        return self.status == "INVALID" or (strict and self.status == "FULL")

    @property
    def line(self) -> str:
        """One line for people."""
        if self.status == "INCREMENTAL":
            by = f" by {', '.join(self.keys)}" if self.keys else ""
            ways = set(self.strategies.values())
            how = ", ".join(
                way if len(ways) == 1 else f"{way} for {what}"
                for what, way in list(self.strategies.items())[-len(ways) :]
            )
            return f"{self.model}: incremental{by}: {how}"
        if self.status == "FULL":
            refused = " but refresh_mode is incremental" if self.wrong else ""
            return f"{self.model}: full{refused}: {self.reason_code}: {self.reason}"
        return f"{self.model}: {self.status.lower()}: {self.reason}"


@dataclass(frozen=True)
class Validation:
    """What was found about a project.

    Attributes:
        models: one for each dynamic table that was looked at.
        circles: each as the relations that read the next one, the first again at the end.
    """

    models: tuple[Validated, ...]
    circles: tuple[tuple[str, ...], ...]

    @property
    def wrong(self) -> int:
        """How many things must be mended before dbt run succeeds."""
        return sum(one.wrong for one in self.models) + len(self.circles)

    @property
    def lines(self) -> list[str]:
        """For people, a line each."""
        return [one.line for one in self.models] + [
            f"circular: {' reads '.join(circle)}" for circle in self.circles
        ]


def validated(model: Model, ability: Ability) -> Validated:
    """What a model's ability means for its user."""
    query, found = ability.query, ability.compiled
    one = Validated(
        model.name,
        model.unique_id,
        model.dynamic_table,
        "INCREMENTAL" if ability.never is None else "FULL",
        model.config.refresh_mode.value,
        sources=tuple(source.name for source in query.sources.values()) if query else (),
    )
    if ability.never is not None:
        return replace(one, reason_code=ability.never.code.value, reason=ability.never.text)
    assert found is not None
    assert query is not None
    return replace(one, keys=found.keys, strategies=_strategies(found, query))


def _strategies(compiled: Compiled, query: ModelQuery) -> dict[str, str]:
    """The strategy for rows that are only inserted in all sources, and for any other change."""
    kinds = {"inserts": ChangeKind.INSERTS, "updates and deletes": ChangeKind.CHANGES}
    way = compiled if compiled.only_finished is None else compiled.state
    found = {}
    for what, kind in kinds.items():
        changes = {
            key: SourceChange(source.table, source.snapshot, source.snapshot, kind)
            for key, source in query.sources.items()
        }
        try:
            if way is None:
                assert compiled.only_finished is not None
                raise NotIncremental(compiled.only_finished.code, compiled.only_finished.text)
            found[what] = STRATEGIES[type(way.merge(changes))].value
        except NotIncremental as refusal:
            found[what] = f"full {refusal.reason.code}"
    return found


def names_read(
    sql: str, engine: Engine, lakes: Mapping[str, LakeCatalog], home: RelationKey
) -> set[RelationKey]:
    """What a query reads, by name alone: for a query that does not bind yet.

    Args:
        sql: the compiled SQL.
        engine: DuckDB's parser.
        lakes: the attached lakes by folded name.
        home: whose database and schema a name without them is in.
    """
    text = lower(sql)
    try:
        references = reads(text, engine.parse_tree(text)).tables
    except (UnparsedSql, RecursionError):
        return set()
    found = set()
    for reference in references:
        catalog, schema, name = reference.parts
        if not catalog and schema and fold(schema) in lakes:
            catalog, schema = schema, "main"
        found.add((fold(catalog or home[0]), fold(schema or home[1]), fold(name)))
    return found


def circles(reading: Mapping[RelationKey, set[RelationKey]]) -> tuple[tuple[str, ...], ...]:
    """The circles in which relations read each other.

    Args:
        reading: by relation what it reads.

    >>> a, b, c = (("lake", "main", name) for name in "abc")
    >>> circles({a: {b}, b: {a, c}, c: set()})
    (('lake.main.a', 'lake.main.b', 'lake.main.a'),)
    """
    left = {key: set(read) for key, read in reading.items()}
    found: list[tuple[str, ...]] = []
    while True:
        try:
            graphlib.TopologicalSorter(left).prepare()
            return tuple(found)
        except graphlib.CycleError as error:
            # Each is read by the next one; it always begins with the same of them.
            read_by = error.args[1][:-1]
            readers = list(reversed(read_by))
            start = readers.index(min(readers))
            circle = [*readers[start:], *readers[: start + 1]]
            left[circle[0]].discard(circle[1])
            found.append(tuple(".".join(key) for key in circle))
