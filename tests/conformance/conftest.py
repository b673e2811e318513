"""dbt-tests-adapter's fixtures for this folder, over two kinds of database.

Every class runs once on an embedded DuckLake and once on plain DuckDB; each time it has a
project, a database and a log folder of its own.

``DBT_TEST_TYPE=duckdb`` runs the classes with dbt-duckdb instead: it tells whether a failure is
its, or ours. (DuckDB must then have the extension ``ducklake`` installed.)
``--run-unsupported`` runs what :func:`tests.conformance.marks.unsupported` skips.
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
from tests.conformance.table import PAGE, Table

_PATHS = {"DuckLake": "ducklake:{folder}/{name}.ducklake", "DuckDB": "{folder}/{name}.duckdb"}


_TABLE = pytest.StashKey[Table]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--run-unsupported", action="store_true", help="fail where one passes")
    group.addoption("--write-table", action="store_true", help="write docs/conformance.md")
    group.addoption("--check-table", action="store_true", help="fail where it is out of date")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "filterwarnings", "ignore:Class-scoped fixtures defined as instance methods"
    )
    config.addinivalue_line("markers", "unsupported: what the database lacks")
    config.addinivalue_line("markers", "adapted: how the class departs from dbt's")
    config.stash[_TABLE] = Table()
    config.pluginmanager.register(_Collector(config), "conformance table")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        base = _base(item)
        if base is None:
            continue
        callspec = getattr(item, "callspec", None)
        database = callspec.params.get("database", "DuckLake") if callspec else "DuckLake"
        note = " ".join(mark.args[0] for mark in item.iter_markers("adapted"))
        item.user_properties.append(("conformance", [*base, database, note]))
        for mark in item.iter_markers("unsupported"):
            tests, where = mark.kwargs["tests"], mark.kwargs["on"]
            if where not in (None, database) or (tests and item.originalname not in tests):
                continue
            if config.getoption("run_unsupported", False):
                item.add_marker(pytest.mark.xfail(reason=mark.args[0], strict=True))
            else:
                item.add_marker(pytest.mark.skip(reason=mark.args[0]))


def _base(item: pytest.Item) -> tuple[str, str] | None:
    """The folder and the name of the class of dbt-tests-adapter that a test is of."""
    start = "dbt.tests.adapter."
    for one in (getattr(item, "cls", None) and item.cls.__mro__) or ():
        if one.__module__.startswith(start):
            return one.__module__.removeprefix(start).split(".")[0], one.__name__
    return None


class _Collector:
    """Puts the outcomes into the page; with pytest-xdist in the controller only."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._complaint = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for key, value in report.user_properties:
            if key != "conformance":
                continue
            if report.skipped:
                reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
                skipped_for = reason.removeprefix("Skipped: ")
                self._config.stash[_TABLE].add(*value, skipped_for=skipped_for)
            elif report.when == "call" and report.passed:
                self._config.stash[_TABLE].add(*value, skipped_for=None)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        write, check = (
            self._config.getoption(f"{one}_table", False) for one in ("write", "check")
        )
        if hasattr(self._config, "workerinput") or not (write or check):
            return
        page = self._config.stash[_TABLE].page()
        if session.testsfailed:
            self._complaint = "docs/conformance.md: not looked at, for tests fail."
        elif write:
            PAGE.write_text(page, encoding="utf-8")
        elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
            self._complaint = (
                "docs/conformance.md is not what this run says: make conformance "
                "TABLE=--write-table"
            )
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._complaint:
            terminalreporter.write_line(self._complaint, red=True)


@pytest.fixture(scope="class", params=_PATHS)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database: ``DuckLake`` or ``DuckDB``."""
    return str(request.param)


@pytest.fixture(scope="class")
def database_name(database: str) -> str:
    """The database's name in SQL."""
    return {"DuckLake": "lake", "DuckDB": "plain"}[database]


@pytest.fixture(scope="class")
def dbt_profile_target(
    database: str, database_name: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The profile's output; the database is let go when the class is done."""
    folder = tmp_path_factory.mktemp("database")
    path = _PATHS[database].format(folder=folder, name=database_name)
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
