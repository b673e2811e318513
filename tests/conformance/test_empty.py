"""``--empty``: dbt-tests-adapter's classes of it."""

import pytest

from dbt.cli.main import seed
from dbt.tests.adapter.empty.test_empty import (
    BaseTestEmpty,
    BaseTestEmptyInlineSourceRef,
    BaseTestEmptySeedFlag,
    MetadataWithEmptyFlag,
)


class TestEmpty(BaseTestEmpty):
    pass


class TestEmptyInlineSourceRef(BaseTestEmptyInlineSourceRef):
    pass


class TestEmptySeedFlag(BaseTestEmptySeedFlag):
    @pytest.fixture(autouse=True)
    def skip_what_dbt_cannot(self, request: pytest.FixtureRequest) -> None:
        if request.function.__name__ == "test_seed_without_empty_loads_all_rows":
            return
        if all(option.name != "empty" for option in seed.params):
            pytest.skip(
                "dbt-core before 1.12 has no --empty for seeds (its pull request 12716): no such "
                "option of dbt seed, and dbt build --empty loads all rows, with type: duckdb too"
            )


class TestMetadataWithEmptyFlag(MetadataWithEmptyFlag):
    @pytest.fixture(autouse=True)
    def skip_what_duckdb_cannot(self, database: str, model: str) -> None:
        if (database, model) == ("DuckDB", "alter_column_type"):
            pytest.skip(
                "DuckDB refuses UPDATE and DROP COLUMN of a table in one transaction (its issue "
                "20570), so alter_column_type fails with type: duckdb too"
            )
