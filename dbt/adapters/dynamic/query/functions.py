"""Which calls give the same answer for the same rows: by DuckDB's own function catalog (§4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dbt.adapters.dynamic.query.reasons import Explained, Reason
from dbt.adapters.dynamic.query.tree import SESSION_NAMES


@dataclass(frozen=True)
class FunctionFact:
    """One entry of ``duckdb_functions()``.

    Attributes:
        kind: scalar, aggregate, macro, table, table_macro, pragma.
        stability: CONSISTENT, CONSISTENT_WITHIN_QUERY, VOLATILE, or "" where DuckDB says nothing.
        internal: part of DuckDB or of an extension.
        calls: for a macro: the functions and session names in its text, lower case.
    """

    kind: str
    stability: str
    internal: bool
    calls: frozenset[str] = frozenset()


# What the session or the clock decides although DuckDB's catalog calls it CONSISTENT: age(x) is
# measured from today, the others read settings and variables.
_SESSION_FUNCTIONS = frozenset({"age", "current_setting", "getvariable"})

# By lower-case name; a name may have several entries (overloads, a user's macro beside).
Functions = Mapping[str, list[FunctionFact]]


def unstable(
    calls: Iterable[str], session_names: Iterable[str], functions: Functions
) -> Explained | None:
    """Why the query may give other rows for the same sources, or None if it may not.

    A user's macro may hide anything, tables included. DuckDB's own macros are looked into.

    Args:
        calls: function names in the query, lower case.
        session_names: names such as ``current_date``.
        functions: DuckDB's catalog.

    Returns:
        VOLATILE_FUNCTION, TIME_DEPENDENT or USER_MACRO with the name, the gravest first.
    """
    macros: set[str] = set()
    volatile: set[str] = set()
    timely = set(session_names)
    seen: set[str] = set()
    todo = [(name, name) for name in sorted(set(calls))]
    while todo:
        name, written = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in _SESSION_FUNCTIONS:
            timely.add(written)
        for fact in functions.get(name, []):
            if fact.kind in ("macro", "table_macro"):
                if not fact.internal:
                    macros.add(written)
                if fact.calls & SESSION_NAMES:
                    timely.add(written)
                todo.extend((inner, written) for inner in sorted(fact.calls))
            if fact.stability == "VOLATILE":
                volatile.add(written)
            elif fact.stability == "CONSISTENT_WITHIN_QUERY":
                timely.add(written)
    if macros:
        return Explained(
            Reason.USER_MACRO, f"the macro {_calls(macros)} may read tables or the clock"
        )
    if timely:
        return Explained(
            Reason.TIME_DEPENDENT,
            f"{_calls(timely)} depends on when the query runs"
            " (write a column of that name with its table: t.name)"
            if timely & set(session_names)
            else f"{_calls(timely)} depends on when the query runs",
        )
    if volatile:
        return Explained(
            Reason.VOLATILE_FUNCTION, f"{_calls(volatile)} gives another value in every call"
        )
    return None


def aggregate_names(functions: Functions) -> frozenset[str]:
    """The names of all aggregates, lower case: DuckDB's macros that call one are some, too."""
    names = {
        name
        for name, facts in functions.items()
        if any(fact.kind == "aggregate" for fact in facts)
    }
    while True:
        more = {
            name
            for name, facts in functions.items()
            if name not in names
            and any(fact.kind == "macro" and fact.calls & names for fact in facts)
        }
        if not more:
            return frozenset(names)
        names |= more


def _calls(names: set[str]) -> str:
    return ", ".join(sorted(names))
