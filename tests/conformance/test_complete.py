"""No class of dbt-tests-adapter is forgotten."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import dbt.tests.adapter
from tests.conformance.left_out import LEFT_OUT

_START = "dbt.tests.adapter"


def _modules(package: str, folder: Path) -> list[str]:
    return [
        ".".join([package, *path.relative_to(folder).with_suffix("").parts])
        for path in sorted(folder.rglob("*.py"))
        if path.stem != "__init__"
    ]


def _classes(modules: list[str]) -> set[type]:
    found = set()
    for name in modules:
        for one in vars(importlib.import_module(name)).values():
            if inspect.isclass(one) and one.__module__ == name:
                found.add(one)
    return found


def _tests(one: type) -> bool:
    return any(name.startswith("test") and callable(getattr(one, name)) for name in dir(one))


def test_each_class_runs_or_is_left_out_with_a_reason() -> None:
    """A class that only others are made of runs by them; those named Test are PostgreSQL's."""
    theirs = {
        one
        for one in _classes(_modules(_START, Path(next(iter(dbt.tests.adapter.__path__)))))
        if _tests(one) and not (one.__name__.startswith("Test") and len(one.__mro__) > 2)
    }
    ours = _classes(_modules("tests.conformance", Path(__file__).parent))
    run = {base for one in ours if one.__name__.startswith("Test") for base in one.__mro__}
    missing = {f"{one.__module__.split('.')[3]}.{one.__name__}" for one in theirs - run}
    assert missing == set(LEFT_OUT)
