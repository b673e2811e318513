"""dbt-tests-adapter's fixtures for this folder, over two kinds of database.

Every class runs once on an embedded DuckLake and once on plain DuckDB; each has a project, a
database and a log folder of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from dbt_common.tests import disable_test_caching

from dbt.adapters.duckdb.connections import DuckDBConnectionManager

# `pytest_plugins` is for the root's conftest only, and there this folder's parent, whose
# `project` is another thing, would win.
from dbt.tests.fixtures.project import *  # noqa: F403

_PATHS = {"DuckLake": "ducklake:{folder}/lake.ducklake", "DuckDB": "{folder}/plain.duckdb"}


def close_environment() -> None:
    """Let go of the database: a file admits one DuckDB instance in a process."""
    if DuckDBConnectionManager._ENV is not None:
        DuckDBConnectionManager._ENV.close()
    DuckDBConnectionManager._ENV = None


@pytest.fixture(scope="class", params=_PATHS)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database: ``DuckLake`` or ``DuckDB``."""
    return str(request.param)


@pytest.fixture(scope="class")
def dbt_profile_target(
    database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("database")
    path = _PATHS[database].format(folder=folder)
    close_environment()
    # dbt-duckdb itself is asked what it does by DBT_TEST_TYPE=duckdb; it is no part of the suite.
    yield {"type": os.environ.get("DBT_TEST_TYPE", "dynamic"), "path": path, "threads": int(os.environ.get("T", "4"))}
    close_environment()


# The fixtures below are dbt's, made to depend on `database`: without that a class would have the
# second run in the project of the first.


@pytest.fixture(scope="class")
def project_root(database: str, tmpdir_factory: Any) -> Any:
    return tmpdir_factory.mktemp(f"project_{database}")


@pytest.fixture(scope="class")
def profiles_root(database: str, tmpdir_factory: Any) -> Any:
    return tmpdir_factory.mktemp(f"profile_{database}")


@pytest.fixture(scope="class")
def prefix(database: str) -> str:
    return f"test_{database.lower()}"


@pytest.fixture(scope="class")
def logs_dir(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """dbt's own would be in the repository."""
    folder = str(tmp_path_factory.mktemp("logs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_LOG_PATH", folder)
        yield folder


@pytest.fixture(scope="package", autouse=True)
def caching_ends_here() -> Iterator[None]:
    """dbt's fixtures make it keep parsed macros for all that follows in this process."""
    yield
    disable_test_caching()
