"""Which calls give the same answer for the same rows: by DuckDB's own function catalog (§4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dbt.adapters.dynamic.query.reasons import Explained, Reason
from dbt.adapters.dynamic.query.tree import EXTREMES, SESSION_NAMES


@dataclass(frozen=True)
class FunctionFact:
    """One entry of ``duckdb_functions()``.

    Attributes:
        kind: scalar, aggregate, macro, table, table_macro, pragma.
        stability: CONSISTENT, CONSISTENT_WITHIN_QUERY, VOLATILE, or "" where DuckDB says nothing.
        internal: part of DuckDB or of an extension.
        calls: for a macro: the functions and session names in its text, lower case.
        definition: for a macro: its text, a user's with its parameters.
        arguments: for a user's macro: the fewest arguments that its text calls each function with.
        parameters: for a user's macro: how many it has.
        only_computes: a user's macro whose text reads nothing but its parameters: no table, no
            column of the query around it, no window.
    """

    kind: str
    stability: str
    internal: bool
    calls: frozenset[str] = frozenset()
    definition: str = ""
    arguments: Mapping[str, int] = field(default_factory=dict)
    parameters: int = 0
    only_computes: bool = False

    @property
    def user_macro(self) -> bool:
        return not self.internal and self.kind in ("macro", "table_macro")


# What the session or the clock decides although DuckDB's catalog calls it CONSISTENT: age(x) is
# measured from today, the others read settings and variables.
_SESSION_FUNCTIONS = frozenset({"age", "current_setting", "getvariable"})

# By lower-case name; a name may have several entries (overloads, a user's macro beside).
Functions = Mapping[str, list[FunctionFact]]


def unstable(
    calls: Mapping[str, int],
    session_names: Iterable[str],
    functions: Functions,
    places: Mapping[str, str] | None = None,
) -> Explained | None:
    """Why the query may give other rows for the same sources, or None if it may not.

    Macros are looked into. A user's scalar macro that only computes from its parameters is like
    DuckDB's own functions; any other may hide anything, tables included.

    Args:
        calls: function names in the query, lower case, with the fewest arguments of a call.
        session_names: names such as ``current_date``.
        functions: DuckDB's catalog.
        places: where a name stands in the SQL, to be written behind it.

    Returns:
        VOLATILE_FUNCTION, TIME_DEPENDENT or USER_MACRO with the name, the gravest first.
    """
    macros: set[str] = set()
    volatile: set[str] = set()
    timely = set(session_names)
    seen: set[tuple[str, int, bool]] = set()
    # The name, its arguments, the name in the query behind it, whether a user's macro calls it.
    todo = [(name, count, name, False) for name, count in sorted(calls.items())]
    while todo:
        name, count, written, within = todo.pop()
        if (name, count, within) in seen:
            continue
        seen.add((name, count, within))
        facts = functions.get(name, [])
        if name in _SESSION_FUNCTIONS:
            timely.add(written)
        if within and not _computes(facts):
            macros.add(written)
        for fact in facts:
            # A function of DuckDB may share the name, and DuckDB does not show the default of a
            # parameter that is left out.
            if fact.user_macro and (
                not fact.only_computes
                or count < fact.parameters
                or not all(other.user_macro for other in facts)
            ):
                macros.add(written)
            if fact.calls & SESSION_NAMES:
                timely.add(written)
            inside = within or fact.user_macro
            todo.extend(
                (inner, fact.arguments.get(inner, 0), written, inside)
                for inner in sorted(fact.calls - SESSION_NAMES)
            )
            if fact.stability == "VOLATILE":
                volatile.add(written)
            elif fact.stability == "CONSISTENT_WITHIN_QUERY":
                timely.add(written)

    def shown(names: set[str]) -> str:
        return ", ".join(f"{name}{(places or {}).get(name, '')}" for name in sorted(names))

    if macros:
        return Explained(
            Reason.USER_MACRO, f"the macro {shown(macros)} may read tables or the clock"
        )
    if timely:
        return Explained(
            Reason.TIME_DEPENDENT,
            f"{shown(timely)} depends on when the query runs"
            " (write a column of that name with its table: t.name)"
            if timely & set(session_names)
            else f"{shown(timely)} depends on when the query runs",
        )
    if volatile:
        return Explained(
            Reason.VOLATILE_FUNCTION, f"{shown(volatile)} gives another value in every call"
        )
    return None


def _computes(facts: list[FunctionFact]) -> bool:
    """Whether a call in the text of a user's macro gives one value from its arguments.

    What DuckDB's catalog does not know is no function, but a word of a DuckDB macro's text.
    """
    kinds = {fact.kind for fact in facts}
    return not kinds or ("aggregate" not in kinds and bool(kinds & {"scalar", "macro"}))


def called_macros(calls: Iterable[str], functions: Functions) -> list[str]:
    """The definitions of the users' macros that a query calls, also within others, sorted."""
    return sorted(
        {
            f"{name}{fact.definition}"
            for name in _reached(calls, functions)
            for fact in functions.get(name, [])
            if fact.user_macro
        }
    )


def takes_extremes(written: bool, calls: Iterable[str], functions: Functions) -> bool:
    """Whether a query takes the min or max of all rows of something.

    DuckDB may answer that from statistics; see
    :data:`~dbt.adapters.dynamic.lake.changes.FROM_STATISTICS`.

    Args:
        written: the query says so itself.
        calls: what it calls; a macro may say so.
        functions: DuckDB's function catalog.
    """
    return written or bool(_reached(set(calls) - EXTREMES, functions) & EXTREMES)


def _reached(calls: Iterable[str], functions: Functions) -> set[str]:
    """All functions that calls lead to, through macros."""
    seen: set[str] = set()
    todo = list(calls)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(call for fact in functions.get(name, []) for call in fact.calls)
    return seen


def aggregate_names(functions: Functions) -> frozenset[str]:
    """The names of all aggregates, lower case: DuckDB's macros that call one are some, too."""
    names = {
        name
        for name, facts in functions.items()
        if any(fact.kind == "aggregate" for fact in facts)
    }
    macros = [
        (name, fact.calls)
        for name, facts in functions.items()
        for fact in facts
        if fact.kind == "macro"
    ]
    while True:
        more = {name for name, calls in macros if name not in names and calls & names}
        if not more:
            return frozenset(names)
        names |= more
