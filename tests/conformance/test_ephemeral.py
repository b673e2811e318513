"""dbt-tests-adapter's classes of ephemeral models."""

import pytest

from dbt.tests.adapter.ephemeral.test_ephemeral import (
    BaseEphemeralErrorHandling,
    BaseEphemeralMulti,
    BaseEphemeralNested,
)


class _Names:
    """The classes compare with texts that name these."""

    @pytest.fixture(scope="class")
    def database_name(self) -> str:
        return "dbt"

    @pytest.fixture(scope="class")
    def prefix(self, database: str) -> str:
        return "test"


class TestEphemeralMulti(_Names, BaseEphemeralMulti):
    pass


class TestEphemeralNested(_Names, BaseEphemeralNested):
    pass


class TestEphemeralErrorHandling(BaseEphemeralErrorHandling):
    pass
