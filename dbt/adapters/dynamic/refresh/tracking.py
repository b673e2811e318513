"""``meta.change_tracking``: how the changes of a source or an upstream model are seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dbt.adapters.dynamic.errors import ConfigurationError
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.relation import RelationKey

_KEY = "change_tracking"
# dbt-duckdb's own keys of sources that are no tables.
_NO_TABLE = ("external_location", "plugin")


class ChangeTracking(str, Enum):
    """How changes are seen."""

    FEED = "feed"
    DIFF = "diff"
    TIMESTAMP = "timestamp"
    NONE = "none"


@dataclass(frozen=True)
class TrackedSource:
    """A source, or an upstream model, that says how its changes are seen.

    Attributes:
        label: what it is, for messages.
        relation: database, schema and name as dbt has them.
        tracking: how.
        loaded_at: for `timestamp` the column, or expression, that says when a row arrived.
    """

    label: str
    relation: tuple[str, str, str]
    tracking: ChangeTracking
    loaded_at: str | None

    @property
    def key(self) -> RelationKey:
        database, schema, name = self.relation
        return fold(database), fold(schema), fold(name)


def tracked_sources(
    model: Mapping[str, Any], graph: Mapping[str, Any], lakes: Collection[str]
) -> dict[RelationKey, TrackedSource]:
    """What a model reads, itself or through views, that has ``change_tracking`` under ``meta``.

    Args:
        model: dbt's node of the model.
        graph: dbt's ``graph``.
        lakes: the names of the attached lakes, folded.

    Raises:
        ConfigurationError: a bad value: the source, the key, the value and what is accepted.
    """
    found = {}
    for node in _read_by(model, graph, lakes):
        one = _tracked(node, lakes)
        if one is not None:
            found[one.key] = one
    return found


def timestamp_sources(graph: Mapping[str, Any], lakes: Collection[str]) -> list[TrackedSource]:
    """All sources and models of a project with ``change_tracking: timestamp``."""
    nodes = [*graph["sources"].values(), *graph["nodes"].values()]
    tracked = (_tracked(node, lakes) for node in nodes if _meta(node).get(_KEY))
    return [one for one in tracked if one and one.tracking is ChangeTracking.TIMESTAMP]


def _read_by(
    model: Mapping[str, Any], graph: Mapping[str, Any], lakes: Collection[str]
) -> Iterator[Mapping[str, Any]]:
    """The nodes that a model reads; those behind its views and ephemeral models, too."""
    seen: set[str] = set()
    todo = list(model["depends_on"]["nodes"])
    while todo:
        unique_id = todo.pop()
        node = graph["sources"].get(unique_id) or graph["nodes"].get(unique_id)
        if unique_id in seen or node is None:
            continue
        seen.add(unique_id)
        yield node
        kind = node["config"].get("materialized")
        view = kind == "view" and fold(str(node["database"])) in lakes
        if view or kind == "ephemeral":
            todo += node["depends_on"]["nodes"]


def _meta(node: Mapping[str, Any]) -> dict[str, Any]:
    return {**(node.get("meta") or {}), **(node["config"].get("meta") or {})}


def _tracked(node: Mapping[str, Any], lakes: Collection[str]) -> TrackedSource | None:
    meta = _meta(node)
    value = meta.get(_KEY)
    if value is None:
        return None
    source = node["resource_type"] == "source"
    name = f"{node['source_name']}.{node['name']}" if source else node["name"]
    label = f"{str(node['resource_type']).capitalize()} '{name}'"
    loaded_at = node.get("loaded_at_field") or meta.get("loaded_at_field")
    lake = fold(str(node["database"])) in lakes

    def refuse(accepted: str) -> ConfigurationError:
        return ConfigurationError(f"{label}: meta.{_KEY} is {value!r}; accepted: {accepted}.")

    words = ["feed", "diff", "none"] if lake else ["diff", "timestamp", "none"]
    where = "of a DuckLake" if lake else "outside of a DuckLake"
    accepted = f"{', '.join(words)} (for a table {where})"
    # YAML reads a bare `none` as text, but Jinja's none is no value at all.
    if not isinstance(value, str) or value.lower() not in words:
        raise refuse(accepted)
    tracking = ChangeTracking(value.lower())
    if any(meta.get(key) for key in _NO_TABLE) and tracking is not ChangeTracking.NONE:
        raise refuse(
            "none, since it is read as a file (external_location) or through a plugin; a model "
            "that loads it with materialized='table' can be followed"
        )
    if tracking is ChangeTracking.TIMESTAMP and not loaded_at:
        raise refuse(f"{accepted}; timestamp needs loaded_at_field")
    relation = (
        str(node["database"]),
        str(node["schema"]),
        str(node["identifier"] if source else node["alias"]),
    )
    return TrackedSource(label, relation, tracking, loaded_at)
