"""dbt-tests-adapter's classes of dbt clone."""

from dbt.tests.adapter.dbt_clone.test_dbt_clone import (
    BaseCloneNotPossible,
    BaseClonePossible,
    BaseCloneSameSourceAndTarget,
    BaseCloneSameTargetAndState,
)
from tests.conformance.marks import unsupported

_VIEWS = "DuckDB and DuckLake have no zero-copy clones of tables: dbt makes views of them"


@unsupported(_VIEWS, "test_can_clone_true")
class TestClonePossible(BaseClonePossible):
    pass


class TestCloneNotPossible(BaseCloneNotPossible):
    pass


@unsupported(_VIEWS)
class TestCloneSameSourceAndTarget(BaseCloneSameSourceAndTarget):
    pass


class TestCloneSameTargetAndState(BaseCloneSameTargetAndState):
    pass
