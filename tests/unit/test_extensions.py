"""Where extensions are loaded from, on machines without network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake import extensions
from dbt.adapters.dynamic.lake.extensions import _wheel_files, load_extension


class Machine:
    """A connection whose extension directory is a folder, and what was loaded by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self._connection = duckdb.connect(config={"extension_directory": str(folder)})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def load_extension(self, name: str) -> None:
        self.asked.append(name)
        self._connection.load_extension(name)

    def install_extension(self, name: str) -> None:
        raise duckdb.IOException("no network")

    def loaded(self) -> bool:
        """Whether DuckDB has ducklake."""
        rows = self._connection.execute(
            "SELECT loaded FROM duckdb_extensions() WHERE extension_name = 'ducklake'"
        ).fetchall()
        return rows == [(True,)]

    def install(self, file: Path) -> Path:
        """What INSTALL does, from a file."""
        platform = self._connection.execute("PRAGMA platform").fetchall()[0][0]
        installed = self.folder / f"v{duckdb.__version__}" / platform / "ducklake.duckdb_extension"
        installed.parent.mkdir(parents=True)
        shutil.copy(file, installed)
        return installed


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_is_not_installed_is_not_looked_for_in_the_network(machine: Machine) -> None:
    load_extension(machine, "ducklake")  # type: ignore[arg-type]
    assert machine.asked == [str(_wheel_files("ducklake")[0])]
    assert machine.loaded()


def test_what_is_installed_comes_first(machine: Machine) -> None:
    machine.install(_wheel_files("ducklake")[0])
    load_extension(machine, "DuckLake")  # type: ignore[arg-type]
    assert machine.asked == ["DuckLake"]
    assert machine.loaded()


def test_what_is_built_in(machine: Machine) -> None:
    """DuckDB's own extensions are part of it, and have no file."""
    load_extension(machine, "json")  # type: ignore[arg-type]
    assert machine.asked == ["json"]


def test_a_file(machine: Machine) -> None:
    file = str(_wheel_files("ducklake")[0])
    load_extension(machine, file)  # type: ignore[arg-type]
    assert machine.asked == [file]
    assert machine.loaded()


def test_every_way_that_failed_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = machine.install(_wheel_files("ducklake")[0])
    broken.write_bytes(b"cut off")
    monkeypatch.setattr(extensions, "_wheel_files", lambda name: [])
    with pytest.raises(DynamicTableError, match="INSTALL failed") as raised:
        load_extension(machine, "ducklake")  # type: ignore[arg-type]
    assert "the installed file does not load" in str(raised.value)
    assert "no package duckdb-extension-ducklake is installed" in str(raised.value)
