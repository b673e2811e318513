"""The catalogs that a test may run on: parameters of the fixture ``catalog``."""

from __future__ import annotations

import pytest

any_catalog = pytest.mark.parametrize("catalog", ["file", "sqlite", "postgres"], indirect=True)
several_processes = pytest.mark.parametrize("catalog", ["sqlite", "postgres"], indirect=True)
