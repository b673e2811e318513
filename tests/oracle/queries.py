"""Random queries from a grammar that covers every rule of the compiler, and their nesting.

A query is made of blocks (SELECTs), each of which is bound by a plain DuckDB as soon as it is
written: that tells its columns, and a block that does not bind is replaced by a plain one. Only
answers that DuckDB leaves open are avoided: where an ORDER BY decides, it ends in all columns, so
that tied rows are identical; floating point numbers are compared and counted, never added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dbt.adapters.dynamic.names import fold
from tests.oracle.expressions import (
    COMPARABLE,
    COMPARISONS,
    MAX_TOTAL_ORDER,
    ORDERED,
    Environment,
    Expressions,
    Reference,
    Relation,
)
from tests.oracle.schemas import Draw, Kind, identifier, kind_of, number

Describe = Callable[[str], tuple[tuple[str, str], ...] | None]
Columns = tuple[tuple[str, Kind], ...]

MAX_BLOCKS = 8
_JOINS = (
    *("INNER",) * 6,
    *("LEFT",) * 5,
    *("RIGHT", "FULL", "SEMI", "ANTI", "NATURAL", "ASOF", "LATERAL", "unnest", "comma") * 2,
    *("USING",) * 3,
    *("CROSS", "parentheses"),
)
_SET_OPERATIONS = (
    *("UNION ALL",) * 3,
    *("UNION",) * 2,
    *("INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"),
)
_BY_NAME = ("UNION ALL BY NAME", "UNION BY NAME")
_SHAPES = (
    *("plain",) * 7,
    *("grouped",) * 7,
    *("window",) * 3,
    *("distinct", "distinct on", "sets", "unnest") * 2,
    "global",
)


@dataclass(frozen=True)
class Query:
    """A query, with the columns that DuckDB says it has."""

    sql: str
    columns: Columns


@dataclass(frozen=True)
class Item:
    """One relation in FROM."""

    sql: str
    alias: str
    columns: Columns
    relation: str = ""


@dataclass
class From:
    """A FROM clause under construction.

    Attributes:
        sql: the clause without the word FROM.
        columns: relation, name and kind of each column that can be used.
        merged: folded names that USING or NATURAL made one.
        comma: how many columns stand before the last comma: ON and USING do not reach them.
        relations: what is read, for self-joins.
    """

    sql: str = ""
    columns: list[tuple[str, str, Kind]] = field(default_factory=list)
    merged: set[str] = field(default_factory=set)
    comma: int = 0
    relations: list[str] = field(default_factory=list)

    def qualified(self) -> list[Reference]:
        """The columns that ON reaches."""
        return [_qualified(*column) for column in self.columns[self.comma :]]

    def common(self, columns: Columns) -> list[str]:
        """Columns that USING may name."""
        here = [fold(name) for _, name, _ in self.columns[self.comma :]]
        kinds = {fold(name): kind for _, name, kind in self.columns[self.comma :]}
        return [
            name
            for name, kind in columns
            if kinds.get(fold(name)) is kind
            and (here.count(fold(name)) == 1 or fold(name) in self.merged)
        ]


@dataclass
class Output:
    """A column of a SELECT list: an expression, and its alias or else its own name."""

    sql: str
    kind: Kind
    alias: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        return f"{self.sql} AS {identifier(self.alias)}" if self.alias else self.sql


def _qualified(relation: str, name: str, kind: Kind) -> Reference:
    sql = f"{identifier(relation)}.{identifier(name)}"
    return Reference(sql, kind, sql, name)


class Grammar(Expressions):
    """Writes the views and the query of a case.

    Args:
        draw: Hypothesis's.
        describe: binds a query in a database with the case's tables.

    Attributes:
        read: the tables that are read, as written.
        rejected: the blocks that did not bind.
        in_view: whether a view is being written.
    """

    def __init__(self, draw: Draw, describe: Describe) -> None:
        super().__init__(draw)
        self.describe = describe
        self.read: list[str] = []
        self.rejected: list[str] = []
        self.blocks = MAX_BLOCKS
        self.daring = self.chance(12)
        self.in_view = False

    # Whole queries ------------------------------------------------------------------------------

    def model(self, relations: Sequence[Relation], depth: int) -> Query:
        """A query as a model has it."""
        env = Environment(tuple(relations), depth=depth)
        self.blocks = MAX_BLOCKS
        if self.chance(1):
            return self.recursive(env)
        query = self.query(env)
        if self.chance(6):
            ordered = f"SELECT * FROM ({query.sql}) ORDER BY ALL"
            if self.chance(30):
                self.use("LIMIT")
                return Query(f"{ordered} LIMIT {number(self.draw, 1, 4)}", query.columns)
            self.use("ORDER BY without LIMIT")
            return Query(ordered, query.columns)
        return query

    def recursive(self, env: Environment) -> Query:
        query = self.query(env, [Kind.INTEGER])
        self.use("WITH RECURSIVE")
        sql = (
            f"WITH RECURSIVE steps(n) AS (SELECT * FROM ({query.sql}) UNION "
            "SELECT n + 1 FROM steps WHERE n < 4) FROM steps"
        )
        return Query(sql, (("n", Kind.INTEGER),))

    def query(
        self,
        env: Environment,
        kinds: Sequence[Kind] | None = None,
        names: Sequence[str] | None = None,
    ) -> Query:
        """A query that sees nothing of the blocks around it.

        Args:
            env: what it can see.
            kinds: the kinds that its columns must have; any if None.
            names: the names that they must have; any if None.
        """
        env = replace(env, outer=())
        used, read = len(self.used), len(self.read)
        sql = self.written(env, kinds, names)
        columns = self.bound(sql, env)
        if columns is None:
            self.rejected.append(sql)
            del self.used[used:], self.read[read:]
            sql = self.fallback(env, kinds, names)
            columns = self.bound(sql, env)
            assert columns is not None, sql
        return Query(sql, columns)

    def bound(self, sql: str, env: Environment) -> Columns | None:
        """The query's columns, or None if it does not bind or two have one name."""
        described = self.describe(
            f"WITH {', '.join(env.ctes)} SELECT * FROM ({sql})" if env.ctes else sql
        )
        if not described or len({fold(name) for name, _ in described}) != len(described):
            return None
        return tuple((name, kind_of(type_)) for name, type_ in described)

    def written(
        self, env: Environment, kinds: Sequence[Kind] | None, names: Sequence[str] | None
    ) -> str:
        forms = ["select"] * 7
        if env.depth > 0 and self.blocks > 1:
            forms += ["with"] * 4 + ["set operation"] * 2
        form = self.pick(forms)
        if form == "with":
            return self.with_ctes(env, kinds, names)
        if form == "set operation":
            return self.set_operation(env, kinds, names)
        return self.select(env, kinds, names)

    def fallback(
        self, env: Environment, kinds: Sequence[Kind] | None, names: Sequence[str] | None
    ) -> str:
        """What stands for a block that does not bind."""
        relation = env.relations[0]
        self.read.extend(relation.tables)
        if kinds is None:
            return f"SELECT * FROM {relation.sql}"
        references = [Reference(identifier(name), kind) for name, kind in relation.columns]
        outputs = [
            Output(self.value(kind, references, 0), kind, name)
            for kind, name in zip(
                kinds, names or [f"c{i}" for i in range(len(kinds))], strict=True
            )
        ]
        return f"SELECT {', '.join(one.text for one in outputs)} FROM {relation.sql}"

    def with_ctes(
        self, env: Environment, kinds: Sequence[Kind] | None, names: Sequence[str] | None
    ) -> str:
        """A chain of CTEs; the last one is read, sometimes twice."""
        items: list[str] = []
        inner = replace(env, depth=env.depth - 1)
        for _ in range(number(self.draw, 1, 3)):
            query = self.deduplicated(inner) if self.chance(15) else self.query(inner)
            name = self.new_name("cte")
            hidden = [one for one in inner.relations if "CTE" not in one.constructs]
            hidden = [one for one in hidden if one.sql == identifier(one.name)]
            constructs: tuple[str, ...] = ("CTE",)
            if hidden and self.chance(12):  # like the import CTEs of dbt models
                name = self.pick(hidden).name
                constructs = ("CTE", "CTE named like a table")
            how = self.pick(["MATERIALIZED ", "NOT MATERIALIZED "]) if self.chance(10) else ""
            items.append(f"{identifier(name)} AS {how}({query.sql})")
            made = Relation(identifier(name), name, query.columns, constructs)
            visible = [one for one in inner.relations if fold(one.sql) != fold(made.sql)]
            inner = replace(inner, relations=(made, *visible), ctes=(*inner.ctes, items[-1]))
        return f"WITH {', '.join(items)} " + self.select(
            inner, kinds, names, first=inner.relations[0], twice=self.chance(25)
        )

    def set_operation(
        self, env: Environment, kinds: Sequence[Kind] | None, names: Sequence[str] | None
    ) -> str:
        if kinds is None:
            options = (*COMPARABLE, *COMPARABLE, Kind.LIST)
            kinds = [self.pick(options) for _ in range(number(self.draw, 1, 3))]
        names = list(names or [self.new_name("c") for _ in kinds])
        below = env.below()
        sql = self.side(below, kinds, names)
        for _ in range(2 if self.chance(25) else 1):
            operations = (*_SET_OPERATIONS, *_BY_NAME) if self.daring else _SET_OPERATIONS
            operation = self.pick(operations)
            by_name = operation.endswith("BY NAME")
            self.use("UNION BY NAME" if by_name else operation)
            if by_name:
                right = self.side(below, kinds[::-1], names[::-1])
            else:
                right = self.side(below, kinds, names)
            sql = f"{sql} {operation} {right}"
        return sql

    def side(self, env: Environment, kinds: Sequence[Kind], names: Sequence[str]) -> str:
        query = self.query(env, kinds, names).sql
        nested = " UNION " in query or " EXCEPT " in query or " INTERSECT " in query
        if nested or query.startswith("WITH ") or self.chance(20):
            return f"({query})"
        return query

    def deduplicated(self, env: Environment) -> Query:
        """One row per key: the newest, the first, by an order without open ties."""
        self.use("dedupe", "QUALIFY", "window")
        query = self.query(env.below()) if env.depth > 0 and self.chance(30) else None
        if query is None:
            item = self.relation_item(env, self.pick(env.relations), set())
            sql, columns = item.sql, item.columns
        else:
            sql, columns = f"({query.sql}) AS {self.new_name('dedup')}", query.columns
        references = [Reference(identifier(name), kind) for name, kind in columns]
        keys = ", ".join(
            self.some([one.sql for one in references if one.kind is not Kind.OTHER], 1, 2)
        )
        over = f"OVER (PARTITION BY {keys} ORDER BY {self.total_order(references)})"
        if not keys or len(references) > MAX_TOTAL_ORDER:
            text = f"SELECT DISTINCT * FROM {sql}"
        elif self.chance(60):
            text = f"SELECT * FROM {sql} QUALIFY row_number() {over} = 1"
        else:
            text = (
                f"SELECT * EXCLUDE (place) FROM (SELECT *, row_number() {over} AS place "
                f"FROM {sql}) WHERE place = 1"
            )
        bound = self.bound(text, env)
        if bound is None:
            self.rejected.append(text)
            return self.query(replace(env, depth=0))
        return Query(text, bound)

    # FROM ---------------------------------------------------------------------------------------

    def subquery_from(self, env: Environment) -> tuple[str, list[Reference]]:
        taken = set(env.taken)
        clause = self.from_clause(replace(env, depth=env.depth - 1), most=1, taken=taken)
        return clause.sql, [_qualified(*column) for column in clause.columns]

    def from_clause(
        self,
        env: Environment,
        first: Relation | None = None,
        twice: bool = False,
        most: int = 2,
        taken: set[str] | None = None,
    ) -> From:
        """Relations and their joins.

        Args:
            env: what can be read.
            first: what must be read.
            twice: whether it must be read again.
            most: how many joins there may be.
            taken: folded names that no relation may have.
        """
        taken = set() if taken is None else taken
        clause = From()
        item = self.item(env, taken, first)
        self.add(clause, item.sql, item)
        joins = self.pick([0, 0, 0, 1, 1, 1, 1, 2, 2])
        if twice:
            assert first is not None
            self.use("CTE read twice")
            self.join(clause, env, taken, first)
        for _ in range(min(joins, most)):
            self.join(clause, env, taken)
        return clause

    def add(self, clause: From, sql: str, item: Item) -> None:
        clause.sql = sql
        clause.columns += [(item.alias, name, kind) for name, kind in item.columns]
        if item.relation:
            if item.relation in clause.relations:
                self.use("self-join")
            clause.relations.append(item.relation)

    def item(self, env: Environment, taken: set[str], relation: Relation | None = None) -> Item:
        if relation is None:
            forms = ["relation"] * 8
            if env.depth > 0 and self.blocks > 0:
                forms += ["derived"] * 4
            forms += ["dedupe", "values"]
            form = self.pick(forms)
            if form in ("derived", "dedupe"):
                self.blocks -= 1
                if form == "derived":
                    query = self.query(env.below())
                else:
                    query = self.deduplicated(replace(env, depth=min(env.depth, 1)))
                self.use("derived table")
                return self.aliased(f"({query.sql})", query.columns, taken, True)
            if form == "values" and self.chance(50):
                self.use("VALUES")
                rows = ", ".join(
                    f"({self.literal(Kind.INTEGER)}, {self.literal(Kind.TEXT)})"
                    for _ in range(number(self.draw, 1, 3))
                )
                alias = self.new_name("r")
                names = (("k", Kind.INTEGER), ("q", Kind.TEXT))
                return Item(f"(VALUES {rows}) AS {alias}(k, q)", alias, names)
            relation = self.pick(env.relations)
        return self.relation_item(env, relation, taken)

    def relation_item(self, env: Environment, relation: Relation, taken: set[str]) -> Item:
        self.use(*relation.constructs)
        self.read.extend(relation.tables)
        bare = fold(relation.name) not in taken and self.chance(40)
        if bare:
            taken.add(fold(relation.name))
            return Item(relation.sql, relation.name, relation.columns, relation.sql)
        return replace(
            self.aliased(relation.sql, relation.columns, taken, False), relation=relation.sql
        )

    def aliased(self, sql: str, columns: Columns, taken: set[str], query: bool) -> Item:
        alias = self.new_name("r")
        if self.chance(6):
            alias = f'R "{alias}"'
        taken.add(fold(alias))
        names = ""
        if self.chance(6):
            self.use("column aliases")
            count = number(self.draw, 1, len(columns))
            new = [(self.new_name("p"), kind) for _, kind in columns[:count]]
            columns = (*new, *columns[count:])
            names = f"({', '.join(name for name, _ in new)})"
        word = "AS " if self.chance(80) else ""
        return Item(f"{sql} {word}{identifier(alias)}{names}", alias, columns)

    # Joins --------------------------------------------------------------------------------------

    def join(
        self, clause: From, env: Environment, taken: set[str], relation: Relation | None = None
    ) -> None:
        kind = self.pick(_JOINS)
        if kind == "unnest" and self.unnest(clause):
            return
        if kind == "LATERAL" and self.blocks > 0 and env.depth > 0:
            self.lateral(clause, env, taken)
            return
        if kind == "ASOF" and self.asof(clause, env):
            return
        if kind == "parentheses" and relation is None and self.daring:
            inner = self.from_clause(env, most=1, taken=taken)
            if " " in inner.sql and inner.comma == 0 and len(inner.relations) > 1:
                self.use("parenthesised join")
                side = self.pick(["JOIN", "LEFT JOIN"])
                self.use("INNER JOIN" if side == "JOIN" else "LEFT JOIN")
                right = [_qualified(*column) for column in inner.columns]
                on = self.on(clause.qualified(), right)
                clause.sql = f"{clause.sql} {side} ({inner.sql}) ON {on}"
                clause.columns += inner.columns
                clause.merged |= inner.merged
                clause.relations += inner.relations
                return
            kind = "INNER"
        item = self.item(env, taken, relation)
        common = clause.common(item.columns)
        if kind == "USING" and common:
            self.using(clause, item, common)
        elif kind == "NATURAL" and self.can_be_natural(clause, item, common):
            self.natural(clause, item, common)
        elif kind in ("comma", "CROSS"):
            self.use("comma join" if kind == "comma" else "CROSS JOIN")
            before = len(clause.columns)
            word = "," if kind == "comma" else " CROSS JOIN"
            self.add(clause, f"{clause.sql}{word} {item.sql}", item)
            if kind == "comma":
                clause.comma = before
        else:
            word = kind if kind in ("LEFT", "RIGHT", "FULL", "SEMI", "ANTI") else "INNER"
            self.use(f"{word} JOIN")
            right = [_qualified(item.alias, name, column) for name, column in item.columns]
            on = self.on(clause.qualified(), right)
            written = self.pick(["JOIN", "INNER JOIN"]) if word == "INNER" else f"{word} JOIN"
            if word in ("LEFT", "RIGHT", "FULL") and self.chance(20):
                written = f"{word} OUTER JOIN"
            sql = f"{clause.sql} {written} {item.sql} ON {on}"
            if word in ("SEMI", "ANTI"):
                clause.sql = sql
            else:
                self.add(clause, sql, item)

    def on(self, left: Sequence[Reference], right: Sequence[Reference]) -> str:
        """A join condition."""
        pairs = [
            (one, other)
            for one in left
            for other in right
            if one.kind is other.kind and one.kind in COMPARABLE
        ]
        same = [(one, other) for one, other in pairs if fold(one.name) == fold(other.name)]
        if not pairs:
            self.use("join on another condition")
            return self.condition([*left, *right], 0)
        one, other = self.pick(same) if same and self.chance(60) else self.pick(pairs)
        equal = f"{one.sql} = {other.sql}"
        form = self.pick(["equal"] * 6 + ["both", "filter", "filter", "other", "safe", "value"])
        if form == "equal":
            return equal if self.chance(85) else f"{other.sql} = {one.sql}"
        if form == "both":
            second, third = self.pick(pairs)
            return f"{equal} AND {second.sql} {self.pick(COMPARISONS)} {third.sql}"
        if form == "filter":
            side = self.pick([left, right, [*left, *right]])
            return f"{equal} AND {self.condition(side, 1)}"
        self.use("join on another condition")
        if form == "other":
            return f"{one.sql} {self.pick(['<', '>=', '<>'])} {other.sql}"
        if form == "value":
            own = self.value(one.kind, left, 1)
            return f"{own} = {self.value(one.kind, right, 1)}"
        if self.chance(50):
            return f"{one.sql} IS NOT DISTINCT FROM {other.sql}"
        return f"({equal} OR {self.condition([*left, *right], 0)})"

    def using(self, clause: From, item: Item, common: Sequence[str]) -> None:
        names = self.some(common, 1, 2)
        word = self.pick(
            ["JOIN", "LEFT JOIN", "FULL JOIN", "RIGHT JOIN", "SEMI JOIN", "ANTI JOIN"]
        )
        self.use("USING", "INNER JOIN" if word == "JOIN" else word)
        columns = ", ".join(map(identifier, names))
        sql = f"{clause.sql} {word} {item.sql} USING ({columns})"
        if word in ("SEMI JOIN", "ANTI JOIN"):
            clause.sql = sql
            return
        clause.merged |= {fold(name) for name in names}
        self.add(clause, sql, item)

    @staticmethod
    def can_be_natural(clause: From, item: Item, common: Sequence[str]) -> bool:
        here = {fold(name) for _, name, _ in clause.columns[clause.comma :]}
        shared = {fold(name) for name, _ in item.columns} & here
        return bool(common) and shared == {fold(name) for name in common}

    def natural(self, clause: From, item: Item, common: Sequence[str]) -> None:
        word = self.pick(["", "LEFT ", "FULL ", "RIGHT "])
        self.use("NATURAL JOIN", f"{word or 'INNER '}JOIN")
        clause.merged |= {fold(name) for name in common}
        self.add(clause, f"{clause.sql} NATURAL {word}JOIN {item.sql}", item)

    def asof(self, clause: From, env: Environment) -> bool:
        """An ASOF join with a relation that has one row for each place: no ties."""
        relation = self.pick(env.relations)
        places = [column for column in relation.columns if column[1] in ORDERED]
        if not places:
            return False
        place = self.pick(places)
        keys = [one for one in relation.columns if one[1] in COMPARABLE and one != place]
        keys = self.some(keys, 0, 1)
        rest = [one for one in relation.columns if one not in (place, *keys)]
        left = [one for one in clause.qualified() if one.kind is place[1]]
        equals = [(one, key) for one in clause.qualified() for key in keys if one.kind is key[1]]
        if not left or (keys and not equals):
            return False
        self.use(*relation.constructs)
        self.read.extend(relation.tables)
        alias = self.new_name("r")
        grouped = [identifier(name) for name, _ in (*keys, place)]
        columns = [*keys, place]
        items = list(grouped)
        for name, kind in self.some([one for one in rest if one[1] in COMPARABLE], 0, 2):
            items.append(f"max({identifier(name)}) AS {identifier(name)}")
            columns.append((name, kind))
        outer = self.chance(50)
        self.use("ASOF LEFT JOIN" if outer else "ASOF JOIN", "derived table", "GROUP BY")
        conditions = []
        if equals:
            one, key = self.pick(equals)
            conditions.append(f"{one.sql} = {alias}.{identifier(key[0])}")
        operator = self.pick([">=", ">", "<=", "<"])
        conditions.append(f"{self.pick(left).sql} {operator} {alias}.{identifier(place[0])}")
        self.add(
            clause,
            f"{clause.sql} ASOF {'LEFT ' if outer else ''}JOIN (SELECT {', '.join(items)} "
            f"FROM {relation.sql} GROUP BY {', '.join(grouped)}) AS {alias} "
            f"ON {' AND '.join(conditions)}",
            Item("", alias, tuple(columns)),
        )
        return True

    def unnest(self, clause: From) -> bool:
        here = clause.qualified() if clause.comma else [_qualified(*one) for one in clause.columns]
        lists = [one.sql for one in here if one.kind is Kind.LIST]
        integers = [one.sql for one in here if one.kind is Kind.INTEGER]
        if not lists and integers and self.chance(50):
            lists = [f"[{', '.join(self.some(integers, 1, 2))}]"]
        if not lists:
            return False
        self.use("unnest in FROM")
        alias, column = self.new_name("r"), self.new_name("x")
        call = f"unnest({self.pick(lists)})"
        form = self.pick(
            [
                f", {call} AS {alias}({column})",
                f" CROSS JOIN {call} AS {alias}({column})",
                f" LEFT JOIN {call} AS {alias}({column}) ON true",
                f", LATERAL (SELECT {call} AS {column}) AS {alias}",
            ]
        )
        before = len(clause.columns)
        self.add(clause, clause.sql + form, Item("", alias, ((column, Kind.INTEGER),)))
        if form.startswith(","):
            clause.comma = before
        return True

    def lateral(self, clause: From, env: Environment, taken: set[str]) -> None:
        here = [_qualified(*one) for one in clause.columns]
        inside = replace(env, outer=tuple(here), taken=frozenset(taken))
        alias = self.new_name("r")
        if self.chance(20):
            self.use("LATERAL", "SELECT without FROM")
            body = ""
            references = here
            aggregated = False
        else:
            body, references = self.subquery_body(inside)
            aggregated = self.chance(50)
        outputs: list[Output] = []
        for _ in range(number(self.draw, 1, 2)):
            if aggregated:
                one = self.aggregate(references)
            else:
                kind = self.pick([reference.kind for reference in references])
                one = Reference(self.value(kind, references, 1), kind)
            outputs.append(Output(one.sql, one.kind, self.new_name("y")))
        sql = f"SELECT {', '.join(one.text for one in outputs)} {body}".strip()
        columns = tuple((one.alias, one.kind) for one in outputs)
        left = self.chance(40)
        self.use("LEFT JOIN LATERAL" if left else "LATERAL")
        before = len(clause.columns)
        form = (
            f" LEFT JOIN LATERAL ({sql}) AS {alias} ON true"
            if left
            else self.pick(
                [f", LATERAL ({sql}) AS {alias}", f" CROSS JOIN LATERAL ({sql}) AS {alias}"]
            )
        )
        self.add(clause, clause.sql + form, Item("", alias, columns))
        if form.startswith(","):
            clause.comma = before

    # SELECT -------------------------------------------------------------------------------------

    def references(self, clause: From) -> list[Reference]:
        """All columns of a FROM clause, each written with its relation or without."""
        names = [fold(name) for _, name, _ in clause.columns]
        written = []
        for column in clause.columns:
            full = _qualified(*column)
            bare = names.count(fold(column[1])) == 1 or fold(column[1]) in clause.merged
            if bare and self.chance(50):
                full = replace(full, sql=identifier(column[1]))
            written.append(full)
        return written

    def select(
        self,
        env: Environment,
        kinds: Sequence[Kind] | None = None,
        names: Sequence[str] | None = None,
        first: Relation | None = None,
        twice: bool = False,
    ) -> str:
        """One block.

        Args:
            env: what it can see.
            kinds: the kinds that its columns must have; any if None.
            names: the names that they must have; any if None.
            first: what it must read.
            twice: whether it must read that again.
        """
        self.blocks -= 1
        clause = self.from_clause(env, first, twice)
        references = self.references(clause)
        inside = replace(
            env,
            depth=env.depth - 1,
            outer=tuple(references),
            taken=frozenset(fold(relation) for relation, _, _ in clause.columns),
        )
        conditions = []
        if clause.comma and self.chance(75):
            left = [_qualified(*one) for one in clause.columns[: clause.comma]]
            conditions.append(self.on(left, clause.qualified()))
        if self.chance(40):
            conditions.append(
                self.marked("subquery in WHERE", self.condition, references, 2, inside)
            )
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        from_ = f"FROM {clause.sql}"
        shape = self.pick(_SHAPES)
        if kinds is not None and shape in ("unnest", "sets"):
            shape = "plain"
        if kinds is not None:
            names = list(names or [f"c{index}" for index in range(1, len(kinds) + 1)])
        wanted = list(zip(kinds, names or [], strict=True)) if kinds is not None else None
        if shape == "grouped":
            head, tail = self.grouped(references, inside, wanted)
        elif shape == "global":
            head, tail = self.global_aggregate(references, inside, wanted)
        elif shape == "sets":
            head, tail = self.grouping_sets(references)
        elif shape == "window":
            head, tail = self.windows(references, wanted)
        elif shape == "distinct on" and len(references) <= MAX_TOTAL_ORDER:
            head, tail = self.distinct_on(references, wanted)
        else:
            head, tail = self.plain(clause, references, inside, wanted, shape)
        if shape not in ("sets", "grouped", "global") and not head and self.chance(50):
            return f"{from_}{where}{tail}"
        if self.chance(5):
            self.use("FROM first")
            return f"{from_} {head}{where}{tail}"
        return f"{head} {from_}{where}{tail}"

    def marked(
        self,
        construct: str,
        write: Callable[[Sequence[Reference], int, Environment], str],
        references: Sequence[Reference],
        level: int,
        env: Environment,
    ) -> str:
        """Write something, and note the construct if it has a subquery."""
        sql = write(references, level, env)
        if "(SELECT" in sql or "(FROM" in sql:
            self.use(construct)
        return sql

    def outputs(
        self,
        references: Sequence[Reference],
        env: Environment | None,
        wanted: Sequence[tuple[Kind, str]] | None,
        most: int = 4,
    ) -> list[Output]:
        """A SELECT list: columns, and expressions with their aliases."""
        if wanted is not None:
            return [
                Output(self._value(kind, references, env), kind, name) for kind, name in wanted
            ]
        outputs: list[Output] = []
        seen: set[str] = set()
        for one in self.some(references, 1, most):
            output = Output(one.sql, one.kind, name=one.name)
            if one.kind in COMPARABLE and self.chance(30):
                output = Output(self._value(one.kind, references, env), one.kind)
            if output.name and fold(output.name) not in seen and not self.chance(20):
                seen.add(fold(output.name))
            else:
                output.alias = self.new_alias()
            outputs.append(output)
        integers = [one for one in outputs if one.alias and one.kind is Kind.INTEGER]
        if integers and self.chance(10):
            self.use("alias of another column")
            sql = f"{identifier(self.pick(integers).alias)} + 1"
            outputs.append(Output(sql, Kind.INTEGER, self.new_alias()))
        return outputs

    def _value(self, kind: Kind, references: Sequence[Reference], env: Environment | None) -> str:
        sql = self.value(kind, references, 2, env)
        if "(SELECT" in sql:
            self.use("subquery in SELECT")
        return sql

    def new_alias(self) -> str:
        name = self.new_name("c")
        return f'The "{name}"' if self.chance(4) else name

    def plain(
        self,
        clause: From,
        references: Sequence[Reference],
        env: Environment,
        wanted: Sequence[tuple[Kind, str]] | None,
        shape: str,
    ) -> tuple[str, str]:
        self.use("plain")
        word = "SELECT"
        if shape == "distinct":
            self.use("DISTINCT")
            word = "SELECT DISTINCT"
        if wanted is None and shape == "unnest":
            lists = [one.sql for one in references if one.kind is Kind.LIST]
            integers = [one.sql for one in references if one.kind is Kind.INTEGER]
            if lists or integers:
                self.use("unnest in SELECT")
                items = self.pick(lists) if lists else f"[{self.pick(integers)}, 9]"
                outputs = self.outputs(references, None, None, 2)
                outputs.append(Output(f"unnest({items})", Kind.INTEGER, self.new_alias()))
                return f"{word} {', '.join(one.text for one in outputs)}", ""
        if wanted is None and self.chance(25):
            return f"{word} {self.star(clause, references, env)}", ""
        outputs = self.outputs(references, env, wanted)
        return f"{word} {', '.join(one.text for one in outputs)}", ""

    def star(self, clause: From, references: Sequence[Reference], env: Environment) -> str:
        """A star, with what DuckDB lets stand behind it."""
        relations = list(dict.fromkeys(relation for relation, _, _ in clause.columns))
        relation = self.pick(relations)
        if self.in_view and len(relations) > 1 and identifier(relation) != relation:
            # DuckDB 1.5.5 forgets the quotes of "x y".* where it writes a view's text.
            return ", ".join(one.text for one in self.outputs(references, env, None))
        own = [(name, kind) for of, name, kind in clause.columns if of == relation]
        star = "*" if len(relations) == 1 else f"{identifier(relation)}.*"
        form = self.pick(["star", "EXCLUDE", "REPLACE", "COLUMNS", "more"])
        self.use("star")
        if form == "EXCLUDE" and len(own) > 1:
            self.use("star EXCLUDE")
            names = self.some([name for name, _ in own], 1, len(own) - 1)
            star += f" EXCLUDE ({', '.join(map(identifier, names))})"
        if form == "REPLACE":
            self.use("star REPLACE")
            name, kind = self.pick(own)
            fitting = [Reference(f"{identifier(relation)}.{identifier(name)}", kind)]
            star += f" REPLACE ({self.value(kind, fitting, 1)} AS {identifier(name)})"
        if form == "COLUMNS" and len(relations) == 1:
            self.use("COLUMNS")
            return "COLUMNS('.*')"
        if form == "more":
            one = self.pick(references)
            kind = one.kind
            star += f", {self._value(kind, references, env)} AS {identifier(self.new_alias())}"
        return star

    def grouped(
        self,
        references: Sequence[Reference],
        env: Environment,
        wanted: Sequence[tuple[Kind, str]] | None,
    ) -> tuple[str, str]:
        self.use("GROUP BY")
        keys: list[Reference] = []
        for one in self.some([one for one in references if one.kind is not Kind.OTHER], 1, 3):
            if one.kind in COMPARABLE and self.chance(20):
                keys.append(Reference(self.value(one.kind, [one], 1), one.kind))
            else:
                keys.append(one)
        aggregates = [self.aggregate(references) for _ in range(number(self.draw, 0, 3))]
        grouped = [*keys, *aggregates]
        # Subqueries may be correlated with what the groups are made of.
        visible = replace(env, outer=tuple(one for one in keys if one.qualified))
        style = "expressions"
        if wanted is not None:
            extra = [self.aggregate(references, kind) for kind, _ in wanted]
            outputs = self.outputs([*grouped, *extra], None, wanted)
        else:
            outputs = []
            seen: set[str] = set()
            for key in keys:
                if self.chance(12):
                    self.use("key not in the output")
                    continue
                if key.name and fold(key.name) not in seen and self.chance(75):
                    seen.add(fold(key.name))
                    outputs.append(Output(key.sql, key.kind, name=key.name))
                else:
                    outputs.append(Output(key.sql, key.kind, self.new_alias()))
            complete = len(outputs) == len(keys)
            outputs += [Output(one.sql, one.kind, self.new_alias()) for one in aggregates]
            kinds = [one.kind for one in grouped if one.kind is not Kind.OTHER]
            if self.chance(25) and kinds:
                kind = self.pick(kinds)
                sql = self._value(kind, grouped, visible)
                outputs.append(Output(sql, kind, self.new_alias()))
                complete = False
            elif len(keys) > 1 and self.chance(20):
                self.use("window over aggregates")
                window = self.window(grouped, [self.pick(keys).sql], keys)
                outputs.append(Output(window.sql, window.kind, self.new_alias()))
            if not outputs:
                outputs.append(Output("count(*)", Kind.INTEGER, self.new_alias()))
            if complete:
                style = self.pick(["expressions", "expressions", "ALL", "ordinals", "names"])
        by = ", ".join(one.sql for one in keys)
        if style == "ALL":
            self.use("GROUP BY ALL")
            by = "ALL"
        elif style == "ordinals":
            by = ", ".join(str(place) for place in range(1, len(keys) + 1))
        elif style == "names":
            by = ", ".join(
                identifier(one.alias) if one.alias else one.sql for one in outputs[: len(keys)]
            )
        tail = f" GROUP BY {by}"
        if self.chance(25):
            self.use("HAVING")
            tail += " HAVING " + self.marked(
                "subquery in HAVING", self.condition, grouped, 1, visible
            )
        return f"SELECT {', '.join(one.text for one in outputs)}", tail

    def global_aggregate(
        self,
        references: Sequence[Reference],
        env: Environment,
        wanted: Sequence[tuple[Kind, str]] | None,
    ) -> tuple[str, str]:
        self.use("global aggregate")
        if wanted is not None:
            outputs = [
                Output(self.aggregate(references, kind).sql, kind, name) for kind, name in wanted
            ]
        else:
            outputs = []
            for _ in range(number(self.draw, 1, 3)):
                one = self.aggregate(references)
                outputs.append(Output(one.sql, one.kind, self.new_alias()))
        tail = ""
        if self.chance(15):
            self.use("HAVING")
            calls = [Reference(one.sql, one.kind) for one in outputs]
            tail = f" HAVING {self.condition(calls, 1, replace(env, outer=()))}"
        return f"SELECT {', '.join(one.text for one in outputs)}", tail

    def grouping_sets(self, references: Sequence[Reference]) -> tuple[str, str]:
        self.use("grouping sets")
        keys = self.some([one for one in references if one.kind is not Kind.OTHER], 1, 3)
        if not keys:
            keys = [references[0]]
        outputs = [Output(key.sql, key.kind, self.new_alias()) for key in keys]
        for _ in range(number(self.draw, 1, 2)):
            one = self.aggregate(references)
            outputs.append(Output(one.sql, one.kind, self.new_alias()))
        if self.chance(30):
            outputs.append(Output(f"grouping({keys[0].sql})", Kind.INTEGER, self.new_alias()))
        names = [key.sql for key in keys]
        listed = ", ".join(names)
        by = self.pick(
            [
                f"ROLLUP ({listed})",
                f"CUBE ({listed})",
                f"GROUPING SETS (({listed}), ({names[0]}), ())",
                f"GROUPING SETS (({listed}), ({names[-1]}))",
                f"{names[0]}, ROLLUP ({', '.join(names[1:]) or names[0]})",
            ]
        )
        tail = f" GROUP BY {by}"
        if self.chance(20):
            self.use("HAVING")
            calls = [Reference(one.sql, one.kind) for one in outputs[len(keys) :]]
            tail += f" HAVING {self.condition(calls, 0)}"
        return f"SELECT {', '.join(one.text for one in outputs)}", tail

    def windows(
        self, references: Sequence[Reference], wanted: Sequence[tuple[Kind, str]] | None
    ) -> tuple[str, str]:
        partition = self.partition(references)
        calls = [self.window(references, partition, references)]
        if self.chance(30):
            self.use("several windows")
            if partition and self.chance(60):  # one more column, one in common
                usable = [one.sql for one in references if one.kind is not Kind.OTHER]
                partition = list(dict.fromkeys([partition[0], self.pick(usable)]))
            else:
                partition = self.partition(references)
            calls.append(self.window(references, partition, references))
        if wanted is not None:
            outputs = self.outputs([*references, *calls], None, wanted)
        else:
            outputs = self.outputs(references, None, None, 3)
            outputs += [Output(one.sql, one.kind, self.new_alias()) for one in calls]
        tail = ""
        if self.chance(40):
            self.use("QUALIFY")
            tail = f" QUALIFY {self.condition(calls, 1)}"
            if wanted is None and self.chance(30):
                outputs = outputs[: -len(calls)]
        return f"SELECT {', '.join(one.text for one in outputs)}", tail

    def distinct_on(
        self, references: Sequence[Reference], wanted: Sequence[tuple[Kind, str]] | None
    ) -> tuple[str, str]:
        keys = self.some([one for one in references if one.kind is not Kind.OTHER], 1, 2)
        if not keys:
            keys = [references[0]]
        self.use("DISTINCT ON")
        outputs = self.outputs(references, None, wanted)
        on = ", ".join(one.sql for one in keys)
        head = f"SELECT DISTINCT ON ({on}) {', '.join(one.text for one in outputs)}"
        return head, f" ORDER BY {on}, {self.total_order(references)}"
