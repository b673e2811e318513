"""Loading DuckDB's extensions where there may be no network to install them from."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from dbt.adapters.dynamic.errors import DynamicTableError


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension: DuckDB's installed one, else a wheel's, else by DuckDB's INSTALL.

    DuckDB itself checks the signature of whatever file is loaded. What is not installed is not
    loaded by name: DuckDB would look for it in the network first, and without one it waits half a
    second before it gives up.

    Args:
        connection: any connection of the DuckDB instance.
        name: the extension's name, such as ``ducklake``; or its file.

    Raises:
        DynamicTableError: none of the three ways worked; the message names them all.
    """
    causes = []
    if _is_installed(connection, name) or name.endswith(".duckdb_extension"):
        try:
            connection.load_extension(name)
            return
        except duckdb.Error as error:
            causes.append(f"the installed file does not load ({_first_line(error)})")
    else:
        causes.append("not installed in DuckDB's extension directory")
    for file in _wheel_files(name):
        try:
            connection.load_extension(str(file))
            return
        except duckdb.Error as error:
            causes.append(f"the wheel's file does not load ({_first_line(error)})")
    if len(causes) == 1:
        causes.append(f"no package {_package(name)} is installed")
    try:
        connection.install_extension(name)
        connection.load_extension(name)
        return
    except duckdb.Error as error:
        causes.append(f"INSTALL failed ({_first_line(error)})")
    raise DynamicTableError(
        f"DuckDB's extension '{name}' cannot be loaded: {'; '.join(causes)}.\n"
        f"  One of these helps: run INSTALL {name} in DuckDB once where there is network; or "
        f'pip install "dbt-dynamic[bundled]", or the package {_package(name)} in the version of '
        f"duckdb ({duckdb.__version__}); or let this machine reach DuckDB's extension repository."
    )


def _is_installed(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    found = connection.execute(
        "SELECT installed FROM duckdb_extensions() "
        "WHERE installed AND list_contains([extension_name] || aliases, lower($1))",
        [name],
    )
    return found.fetchone() is not None


def _package(name: str) -> str:
    return f"duckdb-extension-{name.replace('_', '-')}"


def _wheel_files(name: str) -> list[Path]:
    """The extension files of an installed ``duckdb-extension-*`` wheel, for this DuckDB first."""
    spec = importlib.util.find_spec(_package(name).replace("-", "_"))
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "extensions"
    files = sorted(folder.rglob(f"{name}.duckdb_extension"))
    return sorted(files, key=lambda file: f"v{duckdb.__version__}" not in file.parts)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
