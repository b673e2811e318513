"""The catalogs that a test runs on: parameters of the fixture ``catalog``."""

from __future__ import annotations

import pytest


def on(*kinds: str) -> pytest.MarkDecorator:
    """Run a test on lakes with these catalogs: ``file`` (DuckDB's), ``sqlite``, ``postgres``."""
    return pytest.mark.parametrize("catalog", kinds, indirect=True)


any_catalog = on("file", "sqlite", "postgres")
