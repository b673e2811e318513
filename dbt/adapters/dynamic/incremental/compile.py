"""From a query and the changes of its sources to the two queries of a merge by affected keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from dbt.adapters.dynamic.incremental.deltas import Deltas
from dbt.adapters.dynamic.incremental.nodes import (
    GroupBy,
    Keyed,
    Project,
    SourceKey,
    build,
    referenced_columns,
)
from dbt.adapters.dynamic.incremental.rules import group_by, project
from dbt.adapters.dynamic.incremental.versions import aliased
from dbt.adapters.dynamic.lake.changes import SourceChange
from dbt.adapters.dynamic.query.dialect import SYSTEM_TIME
from dbt.adapters.dynamic.query.qualify import (
    parse_faithfully,
    place,
    place_in_model,
    qualify,
    to_sql,
)
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from dbt.adapters.dynamic.query.sources import ModelQuery, ParseTree

# Not a name that a model would use.
_AFFECTED_ALIAS = "dbt_dynamic_affected"


@dataclass(frozen=True)
class Compiled:
    """A query that can be refreshed by affected keys.

    Attributes:
        top: the node whose rows are the result.
        qualified: the whole query, qualified: what `top` was built from.
    """

    top: Keyed
    qualified: exp.Query

    @property
    def keys(self) -> tuple[str, ...]:
        """The output columns that identify a row, lower case."""
        return tuple(self.top.keys)

    @property
    def text(self) -> str:
        """The whole query as it was understood, in the pinned-query language."""
        return to_sql(self.qualified)

    @property
    def columns(self) -> dict[SourceKey, frozenset[str]]:
        """The columns that the query reads of each source, lower case."""
        return referenced_columns(self.top)

    def affected_keys(self, changes: Mapping[SourceKey, SourceChange]) -> str:
        """The query for the keys whose rows may differ, each once.

        Args:
            changes: what happened to each source; one at least has changed rows.

        Returns:
            SQL in the pinned-query language; its columns are `keys`.
        """
        deltas = Deltas(changes, self.columns)
        group, names = _grouping(self.top)
        return to_sql(deltas.statement(group_by.affected_keys(group, deltas, names)))

    def recomputed(self, changes: Mapping[SourceKey, SourceChange], affected: str) -> str:
        """The query for the rows of the affected keys at the new versions.

        Args:
            changes: what happened to each source.
            affected: the name of the temporary table with the affected keys.

        Returns:
            SQL in the pinned-query language, with the model's columns in the model's order.
        """
        deltas = Deltas(changes, self.columns)
        table = aliased(exp.table_(affected, quoted=True), _AFFECTED_ALIAS)
        return to_sql(deltas.statement(_recomputed(self.top, deltas, table)))


def compile_query(
    query: ModelQuery, parse_tree: ParseTree, aggregates: frozenset[str]
) -> Compiled:
    """Compile a model's query.

    Args:
        query: the query with its views inlined.
        parse_tree: DuckDB's parser.
        aggregates: names of DuckDB's aggregate functions, lower case.

    Raises:
        NotIncremental: with the construct that has no rule.
    """
    parsed = parse_faithfully(query.at(), parse_tree)
    place_in_model(parsed, query, query.sql)
    for table in parsed.find_all(exp.Table):
        pin = table.args.get("when")
        if pin is not None and pin.this != SYSTEM_TIME:  # inlining leaves the user's own as AT
            raise NotIncremental(
                Reason.UNSUPPORTED_QUERY, f"{table.name} is pinned by hand{place(table)}"
            )
    for select in parsed.find_all(exp.Select):
        _refuse_using_after_comma(select)
    qualified = qualify(parsed, query.sources.values(), aggregates)
    return Compiled(build(qualified, query.sources, aggregates), qualified)


def _refuse_using_after_comma(select: exp.Select) -> None:
    """In ``c, x JOIN y USING (a)`` DuckDB joins x with y; sqlglot looks for `a` in c as well."""
    comma = False
    for join in select.args.get("joins") or []:
        if comma and (join.args.get("using") or join.method == "NATURAL"):
            raise NotIncremental(
                Reason.UNSUPPORTED_QUERY, f"USING or NATURAL after a comma in FROM{place(join)}"
            )
        comma = comma or not any(
            join.args.get(part) for part in ("kind", "side", "method", "on", "using")
        )


def _grouping(top: Keyed) -> tuple[GroupBy, dict[str, str]]:
    """The grouping below the projections, and the result's names of its key columns."""
    names = {key: key for key in top.keys}
    while isinstance(top, Project):
        names = project.names_below(top, names)
        (below,) = top.inputs.values()
        assert isinstance(below, GroupBy | Project)
        top = below
    return top, names


def _recomputed(
    top: Keyed, deltas: Deltas, affected: exp.Table, names: dict[str, str] | None = None
) -> exp.Select:
    names = names if names is not None else {key: key for key in top.keys}
    if isinstance(top, GroupBy):
        return group_by.recomputed(top, deltas, names, affected)
    ((alias, below),) = top.inputs.items()
    assert isinstance(below, GroupBy | Project)
    rows = _recomputed(below, deltas, affected, project.names_below(top, names))
    return project.over(top, deltas.define(f"{below.name}_recomputed", rows, alias))
