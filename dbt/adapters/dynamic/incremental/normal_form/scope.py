"""Which names of an expression mean which relation, queries within it included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlglot import exp

from dbt.adapters.dynamic.names import fold

# alias and name
Column = tuple[str, str]


def relations_of(select: exp.Select) -> list[exp.Expr]:
    """The relations in FROM, in order."""
    from_ = select.args.get("from_")
    joins = select.args.get("joins") or []
    return ([from_.this] if from_ else []) + [join.this for join in joins]


def aliases_of(select: exp.Select) -> frozenset[str]:
    """The names of the relations in FROM."""
    return frozenset(relation.alias_or_name for relation in relations_of(select))


def free_columns(
    expression: exp.Expr, bound: frozenset[str] = frozenset()
) -> Iterator[exp.Column]:
    """The columns whose relation is not in FROM of a query within the expression.

    Args:
        expression: any expression; a SELECT as well.
        bound: aliases of relations that are known already.
    """
    if isinstance(expression, exp.Column):
        if expression.table not in bound:
            yield expression
        return
    if not isinstance(expression, exp.Select):
        for child in expression.iter_expressions():
            yield from free_columns(child, bound)
        return
    own = bound | aliases_of(expression)
    for name, value in expression.args.items():
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, exp.Expr):
                continue
            if name == "with_":
                yield from free_columns(child, bound)
            elif name == "from_":
                yield from _of_relation(child.this, bound, own)
            elif name == "joins":
                yield from _of_relation(child.this, bound, own)
                for part, condition in child.args.items():
                    if part != "this" and isinstance(condition, exp.Expr):
                        yield from free_columns(condition, own)
            else:
                yield from free_columns(child, own)


def _of_relation(
    relation: exp.Expr, outside: frozenset[str], beside: frozenset[str]
) -> Iterator[exp.Column]:
    """A derived table sees what is outside; a LATERAL one or a function also what is beside."""
    lateral = isinstance(relation, exp.Lateral | exp.Unnest | exp.Table)
    yield from free_columns(relation, beside if lateral else outside)


def rename(expression: exp.Expr, names: Mapping[Column, Column]) -> exp.Expr:
    """The expression with other names for free columns; it is changed in place.

    Returns:
        The expression, or what replaces it if it is a column itself.
    """
    for column in list(free_columns(expression)):
        new = names.get((column.table, column.name))
        if new is None:
            continue
        replacement = exp.column(new[1], table=new[0], quoted=True)
        replacement.meta.update(column.meta)
        if column is expression:
            return replacement
        column.replace(replacement)
    return expression


def conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    """The parts of a condition that AND connects."""
    if condition is None:
        return []
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        return [*conjuncts(condition.left), *conjuncts(condition.right)]
    return [condition]


def outermost(expression: exp.Expr, kinds: tuple[type[exp.Expr], ...]) -> list[exp.Expr]:
    """The nodes of some kinds that no other one of them holds."""
    if isinstance(expression, kinds):
        return [expression]
    return [found for child in expression.iter_expressions() for found in outermost(child, kinds)]


def plain_column(expression: exp.Expr) -> Column | None:
    """Alias and name, if the expression is a column and nothing else."""
    expression = expression.unnest()
    if isinstance(expression, exp.Column):
        return expression.table, expression.name
    return None


def equality(condition: exp.Expr) -> tuple[Column, Column] | None:
    """Both columns, if the condition equates two columns."""
    condition = condition.unnest()
    if isinstance(condition, exp.EQ):
        left, right = plain_column(condition.left), plain_column(condition.right)
        if left is not None and right is not None:
            return left, right
    return None


def call_name(node: exp.Expr | None) -> str:
    """The name of a function that is called, lower case; "" for anything else."""
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return fold(str(node.this))
    return ""


def replace(tree: exp.Expr, replacements: Sequence[tuple[exp.Expr, exp.Expr]]) -> exp.Expr:
    """The tree with other trees in place of some; the largest that match, from the top.

    What is equal within a query in the tree means something else there, and stays; so does the
    function of a window: beside the aggregate sum(x), sum(x) OVER () is a sum over groups.

    Args:
        tree: the tree; it is changed in place.
        replacements: what to replace, and by what.

    Returns:
        The tree, or what replaces it as a whole.
    """
    for old, new in replacements:
        if tree == old:
            return new.copy()
    return tree if isinstance(tree, exp.Query) else _inside(tree, replacements)


def _inside(tree: exp.Expr, replacements: Sequence[tuple[exp.Expr, exp.Expr]]) -> exp.Expr:
    """The tree itself, with other trees in place of some below it."""
    for name, value in list(tree.args.items()):
        if isinstance(tree, exp.Window) and name == "this":
            function = value
            while isinstance(function, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
                if function.args.get("expression"):
                    function.set("expression", replace(function.expression, replacements))
                function = function.this
            _inside(function, replacements)
        elif isinstance(value, exp.Expr):
            tree.set(name, replace(value, replacements))
        elif isinstance(value, list) and any(isinstance(child, exp.Expr) for child in value):
            tree.set(
                name,
                [
                    replace(child, replacements) if isinstance(child, exp.Expr) else child
                    for child in value
                ],
            )
    return tree
