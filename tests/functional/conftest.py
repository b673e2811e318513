"""A dbt project on a real DuckLake, in which every run is checked against the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.project import LakeProject


@pytest.fixture
def project(tmp_path: Path) -> Iterator[LakeProject]:
    """An empty dbt project with an empty lake."""
    made = LakeProject(tmp_path)
    yield made
    made.close()


@pytest.fixture
def make_project(tmp_path: Path) -> Iterator[Callable[..., LakeProject]]:
    """Makes dbt projects with profile settings of one's own."""
    made: list[LakeProject] = []

    def make(**output: Any) -> LakeProject:
        made.append(LakeProject(tmp_path / f"project_{len(made)}", **output))
        return made[-1]

    yield make
    for one in made:
        one.close()
