"""From text to a qualified syntax tree: each column knows its table, each star its columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify as sqlglot_qualify

from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.query.dialect import PinnedDuckDB
from dbt.adapters.dynamic.query.reasons import NotIncremental, Reason
from dbt.adapters.dynamic.query.sources import ModelQuery, ParseTree, Source, shape_of
from dbt.adapters.dynamic.query.tree import first_difference

# How many keys a GROUP BY has as they are written: `meta` of its node once it is qualified.
SPELLINGS = "spellings"


def to_sql(expression: exp.Expr) -> str:
    """Write a syntax tree in the pinned-query language."""
    return expression.sql(dialect=PinnedDuckDB, pretty=True)


def render(expression: exp.Expr) -> str:
    """Write an expression in the pinned-query language, on one line."""
    return expression.sql(dialect=PinnedDuckDB)


def place(expression: exp.Expr) -> str:
    """Where a construct stands in the SQL, as `` (line 3, column 7)``; "" where unknown."""
    for node in expression.walk():
        if "line" in node.meta:
            return f" (line {node.meta['line']}, column {node.meta['col']})"
        if "view" in node.meta:
            return " (in a view that the model reads)"
    return ""


def unsupported(
    what: str, where: exp.Expr, code: Reason = Reason.UNSUPPORTED_QUERY
) -> NotIncremental:
    """The refusal of a construct, with its place."""
    return NotIncremental(code, f"{what}{place(where)}")


def place_in_model(expression: exp.Expr, query: ModelQuery, sql: str) -> None:
    """Let `place` speak of the model's own SQL instead of the inlined and pinned text.

    Args:
        expression: the tree of `query.at()`; only its positions are changed.
        query: the query.
        sql: the model's own SQL.
    """
    spans = query.spans()
    starts = [start for start, _ in spans]
    for node in expression.walk():
        if "start" not in node.meta:
            continue
        start, piece = spans[bisect_right(starts, node.meta["start"]) - 1]
        origin = None if piece is None else piece + node.meta["start"] - start
        for name in ("line", "col", "start", "end"):
            node.meta.pop(name, None)
        if origin is None:
            node.meta["view"] = True
        else:
            node.meta["line"] = sql.count("\n", 0, origin) + 1
            node.meta["col"] = origin - sql.rfind("\n", 0, origin)


def parse_faithfully(sql: str, parse_tree: ParseTree) -> exp.Query:
    """Parse a query, and make sure that sqlglot read what DuckDB reads.

    sqlglot's text is parsed by DuckDB again: both trees must mean the same. It is this check,
    not a list of known troubles, that keeps a misread construct out of a merge.

    Args:
        sql: a query in the pinned-query language.
        parse_tree: DuckDB's parser.

    Raises:
        NotIncremental: UNPARSED_SQL, with the place or with what would have changed.
    """
    try:
        expression = sqlglot.parse_one(sql, dialect=PinnedDuckDB)
        text = to_sql(expression)
    except RecursionError as error:
        raise _too_deep() from error
    except SqlglotError as error:
        errors = getattr(error, "errors", None)
        where = errors[0] if errors else {}
        at = f" (line {where['line']}, column {where['col']})" if where.get("line") else ""
        raise NotIncremental(
            Reason.UNPARSED_SQL, f"sqlglot does not read this SQL{at}: {_first_line(error)}"
        ) from error
    if not isinstance(expression, exp.Query):
        raise NotIncremental(Reason.UNPARSED_SQL, "it is not a SELECT")
    try:
        changed = first_difference(shape_of(sql, parse_tree), shape_of(text, parse_tree))
    except Exception as error:  # DuckDB rejects what sqlglot wrote
        changed = _first_line(error)
    if changed:
        raise NotIncremental(
            Reason.UNPARSED_SQL, f"sqlglot reads a part of this SQL differently: {changed}"
        )
    return expression


def qualify(
    expression: exp.Query, sources: Iterable[Source], aggregates: frozenset[str]
) -> exp.Query:
    """Qualify every name of a query.

    Args:
        expression: the parsed query; it is not changed.
        sources: the tables that it reads, with their columns.
        aggregates: names of DuckDB's aggregate functions, lower case.

    Returns:
        A copy in which stars are expanded, columns qualified, aliases resolved, and all
        identifiers in lower case and quoted.

    Raises:
        NotIncremental: UNPARSED_SQL; sqlglot cannot resolve a name, or overlooks one.
    """
    schema: dict[str, Any] = {}
    for source in sources:
        database, schema_name, table = source.key
        # Names are all that is needed; DuckDB knows the types.
        schema.setdefault(database, {}).setdefault(schema_name, {})[table] = {
            fold(column.name): "UNKNOWN" for column in source.table.columns
        }
    _refuse_overlooked_names(expression)
    copy = expression.copy()
    for select in copy.find_all(exp.Select):
        # FROM t JOIN u SELECT …: sqlglot hangs the joins on the table.
        first = select.args["from_"].this if select.args.get("from_") else None
        if first is not None and first.args.get("joins"):
            select.set("joins", [*first.args["joins"], *(select.args.get("joins") or [])])
            first.set("joins", None)
    for call in list(copy.find_all(exp.Anonymous)):
        if fold(call.name) in aggregates:
            # sqlglot must know them: in HAVING sum(b) > 3, b is the column, not an alias b.
            call.replace(exp.AnonymousAggFunc(this=call.this, expressions=call.expressions))
    for group in copy.find_all(exp.Group):
        group.meta[SPELLINGS] = len({fold(to_sql(key)) for key in _keys(group)})
    # The name of a struct's field is data: struct_pack(Total := 1), x::STRUCT(Total INT).
    fields = [field.this for field in copy.find_all(exp.PropertyEQ, exp.Kwarg)]
    for field in [*fields, *copy.find_all(exp.DataType)]:
        for name in field.find_all(exp.Identifier):
            name.meta["case_sensitive"] = True
    try:
        qualified = sqlglot_qualify(
            copy,
            dialect=PinnedDuckDB,
            schema=schema,
            identify=True,
            quote_identifiers=True,
        )
    except RecursionError as error:
        raise _too_deep() from error
    except SqlglotError as error:
        raise NotIncremental(
            Reason.UNPARSED_SQL, f"sqlglot cannot resolve this SQL: {_first_line(error)}"
        ) from error
    for name in qualified.find_all(exp.Identifier):
        if _unresolved(name):
            raise unsupported(f"the name {name.name}", name.parent or name, Reason.UNPARSED_SQL)
    return qualified


def _keys(element: exp.Expr) -> Iterator[exp.Expr]:
    """What a GROUP BY names, in its grouping sets, too."""
    if isinstance(element, exp.Group | exp.GroupingSets | exp.Rollup | exp.Cube | exp.Tuple):
        for part in element.iter_expressions():
            yield from _keys(part)
    else:
        yield element.unnest()


def _refuse_overlooked_names(expression: exp.Query) -> None:
    """Refuse the columns that sqlglot does not see as columns."""
    for dot in expression.find_all(exp.Dot):
        if isinstance(dot.expression, exp.Func | exp.Window) and not _names_main(dot.this):
            what = "a call behind a dot (write what stands before it as its first argument)"
            raise unsupported(what, dot, Reason.UNPARSED_SQL)
    for column in expression.find_all(exp.PositionalColumn):
        what = f"a column by its position (#{column.name}; write its name)"
        raise unsupported(what, column, Reason.UNPARSED_SQL)


# Where a bare name stands that is no column: it gives a name, or is a part of a longer one.
_NAMING = (
    exp.Alias,
    exp.Anonymous,
    exp.Column,
    exp.ColumnDef,
    exp.Comprehension,
    exp.CTE,
    exp.Dot,
    exp.Kwarg,
    exp.Lambda,
    exp.Pivot,
    exp.PropertyEQ,
    exp.Table,
    exp.TableAlias,
    exp.TableColumn,
    exp.Unnest,
    exp.Window,
)


def _unresolved(name: exp.Identifier) -> bool:
    """Whether a bare name stands where a value is expected, and no lambda binds it.

    Such a name would be read without being known as a column.
    """
    if isinstance(name.parent, _NAMING):
        return False
    ancestor = name.parent
    while ancestor is not None:
        if isinstance(ancestor, exp.Lambda):
            if any(fold(bound.name) == fold(name.name) for bound in ancestor.expressions):
                return False
        elif isinstance(ancestor, exp.Comprehension):
            if fold(ancestor.expression.name) == fold(name.name):
                return False
        elif isinstance(ancestor, exp.Pivot):
            return False
        ancestor = ancestor.parent
    return True


def _names_main(left: exp.Expr) -> bool:
    """Whether what stands before a call is the schema main: main.f(x), lake.main.f(x).

    In a.upper() it is the first argument, and sqlglot does not see that `a` is a column.
    """
    if isinstance(left, exp.Dot):
        return isinstance(left.this, exp.Identifier) and _names_main(left.expression)
    return isinstance(left, exp.Identifier) and fold(left.name) == "main"


def _too_deep() -> NotIncremental:
    return NotIncremental(Reason.UNPARSED_SQL, "its expressions are nested too deeply")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
