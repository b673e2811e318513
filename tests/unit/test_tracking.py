"""``meta.change_tracking``: which sources a model reads, and what is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from dbt.adapters.dynamic.errors import ConfigurationError
from dbt.adapters.dynamic.refresh.tracking import (
    ChangeTracking,
    TrackedSource,
    timestamp_sources,
    tracked_sources,
)

LAKES = frozenset({"lake"})


def _source(name: str, database: str = "pg", **more: Any) -> dict[str, Any]:
    return {
        "resource_type": "source",
        "source_name": "shop",
        "name": name,
        "identifier": name.upper(),
        "database": database,
        "schema": "public",
        "meta": {},
        "config": {},
        "loaded_at_field": None,
        **more,
    }


def _model(kind: str, *reads: str, database: str = "lake", **meta: Any) -> dict[str, Any]:
    return {
        "resource_type": "model",
        "name": kind,
        "alias": f"{kind}_alias",
        "database": database,
        "schema": "main",
        "meta": meta,
        "config": {"materialized": kind, "meta": meta},
        "depends_on": {"nodes": list(reads)},
    }


def _tracked(
    nodes: dict[str, Any], sources: dict[str, Any], *reads: str
) -> dict[tuple[str, str, str], TrackedSource]:
    graph = {"nodes": nodes, "sources": sources}
    return tracked_sources(_model("dynamic_table", *reads), graph, LAKES)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (["view"], True),
        (["ephemeral"], True),
        (["view", "ephemeral", "view"], True),
        (["table"], False),
        (["view", "dynamic_table"], False),
        (["seed"], False),
    ],
)
def test_sources_are_found_behind_what_is_no_table(path: list[str], found: bool) -> None:
    reads = "orders"
    nodes = {}
    for place, kind in reversed(list(enumerate(path))):
        nodes[f"m{place}"] = _model(kind, reads)
        reads = f"m{place}"
    sources = {"orders": _source("orders", meta={"change_tracking": "diff"})}
    tracked = _tracked(nodes, sources, reads)
    assert set(tracked) == ({("pg", "public", "orders")} if found else set())


def test_a_view_outside_of_the_lakes_is_a_source_itself() -> None:
    nodes = {"v": _model("view", "orders", database="PG", change_tracking="diff")}
    sources = {"orders": _source("orders", meta={"change_tracking": "diff"})}
    assert set(_tracked(nodes, sources, "v")) == {("pg", "main", "view_alias")}


def test_what_is_said() -> None:
    sources = {
        "orders": _source(
            "orders",
            meta={"change_tracking": "none"},
            config={"meta": {"change_tracking": "Timestamp"}},
            loaded_at_field="at",
        ),
        "plain": _source("plain"),
    }
    graph = {"nodes": {"m": _model("table", change_tracking="diff")}, "sources": sources}
    (one,) = _tracked({}, sources, "orders", "orders", "plain", "gone").values()
    assert one == TrackedSource(
        "Source 'shop.orders'", ("pg", "public", "ORDERS"), ChangeTracking.TIMESTAMP, "at"
    )
    assert timestamp_sources(graph, LAKES) == [one]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            _source("orders", meta={"change_tracking": "cdc"}),
            "is 'cdc'; accepted: diff, timestamp, none (for a table outside of a DuckLake).",
        ),
        (
            _source("orders", database="LAKE", meta={"change_tracking": "timestamp"}),
            "is 'timestamp'; accepted: feed, diff, none (for a table of a DuckLake).",
        ),
        (
            _source("orders", meta={"change_tracking": False}),
            "is False; accepted: diff, timestamp, none (for a table outside of a DuckLake).",
        ),
        (
            _source("orders", meta={"change_tracking": "timestamp"}),
            "is 'timestamp'; accepted: diff, timestamp, none (for a table outside of a DuckLake);"
            " timestamp needs loaded_at_field.",
        ),
        (
            _source("orders", meta={"change_tracking": "diff", "plugin": "excel"}),
            "is 'diff'; accepted: none, since it is read as a file (external_location) or through"
            " a plugin; a model that loads it with materialized='table' can be followed.",
        ),
    ],
)
def test_bad_values(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        _tracked({}, {"orders": source}, "orders")
    assert error.value.msg == f"Source 'shop.orders': meta.change_tracking {message}"


def test_a_file_may_be_read_in_every_run() -> None:
    source = _source("orders", meta={"change_tracking": "none", "external_location": "x.csv"})
    (one,) = _tracked({}, {"orders": source}, "orders").values()
    assert one.tracking is ChangeTracking.NONE
