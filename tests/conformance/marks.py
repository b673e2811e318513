"""What the databases lack, said where the class is."""

from __future__ import annotations

import pytest


def unsupported(reason: str, *tests: str, on: str | None = None) -> pytest.MarkDecorator:
    """Skip a class, or some of its tests, for what dbt-duckdb or its database lacks.

    ``--run-unsupported`` runs them nevertheless, and fails where one passes.

    Args:
        reason: what is lacking, as the table in the docs says it.
        tests: the methods concerned; all of them when none are given.
        on: ``DuckLake`` or ``DuckDB``; both when None.
    """
    return pytest.mark.unsupported(reason, tests=tests, on=on)


def adapted(note: str) -> pytest.MarkDecorator:
    """How a class departs from dbt-tests-adapter's, as the table in the docs says it."""
    return pytest.mark.adapted(note)
