"""What a refresh reports: on dbt's result line, in run_results.json, in the history."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from dbt.adapters.contracts.connection import AdapterResponse


class RefreshAction(str, Enum):
    """What a refresh did to the table."""

    NO_DATA = "NO_DATA"
    INCREMENTAL = "INCREMENTAL"
    FULL = "FULL"
    REINITIALIZE = "REINITIALIZE"
    SKIPPED = "SKIPPED"

    @property
    def writes(self) -> bool:
        """Whether it makes a commit."""
        return self not in (RefreshAction.NO_DATA, RefreshAction.SKIPPED)


class Strategy(str, Enum):
    """By which way the rows were brought up to date."""

    NONE = "none"
    APPEND = "append"
    BAG_MERGE = "bag_merge"
    MERGE_AGGREGATES = "merge_aggregates"
    AFFECTED_KEYS = "affected_keys"
    FULL = "full"


@dataclass
class RefreshResponse(AdapterResponse):
    """``adapter_response`` of a dynamic table in run_results.json (interface.md).

    ``timings`` are seconds by phase: plan, changes, keys, recompute, merge, commit.
    """

    refresh_action: str = ""
    strategy: str = ""
    reason_code: str = ""
    reason: str = ""
    rows_inserted: int = 0
    rows_deleted: int = 0
    rows_unchanged: int | None = None
    affected_keys: int | None = None
    total_keys: int | None = None
    cardinality_ratio: float | None = None
    source_snapshots: dict[str, int] = field(default_factory=dict)
    result_snapshot: int | None = None
    timings: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(self._message)


def message(
    action: RefreshAction,
    strategy: Strategy,
    reason_code: str,
    rows_inserted: int,
    rows_deleted: int,
    affected_keys: int | None,
    total_keys: int | None,
) -> str:
    """The text in the brackets of dbt's result line.

    >>> message(RefreshAction.INCREMENTAL, Strategy.AFFECTED_KEYS, "SOURCE_CHANGED", 2, 3, 3, 1200)
    'INCREMENTAL affected_keys 3/1,200 keys +2 -3'
    >>> message(RefreshAction.INCREMENTAL, Strategy.BAG_MERGE, "SOURCE_CHANGED", 2, 3, 5, 1200)
    'INCREMENTAL bag_merge 5/1,200 rows +2 -3'
    >>> message(RefreshAction.INCREMENTAL, Strategy.APPEND, "SOURCE_CHANGED", 7, 0, None, None)
    'INCREMENTAL append +7'
    >>> message(RefreshAction.FULL, Strategy.FULL, "LIMIT_UNSUPPORTED", 50, 9, None, None)
    'FULL LIMIT_UNSUPPORTED 50 rows'
    >>> message(RefreshAction.NO_DATA, Strategy.NONE, "NO_CHANGES", 0, 0, None, None)
    'NO_DATA'
    >>> message(RefreshAction.SKIPPED, Strategy.NONE, "DEFINITION_CHANGED", 0, 0, None, None)
    'SKIPPED DEFINITION_CHANGED'
    """
    if action is RefreshAction.NO_DATA:
        return "NO_DATA"
    if action is RefreshAction.SKIPPED:
        return f"{action.value} {reason_code}"
    if strategy is Strategy.APPEND:
        return f"{action.value} {strategy.value} +{rows_inserted:,}"
    if action is RefreshAction.INCREMENTAL:
        what = "rows" if strategy is Strategy.BAG_MERGE else "keys"
        return (
            f"{action.value} {strategy.value} {affected_keys:,}/{total_keys:,} {what} "
            f"+{rows_inserted:,} -{rows_deleted:,}"
        )
    return f"{action.value} {reason_code} {rows_inserted:,} rows"
