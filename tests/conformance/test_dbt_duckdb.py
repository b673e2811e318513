"""What dbt-duckdb adds to dbt works under ``type: dynamic``, beside dynamic tables and below them.

External models, models in Python, plugins, attached databases, secrets, seeds with `fast: false`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from dbt.tests.fixtures.project import TestProjInfo
from dbt.tests.util import run_dbt

_PLUGIN = """
from pathlib import Path

from dbt.adapters.duckdb.plugins import BasePlugin


class Plugin(BasePlugin):
    def initialize(self, config):
        self._rate = config["rate"]

    def configure_cursor(self, cursor):
        cursor.execute(f"SET VARIABLE rate = {self._rate}")

    def store(self, target):
        Path(target.location.path).with_suffix(".stored").touch()
"""

_PYTHON = """
def model(dbt, session):
    return dbt.ref("prices").project("id, price * 10 AS price")
"""

_SOURCES = """
sources:
  - name: other
    database: other
    schema: main
    tables: [{name: orders}]
"""

_EXTERNAL = "{{ config(materialized='external', format='parquet', plugin='house_plugin') }}"
_ATTACHED = "SELECT id, n + 1 AS n FROM {{ source('other', 'orders') }}"
_DYNAMIC = "SELECT id, price + 1 AS more FROM {{ ref('in_python') }}"


class TestFeatures:
    @pytest.fixture(scope="class")
    def folder(self, database: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("features")
        (folder / "house_plugin.py").write_text(_PLUGIN)
        with duckdb.connect(folder / "other.duckdb") as connection:
            connection.execute("CREATE TABLE orders AS SELECT 7 AS id, 3 AS n")
        return folder

    @pytest.fixture(scope="class")
    def dbt_profile_target(
        self, dbt_profile_target: dict[str, Any], folder: Path
    ) -> dict[str, Any]:
        return {
            **dbt_profile_target,
            "external_root": str(folder),
            "module_paths": [str(folder)],
            "plugins": [{"module": "house_plugin", "config": {"rate": 4}}],
            "attach": [{"path": str(folder / "other.duckdb"), "alias": "other"}],
            "extensions": ["ducklake"],
            "secrets": [{"type": "ducklake", "name": "vault", "metadata_path": "vault.ducklake"}],
        }

    @pytest.fixture(scope="class")
    def project_config_update(self) -> dict[str, Any]:
        return {"seeds": {"+fast": False}}

    @pytest.fixture(scope="class")
    def seeds(self) -> dict[str, str]:
        return {"prices.csv": "id,price\n1,5\n2,null\n"}

    @pytest.fixture(scope="class")
    def models(self, database: str) -> dict[str, str]:
        # Dynamic tables need a lake.
        kind = "dynamic_table" if database == "DuckLake" else "table"
        config = f"{{{{ config(materialized='{kind}') }}}}"
        return {
            "sources.yml": _SOURCES,
            "in_python.py": _PYTHON,
            "from_python.sql": config + _DYNAMIC,
            "from_attached.sql": config
            + "SELECT id, n + 1 AS n FROM {{ source('other', 'orders') }}",
            "outside.sql": _EXTERNAL + "SELECT * FROM {{ ref('from_python') }}",
            "from_outside.sql": config + "SELECT sum(more) AS total FROM {{ ref('outside') }}",
            "by_plugin.sql": "SELECT getvariable('rate') AS rate",
            "secrets.sql": "SELECT name, type FROM duckdb_secrets()",
        }

    def test_all_of_them(self, project: TestProjInfo, folder: Path) -> None:
        def rows(model: str) -> list[tuple[Any, ...]]:
            return project.run_sql(f"SELECT * FROM {{schema}}.{model} ORDER BY 1", fetch="all")

        for _ in range(2):
            run_dbt(["build"])
            assert rows("from_python") == [(1, 51), (2, None)]
            assert rows("from_attached") == [(7, 4)]
            assert rows("outside") == [(1, 51), (2, None)]
            assert rows("from_outside") == [(51,)]
            assert rows("by_plugin") == [(4,)]
            assert rows("secrets") == [("vault", "ducklake")]
        assert (folder / "outside.parquet").exists()
        assert (folder / "outside.stored").exists()
