"""dbt-tests-adapter's fixtures for this folder, over two kinds of database.

Every class runs once on an embedded DuckLake and once on plain DuckDB; each time it has a
project, a database and a log folder of its own.

``DBT_TEST_TYPE=duckdb`` runs the classes with dbt-duckdb instead: it tells whether a failure is
its, or ours. (DuckDB must then have the extension ``ducklake`` installed.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from dbt.adapters.duckdb.connections import DuckDBConnectionManager

# `pytest_plugins` is for the root's conftest only; and there, the `project` of the folder above
# would win over dbt's.
from dbt.tests.fixtures.project import *  # noqa: F403

_PATHS = {"DuckLake": "ducklake:{folder}/lake.ducklake", "DuckDB": "{folder}/plain.duckdb"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "filterwarnings", "ignore:Class-scoped fixtures defined as instance methods"
    )


@pytest.fixture(scope="class", params=_PATHS)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database: ``DuckLake`` or ``DuckDB``."""
    return str(request.param)


@pytest.fixture(scope="class")
def dbt_profile_target(
    database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The profile's output; the database is let go when the class is done."""
    folder = tmp_path_factory.mktemp("database")
    path = _PATHS[database].format(folder=folder)
    kind = os.environ.get("DBT_TEST_TYPE", "dynamic")
    close_environment()
    yield {"type": kind, "path": path, "threads": 4}
    close_environment()


def close_environment() -> None:
    """Let go of the database: its file admits one DuckDB instance in a process."""
    environment = DuckDBConnectionManager._ENV
    if environment is not None:
        environment.close()
    DuckDBConnectionManager._ENV = None


# dbt's own, made to depend on `database`: otherwise a class would run a second time in the
# project that its first run left behind. The logs would go to the repository.


@pytest.fixture(scope="class")
def project_root(database: str, tmpdir_factory: Any) -> Any:
    return tmpdir_factory.mktemp("project")


@pytest.fixture(scope="class")
def profiles_root(database: str, tmpdir_factory: Any) -> Any:
    return tmpdir_factory.mktemp("profile")


@pytest.fixture(scope="class")
def prefix(database: str) -> str:
    return f"on_{database.lower()}"


@pytest.fixture(scope="class")
def logs_dir(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = str(tmp_path_factory.mktemp("logs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_LOG_PATH", folder)
        yield folder
