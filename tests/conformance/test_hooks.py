"""dbt-tests-adapter's classes of hooks."""

from __future__ import annotations

from typing import Any

from dbt.tests.adapter.hooks.test_model_hooks import (
    BaseDuplicateHooksInConfigs,
    BaseHookRefs,
    BaseHooksRefsOnSeeds,
    BasePrePostModelHooks,
    BasePrePostModelHooksInConfig,
    BasePrePostModelHooksInConfigKwargs,
    BasePrePostModelHooksInConfigWithCount,
    BasePrePostModelHooksOnSeeds,
    BasePrePostModelHooksOnSeedsPlusPrefixed,
    BasePrePostModelHooksOnSeedsPlusPrefixedWhitespace,
    BasePrePostModelHooksOnSnapshots,
    BasePrePostSnapshotHooksInConfigKwargs,
)
from dbt.tests.adapter.hooks.test_run_hooks import BaseAfterRunHooks, BasePrePostRunHooks
from dbt.tests.fixtures.project import TestProjInfo
from tests.conformance.marks import adapted, unsupported

_CONTEXT = adapted("a hook's `target` is compared with the profile's, which has no host nor user")
_VACUUM = unsupported("DuckLake has no VACUUM, which the hooks run", on="DuckLake")


class _Context:
    """Compares what a hook sees of its context with the profile instead of PostgreSQL's."""

    def check_hooks(self, state: str, project: TestProjInfo, host: None, count: int = 1) -> None:
        seen = self._seen(state, project, count)
        assert len(seen) == count
        for one in seen:
            assert one["test_state"] == state
            assert one["target_host"] in ("", "None")
            assert one["target_name"] == "default"
            assert one["target_schema"] == project.test_schema
            assert one["target_threads"] == 4
            assert one["target_type"] == project.adapter.type()
            assert one["run_started_at"]
            assert one["invocation_id"]
            assert one["thread_id"].startswith("Thread-") or one["thread_id"] == "MainThread"

    def _seen(self, state: str, project: TestProjInfo, count: int) -> list[dict[str, Any]]:
        return self.get_ctx_vars(state, count, project)


class _RunContext(_Context):
    def _seen(self, state: str, project: TestProjInfo, count: int) -> list[dict[str, Any]]:
        return [self.get_ctx_vars(state, project)]


@_CONTEXT
@_VACUUM
class TestPrePostModelHooks(_Context, BasePrePostModelHooks):
    pass


@_CONTEXT
class TestHookRefs(_Context, BaseHookRefs):
    pass


class TestPrePostModelHooksOnSeeds(BasePrePostModelHooksOnSeeds):
    pass


class TestHooksRefsOnSeeds(BaseHooksRefsOnSeeds):
    pass


class TestPrePostModelHooksOnSeedsPlusPrefixed(BasePrePostModelHooksOnSeedsPlusPrefixed):
    pass


class TestPrePostModelHooksOnSeedsPlusPrefixedWhitespace(
    BasePrePostModelHooksOnSeedsPlusPrefixedWhitespace
):
    pass


class TestPrePostModelHooksOnSnapshots(BasePrePostModelHooksOnSnapshots):
    pass


@_CONTEXT
class TestPrePostModelHooksInConfig(_Context, BasePrePostModelHooksInConfig):
    pass


@_CONTEXT
@_VACUUM
class TestPrePostModelHooksInConfigWithCount(_Context, BasePrePostModelHooksInConfigWithCount):
    pass


@_CONTEXT
class TestPrePostModelHooksInConfigKwargs(_Context, BasePrePostModelHooksInConfigKwargs):
    pass


class TestPrePostSnapshotHooksInConfigKwargs(BasePrePostSnapshotHooksInConfigKwargs):
    pass


class TestDuplicateHooksInConfigs(BaseDuplicateHooksInConfigs):
    pass


@_CONTEXT
class TestPrePostRunHooks(_RunContext, BasePrePostRunHooks):
    pass


@unsupported("dbt-duckdb raises dbt's DbtRuntimeError where the class wants a DbtDatabaseError")
class TestAfterRunHooks(BaseAfterRunHooks):
    pass
