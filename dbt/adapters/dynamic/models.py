"""The models of a dbt project, compiled outside of a run, as ``dbt run`` would compile them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.names import did_you_mean, fold

DYNAMIC_TABLE = "dynamic_table"


def dynamic_models(manifest: Any, names: Iterable[str] | None = None) -> list[Any]:
    """dbt's nodes of the dynamic tables.

    Args:
        manifest: dbt's manifest.
        names: the models, by name or by unique_id; all dynamic tables by default.

    Raises:
        DynamicTableError: there is no such model, or it is no dynamic table.
    """
    models = [node for node in manifest.nodes.values() if node.resource_type == "model"]
    dynamic = [node for node in models if node.config.materialized == DYNAMIC_TABLE]
    if names is None:
        return sorted(dynamic, key=lambda node: str(node.name))
    return [_called(models, name, manifest) for name in dict.fromkeys(names)]


def _called(models: list[Any], name: str, manifest: Any) -> Any:
    found = [
        node
        for node in models
        if fold(name) in (fold(node.name), fold(node.search_name), fold(node.unique_id))
    ]
    if not found:
        hint = did_you_mean(name, (fold(node.name) for node in models))
        off = any(fold(name) == fold(one[0].name) for one in manifest.disabled.values())
        raise DynamicTableError(
            f"Model '{name}' is disabled; set enabled: true in its configuration."
            if off
            else f"There is no model called '{name}'. {hint}"
            "dbt ls --resource-type model lists them."
        )
    if len(found) > 1:
        ids = ", ".join(sorted(node.unique_id for node in found))
        raise DynamicTableError(f"Several models are called '{name}'; say which: {ids}.")
    (node,) = found
    kind = node.config.materialized
    if kind != DYNAMIC_TABLE:
        raise DynamicTableError(
            f"Model '{node.name}' is no dynamic table: it is materialized as {kind}. Set "
            "materialized: dynamic_table in its configuration to make it one."
        )
    return node


def compiled(config: Any, manifest: Any, node: Any) -> dict[str, Any]:
    """A model's node as macros see it while it runs, with ``compiled_code``.

    Args:
        config: dbt's RuntimeConfig.
        manifest: dbt's manifest.
        node: one of its models.
    """
    from dbt.compilation import Compiler

    done = Compiler(config).compile_node(node, manifest, write=False)
    facts: dict[str, Any] = done.to_dict(omit_none=True)
    return facts
