"""Maintenance on an adapter's connection: which lakes, in transactions that are tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from dbt_common.invocation import get_invocation_id

from dbt.adapters.dynamic.connections import DynamicConnectionManager
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.lake.upkeep import LakeUpkeep
from dbt.adapters.dynamic.maintenance.job import Job
from dbt.adapters.dynamic.maintenance.maintainer import Maintainer
from dbt.adapters.dynamic.maintenance.report import Retention, Step
from dbt.adapters.dynamic.names import fold
from dbt.adapters.dynamic.refresh.retry import passes, wait_seconds
from dbt.adapters.dynamic.refresh.state import SCHEMA
from dbt.adapters.events.logging import AdapterLogger

T = TypeVar("T")
logger = AdapterLogger("dynamic")

_RETRIES = 6
_RETRY_WAIT = 0.5


def maintain(
    connections: DynamicConnectionManager,
    session: Session,
    lakes: Mapping[str, LakeCatalog],
    retention: Retention,
    names: Sequence[str] | None,
    dry_run: bool,
    alone: bool,
    delete_orphans: bool,
) -> list[Step]:
    """Maintain lakes.

    Args:
        connections: the adapter's.
        session: its session.
        lakes: the attached lakes by lower-case name.
        retention: what to keep for how long.
        names: the lakes to maintain; by default those that dynamic tables were built in.
        dry_run: change nothing.
        alone: nobody else writes to them meanwhile.
        delete_orphans: delete files that no snapshot ever named.

    Raises:
        DynamicTableError: a name is no attached lake, or it is read-only.
    """

    def transact(work: Callable[[], T], commit: bool) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                connections.begin()
                result = work()
                if commit:
                    connections.commit()
                return result
            except Exception as error:
                if not passes(error) or attempt > _RETRIES:
                    raise
                wait = wait_seconds(attempt, _RETRY_WAIT)
                logger.info(f"maintain: tried again in {wait:.1f} s: {error}")
            finally:
                connections.rollback_if_open()
            time.sleep(wait)

    def choose() -> list[str]:
        return [
            name
            for name, lake in lakes.items()
            if lake.schema_exists(SCHEMA, lake.current_snapshot())
            and not LakeUpkeep(session.rows, session.aside, lake).read_only()
        ]

    if names is None:
        chosen = transact(choose, False)
    else:
        chosen = [fold(name) for name in names]
        for name in chosen:
            if name not in lakes:
                attached = ", ".join(sorted(lakes)) or "none"
                raise DynamicTableError(
                    f"No lake '{name}' is attached; the profile's lakes: {attached}."
                )
            if transact(LakeUpkeep(session.rows, session.aside, lakes[name]).read_only, False):
                raise DynamicTableError(
                    f"The lake '{name}' is attached read-only; maintain it from a profile that "
                    "may write to it."
                )
    job = Job(session, lakes, transact, dry_run, alone, delete_orphans, get_invocation_id())
    return Maintainer(job, retention).maintain(chosen)
