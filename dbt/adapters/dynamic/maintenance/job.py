"""What the steps of a maintenance share: the connection, transactions, and what was done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import duckdb
from dbt_common.exceptions import DbtBaseException

from dbt.adapters.dynamic.errors import one_line
from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.lake.upkeep import LakeUpkeep
from dbt.adapters.dynamic.maintenance.report import Step
from dbt.adapters.dynamic.maintenance.world import World
from dbt.adapters.dynamic.names import literal, quoted
from dbt.adapters.dynamic.refresh.retry import passes
from dbt.adapters.dynamic.refresh.state import maintenance_info

T = TypeVar("T")


class Transaction(Protocol):
    """Runs something in a transaction, which it commits or not, again after a conflict."""

    def __call__(self, work: Callable[[], T], commit: bool) -> T: ...


@dataclass
class Job:
    """One run of maintenance.

    Attributes:
        session: the connection.
        lakes: the attached lakes by lower-case name; all of them count for what is needed.
        transaction: runs a function in a transaction.
        dry_run: look, and change nothing.
        alone: nobody else writes to the lakes meanwhile.
        delete_orphans: delete files that no snapshot ever named.
        invocation_id: dbt's id of the invocation.
        steps: what was done so far, or would be.
    """

    session: Session
    lakes: Mapping[str, LakeCatalog]
    transaction: Transaction
    dry_run: bool
    alone: bool
    delete_orphans: bool
    invocation_id: str
    steps: list[Step] = field(default_factory=list)

    def read(self, work: Callable[[], T]) -> T:
        """Do something that changes nothing."""
        return self.transaction(work, False)

    def change(self, work: Callable[[], T]) -> T:
        """Do something, and commit it unless this is a dry run."""
        return self.transaction(work, not self.dry_run)

    def change_if_possible(self, lake: str, what: str, work: Callable[[], T], otherwise: T) -> T:
        """Do something, and commit it; note that it has to wait if others commit all the time.

        Args:
            lake: the lake.
            what: what it is, for the note.
            work: does it.
            otherwise: what to return if it has to wait.
        """
        try:
            return self.change(work)
        except Exception as error:
            if not passes(error):
                raise
            self.note(lake, "wait", what, "others commit to the lake all the time")
            return otherwise

    @contextmanager
    def going_on(self, lake: str, what: str) -> Iterator[None]:
        """Note what fails meanwhile, so that the rest is done all the same.

        Args:
            lake: the lake.
            what: what it is, for the note.
        """
        try:
            yield
        except (DbtBaseException, duckdb.Error) as error:
            self.note(lake, "fail", what, one_line(error))

    def world(self) -> World:
        """All dynamic tables, as the open transaction sees them."""
        return World(self.session.rows, self.lakes)

    def upkeep(self, lake: str) -> LakeUpkeep:
        """DuckLake's functions for a lake."""
        return LakeUpkeep(self.session.rows, self.session.aside, self.lakes[lake])

    def note(self, lake: str, action: str, subject: str, detail: str) -> None:
        """Note one thing that was done, or would be."""
        self.steps.append(Step(lake, action, subject, detail))

    def message(self, lake: str, text: str) -> None:
        """Say in DuckLake's own history that maintenance makes the commit, and why."""
        info = literal(maintenance_info(self.invocation_id))
        self.session.rows(
            f"CALL {quoted(self.lakes[lake].database)}.set_commit_message('dbt-dynamic', "
            f"{literal(f'maintain: {text}')}, extra_info => {info})"
        )
