"""A dbt project on a real DuckLake, in which every run is checked against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.postgres import PostgresServer, programs
from tests.functional.project import LakeProject


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; pytest-xdist's workers have one each."""
    folder = programs()
    if folder is None:
        pytest.skip(
            "NO POSTGRESQL SERVER on this machine: initdb is neither on PATH nor where "
            "distributions put it, so that nothing here is tested on a catalog in PostgreSQL"
        )
    server = PostgresServer(folder)
    yield server
    server.close()


@pytest.fixture
def catalog(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The profile's keys of an empty lake: in a DuckDB file, or as `any_catalog` says.

    See :data:`tests.functional.catalogs.any_catalog`.
    """
    kind = getattr(request, "param", "file")
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        # The same name in every test, so that dbt's parsed project can be carried over.
        path = f"ducklake:postgres:{server.fresh('lake')}"
        return {"path": path, "database": "lake", "data_path": "files"}
    if kind == "sqlite":
        path = "ducklake:sqlite:lake.sqlite"
        return {"path": path, "database": "lake", "data_path": "files"}
    return {}


@pytest.fixture
def project(tmp_path: Path, catalog: dict[str, Any]) -> Iterator[LakeProject]:
    """An empty dbt project with an empty lake."""
    made = LakeProject(tmp_path, **catalog)
    yield made
    made.close()


@pytest.fixture
def make_project(tmp_path: Path, catalog: dict[str, Any]) -> Iterator[Callable[..., LakeProject]]:
    """Makes dbt projects with profile settings of one's own; they share a catalog server."""
    made: list[LakeProject] = []

    def make(**output: Any) -> LakeProject:
        settings = {**catalog, **output}
        made.append(LakeProject(tmp_path / f"project_{len(made)}", **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
