"""Random expressions: values, conditions, aggregates, windows, and the subqueries within them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tests.oracle import constructs
from tests.oracle.schemas import VALUES, Draw, Kind, chance, number, pick

T = TypeVar("T")

# Kinds whose values are compared with each other.
COMPARABLE = (Kind.INTEGER, Kind.TEXT, Kind.DECIMAL, Kind.DATE, Kind.BOOLEAN)
ORDERED = (Kind.INTEGER, Kind.DATE, Kind.DECIMAL)
COMPARISONS = ("=", "=", "<", "<=", ">", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")
# An ORDER BY over more columns than this is no fun to read.
MAX_TOTAL_ORDER = 9


@dataclass(frozen=True)
class Reference:
    """A value that an expression may use: a column, a grouping expression, an aggregate.

    Attributes:
        sql: how it is written here.
        kind: its kind.
        qualified: how a subquery writes it; "" for what is no column.
        name: the column's name; "" for what is no column.
    """

    sql: str
    kind: Kind
    qualified: str = ""
    name: str = ""


@dataclass(frozen=True)
class Relation:
    """What may stand in FROM.

    Attributes:
        sql: the name as written.
        name: its last part, which is the alias where none is written.
        columns: names and kinds.
        constructs: what it counts as.
        tables: the tables below it, as written.
    """

    sql: str
    name: str
    columns: tuple[tuple[str, Kind], ...]
    constructs: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Environment:
    """What a block can see.

    Attributes:
        relations: what may stand in FROM.
        ctes: the WITH items around the block, as text.
        depth: how many further levels of blocks may be nested here.
        outer: columns of the blocks around, for correlated subqueries.
        taken: folded names of the relations in the blocks around.
    """

    relations: tuple[Relation, ...]
    ctes: tuple[str, ...] = ()
    depth: int = 0
    outer: tuple[Reference, ...] = ()
    taken: frozenset[str] = frozenset()

    def below(self) -> Environment:
        """One level down, where nothing of the blocks around can be seen."""
        return replace(self, depth=self.depth - 1, outer=(), taken=frozenset())


class Expressions(ABC):
    """Writes expressions.

    Args:
        draw: Hypothesis's.

    Attributes:
        used: the constructs of what was written, in order.
        blocks: how many more SELECTs may be written.
        daring: whether to write what the compiler has no rule for, or takes for open.
    """

    blocks: int
    daring: bool

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.used: list[str] = []
        self._names = 0

    @abstractmethod
    def subquery_from(self, env: Environment) -> tuple[str, list[Reference]]:
        """A FROM clause of a subquery, and its columns."""

    # Choices ------------------------------------------------------------------------------------

    def pick(self, options: Sequence[T]) -> T:
        return pick(self.draw, options)

    def chance(self, percent: int) -> bool:
        return chance(self.draw, percent)

    def some(self, options: Sequence[T], least: int, most: int) -> list[T]:
        """Some of the options, each once, in any order."""
        count = number(self.draw, min(least, len(options)), min(most, len(options)))
        left = list(options)
        return [left.pop(number(self.draw, 0, len(left) - 1)) for _ in range(count)]

    def new_name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def use(self, *names: str) -> None:
        """Note constructs."""
        assert constructs.ALL.issuperset(names), names
        self.used.extend(names)

    # Values -------------------------------------------------------------------------------------

    def literal(self, kind: Kind) -> str:
        if kind is Kind.OTHER:
            return "NULL"
        return f"NULL::{kind.value}" if self.chance(12) else self.pick(VALUES[kind])

    def value(
        self,
        kind: Kind,
        references: Sequence[Reference],
        level: int,
        env: Environment | None = None,
    ) -> str:
        """An expression of a kind.

        Args:
            kind: the kind.
            references: what it may use.
            level: how deep it may be nested.
            env: what its subqueries can see; None if it may have none.
        """
        own = [one.sql for one in references if one.kind is kind]
        if kind is Kind.BOOLEAN and level > 0 and (not own or self.chance(60)):
            return f"({self.condition(references, level - 1, env)})"
        if self.may_nest(env) and kind in COMPARABLE and self.chance(14):
            assert env is not None
            return self.scalar_subquery(kind, env)
        if level > 0 and kind is not Kind.OTHER and self.chance(35):
            return self.compound(kind, references, level - 1, env)
        if own and not self.chance(8):
            return self.pick(own)
        return self.literal(kind)

    def may_nest(self, env: Environment | None) -> bool:
        return env is not None and env.depth > 0 and self.blocks > 0

    def compound(
        self, kind: Kind, references: Sequence[Reference], level: int, env: Environment | None
    ) -> str:
        def of(wanted: Kind) -> str:
            return self.value(wanted, references, level, env)

        if self.chance(20):
            self.use("CASE")
            test = self.condition(references, 0, env)
            return f"CASE WHEN {test} THEN {of(kind)} ELSE {of(kind)} END"
        if self.chance(20):
            return f"coalesce({of(kind)}, {self.literal(kind)})"
        integer, text = Kind.INTEGER, Kind.TEXT
        ways: dict[Kind, list[Callable[[], str]]] = {
            Kind.INTEGER: [
                lambda: f"({of(integer)} + {of(integer)})",
                lambda: f"({of(integer)} - {of(integer)})",
                lambda: f"({of(integer)} * {self.pick('23')})",
                lambda: f"({of(integer)} % {self.pick('23')})",
                lambda: f"abs({of(integer)})",
                lambda: f"nullif({of(integer)}, {of(integer)})",
                lambda: f"greatest({of(integer)}, {of(integer)})",
                lambda: f"length({of(text)})",
                lambda: f"day({of(Kind.DATE)})",
                lambda: f"len({of(Kind.LIST)})",
                lambda: f"({of(Kind.LIST)})[1]",
                lambda: f"struct_extract({of(Kind.STRUCT)}, 'f')",
                lambda: f"TRY_CAST({of(text)} AS INTEGER)",
                lambda: f"{of(Kind.BOOLEAN)}::INTEGER",
            ],
            Kind.TEXT: [
                lambda: f"upper({of(text)})",
                lambda: f"({of(text)} || {of(text)})",
                lambda: f"concat({of(text)}, {of(integer)})",
                lambda: f"{of(integer)}::VARCHAR",
                lambda: f"substr({of(text)}, 1, 1)",
                lambda: f"({of(Kind.DATE)})::VARCHAR",
                lambda: f"if({of(Kind.BOOLEAN)}, {of(text)}, {of(text)})",
                lambda: f"struct_extract({of(Kind.STRUCT)}, 'g')",
            ],
            Kind.DECIMAL: [
                lambda: f"({of(Kind.DECIMAL)} + {of(Kind.DECIMAL)})",
                lambda: f"(- {of(Kind.DECIMAL)})",
                lambda: f"({of(Kind.DECIMAL)} * {self.pick('23')})",
                lambda: f"least({of(Kind.DECIMAL)}, {of(Kind.DECIMAL)})",
            ],
            Kind.DATE: [
                lambda: f"({of(Kind.DATE)} + {self.pick('12')})",
                lambda: f"greatest({of(Kind.DATE)}, {of(Kind.DATE)})",
            ],
            Kind.LIST: [
                lambda: f"[{of(integer)}::INTEGER, {of(integer)}::INTEGER]",
                self._lambda(of),
            ],
            Kind.STRUCT: [lambda: f"{{'f': {of(integer)}::INTEGER, 'g': {of(text)}}}"],
        }
        return self.pick(ways[kind])() if kind in ways else of(kind)

    def _lambda(self, of: Callable[[Kind], str]) -> Callable[[], str]:
        def write() -> str:
            self.use("lambda")
            items = of(Kind.LIST)
            return self.pick(
                [
                    f"list_transform({items}, lambda e: e + 1)",
                    f"list_filter({items}, lambda e: e > 0)",
                ]
            )

        return write

    # Conditions ---------------------------------------------------------------------------------

    def condition(
        self, references: Sequence[Reference], level: int, env: Environment | None = None
    ) -> str:
        """A condition; see `value` for the arguments."""
        if self.may_nest(env) and self.chance(30):
            assert env is not None
            return self.subquery_condition(references, env)
        if level > 0 and self.chance(40):
            left = self.condition(references, level - 1, env)
            if self.chance(20):
                return f"NOT ({left})"
            right = self.condition(references, level - 1, env)
            return f"({left} {self.pick(['AND', 'OR'])} {right})"
        candidates = [one for one in references if one.kind in COMPARABLE]
        if not candidates:
            others = [one.sql for one in references]
            return f"{self.pick(others)} IS NOT NULL" if others else self.pick(["true", "1 = 1"])
        one = self.pick(candidates)
        if one.kind is Kind.BOOLEAN and self.chance(50):
            return self.pick([one.sql, f"NOT {one.sql}", f"{one.sql} IS NOT TRUE"])
        form = self.pick(["compare"] * 6 + ["null", "between", "list", "like"])
        if form == "null":
            return f"{one.sql} IS {self.pick(['NOT NULL', 'NULL'])}"
        if form == "between":
            return f"{one.sql} BETWEEN {self.literal(one.kind)} AND {self.literal(one.kind)}"
        if form == "list":
            inside = ", ".join(self.literal(one.kind) for _ in range(number(self.draw, 1, 3)))
            return f"{one.sql} {self.pick(['IN', 'NOT IN'])} ({inside})"
        if form == "like" and one.kind is Kind.TEXT:
            return f"{one.sql} {self.pick(['LIKE', 'NOT LIKE', 'ILIKE'])} 'a%'"
        other = self.value(one.kind, references, min(level, 1), env)
        return f"{one.sql} {self.pick(COMPARISONS)} {other}"

    # Subqueries ---------------------------------------------------------------------------------

    def correlation(self, inner: Sequence[Reference], env: Environment) -> list[str]:
        """Conditions that tie a subquery to the blocks around it; none is possible, too."""
        pairs = [
            (one, other)
            for one in inner
            for other in env.outer
            if one.kind is other.kind and one.kind in COMPARABLE
        ]
        if not pairs or not self.chance(70):
            return []
        self.use("correlated subquery")
        ties = []
        for one, other in self.some(pairs, 1, 2 if self.chance(20) else 1):
            operator = "=" if self.chance(75) else self.pick(COMPARISONS)
            left, right = one.qualified, other.qualified
            if one.kind is Kind.INTEGER and self.chance(10):
                left = f"{left} + 1"
            ties.append(f"{left} {operator} {right}")
        return ties

    def subquery_body(self, env: Environment) -> tuple[str, list[Reference]]:
        """FROM and WHERE of a subquery, and the columns that its SELECT may use."""
        self.blocks -= 1
        from_, references = self.subquery_from(env)
        conditions = self.correlation(references, env)
        if self.chance(30):
            inside = replace(
                env,
                depth=env.depth - 1,
                outer=(*env.outer, *(one for one in references if one.qualified)),
            )
            conditions.append(self.condition(references, 1, inside))
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"FROM {from_}{where}", references

    def scalar_subquery(self, kind: Kind, env: Environment) -> str:
        """At most one row: it aggregates."""
        self.use("scalar subquery")
        body, references = self.subquery_body(env)
        own = [one.sql for one in references if one.kind is kind]
        calls = [f"{name}({sql})" for sql in own[:3] for name in ("max", "min")]
        if kind is Kind.INTEGER:
            calls += ["count(*)", *(f"sum({sql})" for sql in own[:2])]
        if kind is Kind.BOOLEAN:
            calls += ["count(*) > 1", *(f"bool_or({sql})" for sql in own[:2])]
        if not calls:
            calls = [f"max({self.literal(kind)})"]
        return f"(SELECT {self.pick(calls)} {body})"

    def subquery_condition(self, references: Sequence[Reference], env: Environment) -> str:
        """EXISTS, IN, and their kin."""
        candidates = [one for one in references if one.kind in COMPARABLE]
        form = self.pick(["exists"] * 4 + ["in"] * 5 + ["compare"] * 2 + ["any", "row"])
        if form == "exists" or not candidates:
            negated = self.chance(45)
            self.use("NOT EXISTS" if negated else "EXISTS")
            body, _ = self.subquery_body(env)
            written = f"EXISTS ({self.pick(['SELECT 1 ', 'SELECT * ', ''])}{body})"
            return f"NOT {written}" if negated else written
        one = self.pick(candidates)
        if form == "compare":
            return f"{one.sql} {self.pick(COMPARISONS)} {self.scalar_subquery(one.kind, env)}"
        body, inner = self.subquery_body(env)
        if form == "row":
            pairs = [
                (left.sql, right.sql)
                for left in candidates
                for right in inner
                if left.kind is right.kind
            ]
            chosen = self.some(pairs, 2, 2)
            if len(chosen) == 2:
                self.use("row IN subquery")
                (a, c), (b, d) = chosen
                return f"({a}, {b}) {self.pick(['IN', 'NOT IN'])} (SELECT {c}, {d} {body})"
        wanted = self.value(one.kind, inner, 1)
        if form == "any":
            self.use("ALL and ANY subqueries")
            operator = self.pick(["=", "<", ">=", "<>"])
            return f"{one.sql} {operator} {self.pick(['ANY', 'ALL'])} (SELECT {wanted} {body})"
        negated = self.chance(50)
        self.use("NOT IN subquery" if negated else "IN subquery")
        left = self.value(one.kind, references, 1) if self.chance(20) else one.sql
        return f"{left} {'NOT IN' if negated else 'IN'} (SELECT {wanted} {body})"

    # Aggregates ---------------------------------------------------------------------------------

    def aggregate(self, references: Sequence[Reference], kind: Kind | None = None) -> Reference:
        """An aggregate call whose answer does not depend on the order of rows."""
        kinds = {Kind.INTEGER, *(one.kind for one in references)} - {Kind.OTHER}
        argument_kind = self.pick(sorted(kinds, key=lambda one: list(Kind).index(one)))
        if kind in (Kind.TEXT, Kind.DATE, Kind.DECIMAL, Kind.BOOLEAN, Kind.DOUBLE):
            argument_kind = kind
        own = [one.sql for one in references if one.kind is argument_kind]
        x = self.pick(own) if own else self.value(argument_kind, references, 1)
        if own and argument_kind in COMPARABLE and self.chance(15):
            x = self.value(argument_kind, references, 1)
        calls: list[tuple[str, Kind]] = [
            ("count(*)", Kind.INTEGER),
            (f"count({x})", Kind.INTEGER),
            (f"count(DISTINCT {x})", Kind.INTEGER),
        ]
        if argument_kind is Kind.INTEGER:
            calls += [(f"sum({x})", Kind.INTEGER)] * 4
            calls += [
                (f"sum(DISTINCT {x})", Kind.INTEGER),
                (f"avg({x})", Kind.DOUBLE),
                (f"median({x})", Kind.DOUBLE),
                (f"quantile_disc({x}, 0.5)", Kind.INTEGER),
                (f"bit_xor({x}::BIGINT)", Kind.INTEGER),
                (f"count_if({x} > 1)", Kind.INTEGER),
            ]
        if argument_kind is Kind.DECIMAL:
            calls += [(f"sum({x})", Kind.DECIMAL)] * 3 + [(f"avg({x})", Kind.DOUBLE)]
        if argument_kind is Kind.BOOLEAN:
            calls += [(f"bool_and({x})", Kind.BOOLEAN), (f"bool_or({x})", Kind.BOOLEAN)]
        if argument_kind in (*COMPARABLE, Kind.DOUBLE):
            calls += [(f"min({x})", argument_kind), (f"max({x})", argument_kind)] * 2
            calls.append((f"list({x} ORDER BY {x})", Kind.OTHER))
            calls.append((f"list(DISTINCT {x} ORDER BY {x})", Kind.OTHER))
        if self.daring and argument_kind in COMPARABLE:
            calls += [(f"max({x}, 2)", Kind.OTHER), (f"histogram({x})", Kind.OTHER)]
            # Of rows that are equal in what is ordered by, any is as good as the other.
            least = self.pick([one.sql for one in references] or [x])
            calls.append((f"arg_max({x}, ({least}, {x}))", argument_kind))
        if argument_kind is Kind.TEXT:
            calls.append((f"string_agg({x}, ',' ORDER BY {x})", Kind.TEXT))
        fitting = [call for call in calls if kind is None or call[1] is kind]
        if not fitting:
            return Reference(f"max({self.literal(kind or Kind.INTEGER)})", kind or Kind.INTEGER)
        sql, result = self.pick(fitting)
        if "DISTINCT" in sql:
            self.use("DISTINCT aggregate")
        if "ORDER BY" in sql:
            self.use("ordered aggregate")
        if self.chance(12):
            self.use("FILTER")
            sql += f" FILTER (WHERE {self.condition(references, 0)})"
        return Reference(sql, result)

    # Windows ------------------------------------------------------------------------------------

    def total_order(self, references: Sequence[Reference]) -> str:
        """An ORDER BY that leaves only identical rows in a tie."""
        first, *others = self.some(references, len(references), len(references))
        options = ["", " DESC", " NULLS FIRST", " DESC NULLS FIRST"]
        direction = self.pick([*options, " DESC NULLS LAST"] if self.daring else options)
        return ", ".join([f"{first.sql}{direction}", *(one.sql for one in others)])

    def partition(self, references: Sequence[Reference], most: int = 2) -> list[str]:
        usable = [one.sql for one in references if one.kind is not Kind.OTHER]
        if not usable or self.chance(4):
            self.use("window without PARTITION BY")
            return []
        return self.some(usable, 1, most)

    def window(
        self,
        references: Sequence[Reference],
        partition: Sequence[str],
        order: Sequence[Reference],
    ) -> Reference:
        """A window function over the rows of a block.

        Args:
            references: what its arguments may use.
            partition: the PARTITION BY expressions.
            order: all columns of the rows, for an order without open ties.
        """
        over = f"PARTITION BY {', '.join(partition)}" if partition else ""
        total = bool(order) and len(order) <= MAX_TOTAL_ORDER
        simple = [one for one in references if one.kind in COMPARABLE]
        calls: list[tuple[str, str, Kind]] = [("count(*)", over, Kind.INTEGER)]
        if total:
            ordered = f"{over} ORDER BY {self.total_order(order)}".strip()
            calls += [("row_number()", ordered, Kind.INTEGER)] * 3
            calls.append(("ntile(2)", ordered, Kind.INTEGER))
        if simple:
            one = self.pick(simple)
            peers = f"{over} ORDER BY {one.sql}".strip()
            calls += [
                ("rank()", peers, Kind.INTEGER),
                ("dense_rank()", peers, Kind.INTEGER),
                ("percent_rank()", peers, Kind.DOUBLE),
                (f"max({one.sql})", over, one.kind),
                (f"min({one.sql})", peers, one.kind),
                (f"count({one.sql})", peers, Kind.INTEGER),
            ]
            if total:
                rows = f"{ordered} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"
                calls += [
                    (f"lag({one.sql})", ordered, one.kind),
                    (f"lead({one.sql}, 2)", ordered, one.kind),
                    (f"first_value({one.sql})", ordered, one.kind),
                ]
                if self.daring:
                    calls.append((f"last_value({one.sql})", rows, one.kind))
                    calls.append((f"nth_value({one.sql}, 2)", ordered, one.kind))
            if one.kind is Kind.INTEGER:
                calls += [
                    (f"sum({one.sql})", over, Kind.INTEGER),
                    (f"sum({one.sql})", peers, Kind.INTEGER),
                    (f"avg({one.sql})", over, Kind.DOUBLE),
                ]
                if total:
                    calls.append((f"sum({one.sql})", rows, Kind.INTEGER))
        call, window, kind = self.pick(calls)
        self.use("window")
        return Reference(f"{call} OVER ({window})", kind)
