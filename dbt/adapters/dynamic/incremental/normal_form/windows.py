"""Window functions, named windows, QUALIFY.

The rows of a partition depend on each other and on no others, so a window is keyed by the columns
that all PARTITION BYs have in common (design.md §4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from dbt.adapters.dynamic.incremental.nodes import Keyed, marker, open_columns
from dbt.adapters.dynamic.incremental.normal_form.determinism import settle, window_is_exact
from dbt.adapters.dynamic.incremental.normal_form.pending import Parts, Pending
from dbt.adapters.dynamic.incremental.normal_form.scope import (
    outermost,
    plain_column,
    rename,
    replace,
)
from dbt.adapters.dynamic.incremental.relations import listed
from dbt.adapters.dynamic.names import quoted
from dbt.adapters.dynamic.query.qualify import render, unsupported
from dbt.adapters.dynamic.query.reasons import Reason

if TYPE_CHECKING:
    from dbt.adapters.dynamic.incremental.normal_form.builder import Builder, Ctes

_PARTS = ("partition_by", "order", "spec")


def inline_names(query: exp.Select) -> None:
    """Write the definition of a named window wherever it is used."""
    definitions = {window.this.name: window for window in query.args.get("windows") or []}
    query.set("windows", None)
    for tree in [*query.expressions, query.args.get("qualify"), query.args.get("order")]:
        if tree is None:
            continue
        for window in tree.find_all(exp.Window):
            name = window.args.get("alias")
            if name is None:
                continue
            definition = definitions.get(name.name)
            if definition is None or definition.args.get("alias"):
                raise unsupported(f"the window {name.name}", window)
            window.set("alias", None)
            for part in _PARTS:
                if definition.args.get(part) and not window.args.get(part):
                    value = definition.args[part]
                    window.set(
                        part,
                        [child.copy() for child in value]
                        if isinstance(value, list)
                        else value.copy(),
                    )


def build(builder: Builder, pending: Pending, parts: Parts, ctes: Ctes) -> Pending:
    """Evaluate the window functions.

    Args:
        builder: the builder.
        pending: what is read so far.
        parts: what is still to come; rewritten in terms of the windows' results.
        ctes: the CTEs that expressions see.

    Returns:
        The block over the result; `pending` itself if there is no window function.
    """
    windows: list[exp.Window] = []
    for tree in parts.trees():
        for window in outermost(tree, (exp.Window, exp.Query)):
            if isinstance(window, exp.Window) and window not in windows:
                windows.append(window)
    if not windows:
        return pending
    for window in windows:
        builder.check(window, pending.aliases)
        if outermost(window, (exp.Query,)):
            raise unsupported("a subquery in a window function", window)
    common = _common_partition(builder, windows)

    trees = parts.trees()
    names = builder.flat(trees)
    outputs: dict[str, exp.Expr] = {
        name: exp.column(column, table=table, quoted=True)
        for (table, column), name in names.items()
    }
    key_names: list[str] = []
    for number, key in enumerate(common, 1):
        column = plain_column(key)
        name = names[column] if column else f"key_{number}"
        while column is None and name in outputs:
            name += "_"
        outputs.setdefault(name, key.copy())
        key_names.append(name)
    source = builder.close(pending, outputs, ctes)
    builder.require_definite(source, key_names, "PARTITION BY", windows[0])

    inside = builder.name()
    inner = {column: (inside, name) for column, name in names.items()}
    values: dict[str, exp.Window] = {}
    texts: list[str] = []
    open_: set[str] = set(open_columns(source))
    for window in windows:
        count = len(values) + 1
        while f"window_{count}" in outputs or f"window_{count}" in values:
            count += 1
        name = f"window_{count}"
        values[name] = window
        own = window.copy()
        rename(own, inner)
        definite = window_is_exact(
            window, builder.is_aggregate, lambda tree: builder.exact_number(tree, pending)
        )
        if not definite and builder.settle and not open_:
            columns = [exp.column(c, table=inside, quoted=True) for c in source.columns]
            definite = settle(own, columns, builder.is_aggregate)
        if not definite or pending.is_open(window):
            open_.add(name)
        texts.append(f"{render(own)} AS {quoted(name)}")
    node = Keyed(
        name=builder.name(),
        inputs=(source,),
        keys=tuple((name,) for name in key_names),
        body=f"SELECT {listed(source.columns, inside)}, {', '.join(texts)}\n"
        f"FROM {marker(0)} AS {quoted(inside)}",
        columns=(*source.columns, *values),
        outputs=tuple(key_names),
        unique=False,
        open=frozenset(open_),
    )
    alias = builder.name()
    found: list[tuple[exp.Expr, exp.Expr]] = [
        (window, exp.column(name, table=alias, quoted=True)) for name, window in values.items()
    ]
    outer = {column: (alias, name) for column, name in names.items()}

    def rewritten(tree: exp.Expr) -> exp.Expr:
        return rename(replace(tree.copy(), found), outer)

    parts.rewrite(rewritten)
    return Pending.over(node, alias)


def _common_partition(builder: Builder, windows: list[exp.Window]) -> list[exp.Expr]:
    """The expressions that all windows partition by; none only among last steps."""
    common: list[exp.Expr] | None = None
    for window in windows:
        own = [
            key.unnest()
            for key in window.args.get("partition_by") or []
            if not isinstance(key, exp.Literal)
        ]
        common = own if common is None else [key for key in common if key in own]
        if not common and not builder.last_steps:
            what = (
                "window functions without a common PARTITION BY column"
                if own
                else "a window function without PARTITION BY"
            )
            raise unsupported(what, window, Reason.WINDOW_WITHOUT_PARTITION)
    assert common is not None
    return list(dict.fromkeys(common))
