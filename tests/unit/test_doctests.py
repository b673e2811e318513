"""The examples in docstrings, of all modules."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import dbt.adapters.dynamic

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(
        dbt.adapters.dynamic.__path__, f"{dbt.adapters.dynamic.__name__}."
    )
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = {
        test.name.rsplit(".", 1)[-1]
        for module in MODULES
        for test in finder.find(importlib.import_module(module))
        if test.examples
    }
    assert names >= {"PinnedDuckDB", "lower", "parse_changes", "seconds", "fold", "message"}
