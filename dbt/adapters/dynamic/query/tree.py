"""What a query reads, taken from DuckDB's own parse tree (``json_serialize_sql``).

DuckDB says where each table stands in the text, which calls are made, and which names are CTEs;
sqlglot is not asked. So views can be inlined and pins written by splicing the user's own text,
and a query that sqlglot cannot read is still pinned and tracked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dbt.adapters.dynamic.names import fold

Tree = dict[str, Any]

# Names that DuckDB's parser leaves as column references and its binder turns into calls.
SESSION_NAMES = frozenset(
    {
        "current_catalog",
        "current_database",
        "current_date",
        "current_role",
        "current_schema",
        "current_time",
        "current_timestamp",
        "current_user",
        "localtime",
        "localtimestamp",
        "session_user",
        "user",
    }
)

EXTREMES = frozenset({"min", "max"})

_NAME_PART = re.compile(rb'"(?:[^"]|"")*"|[^\s".,;()\[\]\'=<>+*/%-]+')
_DOT = re.compile(rb"\s*\.\s*")


@dataclass(frozen=True)
class TableReference:
    """A name in FROM that is not a CTE.

    Attributes:
        parts: catalog, schema and name as written, unquoted; what was not written is "".
        alias: the alias as written, or "".
        start: offset of the name in the query's UTF-8 text, in bytes; None where DuckDB's
            offset does not hold a name (a file in quotes, say).
        end: offset behind the name.
        pinned: the user wrote a version in AT or FOR SYSTEM_TIME: a constant.
    """

    parts: tuple[str, str, str]
    alias: str
    start: int | None
    end: int | None
    pinned: bool

    @property
    def name(self) -> str:
        return ".".join(part for part in self.parts if part)


@dataclass(frozen=True)
class Reads:
    """What one query touches.

    Attributes:
        tables: every table reference, in text order where DuckDB gives an offset.
        table_functions: names of functions in FROM, lower case.
        functions: names of all other functions and of operators, lower case.
        session_names: names such as ``current_date``, lower case.
        arguments: for each function the fewest arguments that a call of it has.
        places: where a function or session name stands first: an offset in the query's UTF-8
            text, in bytes.
        extremes: whether a SELECT takes the min or max of all its rows, not group by group.
        asof: whether there is an ASOF join.
        anti_by_range: whether there is an ANTI join with more than equalities in its condition.
        distinct_on: whether there is a DISTINCT ON.
    """

    tables: tuple[TableReference, ...]
    table_functions: frozenset[str]
    functions: frozenset[str]
    session_names: frozenset[str]
    arguments: Mapping[str, int]
    places: Mapping[str, int]
    extremes: bool
    asof: bool
    anti_by_range: bool
    distinct_on: bool


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from node.values()
    elif isinstance(node, list):
        yield from node


def _name_span(text: bytes, start: int, parts: list[str]) -> tuple[int, int] | None:
    """Where the dotted name `parts` stands in `text`, if it does at `start`."""
    end = start
    for index, part in enumerate(parts):
        if index:
            dot = _DOT.match(text, end)
            if dot is None:
                return None
            end = dot.end()
        found = _NAME_PART.match(text, end)
        if found is None:
            return None
        written = found.group().decode()
        if written.startswith('"'):
            written = written[1:-1].replace('""', '"')
        if fold(written) != fold(part):
            return None
        end = found.end()
    return start, end


def _only_equalities(condition: Tree) -> bool:
    """Whether all conjuncts of a condition are equalities."""
    if condition["type"] == "CONJUNCTION_AND":
        return all(_only_equalities(child) for child in condition["children"])
    return bool(condition["type"] == "COMPARE_EQUAL")


def _one_group(select: Tree) -> bool:
    """Whether a SELECT with aggregates has a group of all rows: no GROUP BY, or an empty set."""
    return not select.get("group_expressions") or [] in select.get("group_sets", [])


class _Walk:
    def __init__(self, sql: str) -> None:
        self.text = sql.encode()
        self.tables: list[TableReference] = []
        self.table_functions: set[str] = set()
        self.functions: set[str] = set()
        self.session_names: set[str] = set()
        self.arguments: dict[str, int] = {}
        self.places: dict[str, int] = {}
        self.extremes = False
        self.asof = False
        self.anti_by_range = False
        self.distinct_on = False
        self._one_group = False

    def walk(self, node: Any, ctes: frozenset[str]) -> None:
        if not isinstance(node, dict):
            for child in _children(node):
                self.walk(child, ctes)
            return
        kind = node.get("type")
        around = self._one_group
        if kind == "SELECT_NODE":
            self._one_group = _one_group(node)
        if "cte_map" in node:
            for entry in node["cte_map"].get("map", []):
                # A CTE sees the ones before it; its own name is a CTE only inside a recursive one,
                # whose node says so.
                self.walk(entry["value"], ctes)
                ctes = ctes | {fold(entry["key"])}
        if kind == "RECURSIVE_CTE_NODE":
            ctes = ctes | {fold(node["cte_name"])}
        self.asof = self.asof or node.get("ref_type") == "ASOF"
        self.distinct_on = self.distinct_on or bool(node.get("distinct_on_targets"))
        if node.get("join_type") == "ANTI" and node.get("condition"):
            # Not: one equality. Of one side only it is a filter, and the rest is what joins.
            self.anti_by_range = self.anti_by_range or not _only_equalities(node["condition"])
        if kind == "BASE_TABLE":
            self._table(node, ctes)
        elif kind == "TABLE_FUNCTION":
            self._call(self.table_functions, node["function"])
            self.walk(node["function"].get("children", []), ctes)
        elif node.get("class") in ("FUNCTION", "WINDOW"):
            self._call(self.functions, node)
        elif kind == "COLUMN_REF":
            names = node["column_names"]
            if len(names) == 1 and fold(names[0]) in SESSION_NAMES:
                self.session_names.add(fold(names[0]))
                self._place(fold(names[0]), node)
        if kind == "SHOW_REF":
            self.table_functions.add("show")
        for key, child in node.items():
            if key != "cte_map" and not (kind == "TABLE_FUNCTION" and key == "function"):
                self.walk(child, ctes)
        self._one_group = around

    def _call(self, names: set[str], node: Tree) -> None:
        name = fold(node["function_name"])
        names.add(name)
        self.extremes = self.extremes or (self._one_group and name in EXTREMES)
        count = len(node.get("children", []))
        self.arguments[name] = min(count, self.arguments.get(name, count))
        self._place(name, node)

    def _place(self, name: str, node: Tree) -> None:
        offset = node.get("query_location")
        if offset is not None:
            self.places[name] = min(offset, self.places.get(name, offset))

    def _table(self, node: Tree, ctes: frozenset[str]) -> None:
        parts = (
            node.get("catalog_name", ""),
            node.get("schema_name", ""),
            node.get("table_name", ""),
        )
        if not parts[0] and not parts[1] and fold(parts[2]) in ctes:
            return
        written = [part for part in parts if part]
        offset = node.get("query_location")
        span = None if offset is None else _name_span(self.text, offset, written)
        self.tables.append(
            TableReference(
                parts=parts,
                alias=node.get("alias", ""),
                start=span[0] if span else None,
                end=span[1] if span else None,
                # A time may lie in the future: only a version is a constant.
                pinned=node.get("at_clause", {}).get("unit") == "VERSION",
            )
        )


def reads(sql: str, tree: Tree) -> Reads:
    """Find what a query reads.

    Args:
        sql: the query's text.
        tree: DuckDB's parse tree of that text.

    Returns:
        Its tables, functions and session names.
    """
    walk = _Walk(sql)
    walk.walk(tree, frozenset())
    return Reads(
        tables=tuple(sorted(walk.tables, key=lambda table: table.start or 0)),
        table_functions=frozenset(walk.table_functions),
        functions=frozenset(walk.functions),
        session_names=frozenset(walk.session_names),
        arguments=walk.arguments,
        places=walk.places,
        extremes=walk.extremes,
        asof=walk.asof,
        anti_by_range=walk.anti_by_range,
        distinct_on=walk.distinct_on,
    )


# What an expression is made of that computes from its names alone. A star, a subquery, a window,
# a lambda (its parameters are names of its own) or a parameter of a statement is more.
_COMPUTING = frozenset(
    {
        "BETWEEN",
        "CASE",
        "CAST",
        "COLLATE",
        "COLUMN_REF",
        "COMPARISON",
        "CONJUNCTION",
        "CONSTANT",
        "FUNCTION",
        "OPERATOR",
    }
)


def only_computes(expression: Any, parameters: Collection[str]) -> bool:
    """Whether an expression computes from these names alone.

    Args:
        expression: a parse tree, or a part of one.
        parameters: the names that it may use, folded.
    """
    if isinstance(expression, dict):
        kind = expression.get("class")
        if kind is not None and kind not in _COMPUTING:
            return False
        if kind == "COLUMN_REF":
            names = [fold(name) for name in expression["column_names"]]
            if len(names) != 1 or names[0] not in {*parameters, *SESSION_NAMES}:
                return False
    return all(only_computes(child, parameters) for child in _children(expression))


def shape(tree: Any) -> Any:
    """The meaning of a parse tree: without offsets, and with names in one case.

    Two texts of equal shape are the same query to DuckDB. Strings and the names of struct fields
    keep their case: they are data.
    """
    if isinstance(tree, list):
        return [shape(child) for child in tree]
    if not isinstance(tree, dict):
        return tree
    plain = {key: shape(child) for key, child in tree.items() if key != "query_location"}
    for key in ("function_name", "table_name", "schema_name", "catalog_name", "cte_name"):
        if isinstance(plain.get(key), str):
            plain[key] = fold(plain[key])
    if plain.get("type") == "COLUMN_REF":
        plain["column_names"] = [fold(name) for name in plain["column_names"]]
    if isinstance(plain.get("type_info"), dict) and isinstance(
        plain["type_info"].get("name"), str
    ):
        plain["type_info"]["name"] = fold(plain["type_info"]["name"])
    if plain.get("type") == "OPERATOR_NOT" and len(plain.get("children", [])) == 1:
        (child,) = plain["children"]
        if child.get("type") == "OPERATOR_IS_NULL" and "alias" not in child:
            # NOT x IS NULL is x IS NOT NULL.
            plain = {**plain, "type": "OPERATOR_IS_NOT_NULL", "children": child["children"]}
    return plain


def first_difference(left: Any, right: Any, path: str = "") -> str | None:
    """Where two shapes part, as a path with both values; None where they are equal."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            found = first_difference(left.get(key), right.get(key), f"{path}/{key}")
            if found:
                return found
        return None
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            found = first_difference(*pair, f"{path}[{index}]")
            if found:
                return found
        return None
    return None if left == right else f"{path}: {left!r} became {right!r}"
