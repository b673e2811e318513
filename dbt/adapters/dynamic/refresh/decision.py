"""Deciding what a refresh does, before any row is read (design.md §5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dbt.adapters.dynamic.config import DynamicTableConfig, RefreshMode
from dbt.adapters.dynamic.incremental.compile import Compiled
from dbt.adapters.dynamic.incremental.merges import (
    AggregateMerge,
    Append,
    BagMerge,
    KeyMerge,
    Merge,
    StateMerge,
)
from dbt.adapters.dynamic.incremental.nodes import SourceKey
from dbt.adapters.dynamic.lake.changes import ChangeKind, SourceChange
from dbt.adapters.dynamic.query.reasons import Explained, NotIncremental, Reason
from dbt.adapters.dynamic.response import RefreshAction, Strategy

# Reasons that say that what was recorded about the table, or of its sources, no longer holds.
_REINITIALIZING = frozenset(
    {
        Reason.DEFINITION_CHANGED,
        Reason.CONFIGURATION_CHANGED,
        Reason.STATE_STALE,
        Reason.TARGET_MODIFIED,
        Reason.SELF_CHECK_FAILED,
        Reason.MERGE_FAILED,
        Reason.SOURCE_REPLACED,
        Reason.SOURCE_SCHEMA_CHANGED,
        Reason.SNAPSHOT_EXPIRED,
    }
)
# A whole build for one of these is not what `refresh_mode: incremental` forbids: the table is
# built, or built anew, because somebody said so or changed the model.
_ALLOWED_IN_STRICT = frozenset(
    {
        Reason.FIRST_BUILD,
        Reason.FULL_REFRESH_FLAG,
        Reason.EMPTY_FLAG,
        Reason.DEFINITION_CHANGED,
        Reason.CONFIGURATION_CHANGED,
        Reason.STATE_STALE,
        Reason.TARGET_MODIFIED,
        Reason.SELF_CHECK_FAILED,
    }
)
STRATEGIES = {
    Append: Strategy.APPEND,
    BagMerge: Strategy.BAG_MERGE,
    AggregateMerge: Strategy.MERGE_AGGREGATES,
    KeyMerge: Strategy.AFFECTED_KEYS,
    StateMerge: Strategy.MERGE_AGGREGATES,
}
_NOT_KEPT = (
    "the table of its aggregates is not kept, as it would be hardly smaller than the sources"
)
_BY_KIND = {
    ChangeKind.REPLACED: Reason.SOURCE_REPLACED,
    ChangeKind.EXPIRED: Reason.SNAPSHOT_EXPIRED,
}


@dataclass(frozen=True)
class Decision:
    """What a refresh does and why.

    Attributes:
        action: the refresh action.
        strategy: by which way.
        reason: the code and the sentence.
        merge: how, for an incremental refresh.
    """

    action: RefreshAction
    strategy: Strategy
    reason: Explained
    merge: Merge | None = None

    @classmethod
    def full(cls, reason: Explained) -> Decision:
        action = (
            RefreshAction.REINITIALIZE if reason.code in _REINITIALIZING else RefreshAction.FULL
        )
        return cls(action, Strategy.FULL, reason)


@dataclass(frozen=True)
class Facts:
    """What is known about a refresh from metadata alone.

    Attributes:
        config: the model's configuration.
        rebuild: why the table must be built as a whole whatever its sources did, or None.
        unstable: why the query may answer differently for the same sources, or None.
        untracked: what the query reads that has no snapshots.
        unpinned: why the query cannot be read at pins, or None.
        compiled: the query's incremental form, or why there is none.
        changes: what happened to each source.
        moved_columns: per source, what happened to a column that the query reads.
        aggregates: as :class:`.state.State` has it.
    """

    config: DynamicTableConfig
    rebuild: Explained | None
    unstable: Explained | None
    untracked: list[str]
    unpinned: Explained | None
    compiled: Compiled | NotIncremental
    changes: Mapping[SourceKey, SourceChange]
    moved_columns: Mapping[SourceKey, str] = field(default_factory=dict)
    aggregates: str | None = None


def decide(facts: Facts) -> Decision:
    """Choose what to do; the threshold is checked later, when the keys are known.

    Raises:
        NotIncremental: the model is strict (``refresh_mode: incremental``) and cannot be
            refreshed incrementally.
    """
    decision = _decide(facts)
    strict = facts.config.refresh_mode is RefreshMode.INCREMENTAL
    if strict and decision.strategy is Strategy.FULL:
        if decision.reason.code not in _ALLOWED_IN_STRICT:
            raise NotIncremental(decision.reason.code, decision.reason.text)
        never = _never_incremental(facts)
        if never is not None:
            raise NotIncremental(never.code, never.text)
    return decision


def never_incremental(facts: Facts) -> Explained | None:
    """Why no refresh of this model can be incremental, or None if one can."""
    if facts.config.refresh_mode is RefreshMode.FULL:
        return Explained(Reason.REFRESH_MODE_FULL, "refresh_mode is full")
    return _never_incremental(facts)


def _never_incremental(facts: Facts) -> Explained | None:
    return (
        facts.unpinned
        or _untracked(facts)
        or facts.unstable
        or (facts.compiled.reason if isinstance(facts.compiled, NotIncremental) else None)
        or (_only_finished(facts) if facts.aggregates == "" else None)
    )


def _only_finished(facts: Facts) -> Explained | None:
    """Why no change can be followed to the result, where it must be finished from what is kept."""
    if not isinstance(facts.compiled, Compiled) or facts.compiled.only_finished is None:
        return None
    reason = facts.compiled.only_finished
    return Explained(reason.code, f"{reason.text}; {_NOT_KEPT}")


def _untracked(facts: Facts) -> Explained | None:
    if not facts.untracked:
        return None
    return Explained(
        Reason.CHANGE_TRACKING_NONE,
        f"{', '.join(facts.untracked)} has no snapshots, so its changes cannot be seen",
    )


def _decide(facts: Facts) -> Decision:
    if facts.rebuild is not None:
        return Decision.full(facts.rebuild)
    every_run = facts.unpinned or _untracked(facts)
    if every_run is not None:
        return Decision.full(every_run)
    if facts.unstable is not None and facts.unstable.code is not Reason.VOLATILE_FUNCTION:
        return Decision.full(facts.unstable)  # NO_DATA would be wrong: the answer moves by itself
    for key, change in facts.changes.items():
        code = _BY_KIND.get(change.kind)
        if code is not None:
            return Decision.full(Explained(code, f"{'.'.join(key)}: {change.detail}"))
        if key in facts.moved_columns:
            return Decision.full(
                Explained(
                    Reason.SOURCE_SCHEMA_CHANGED, f"{'.'.join(key)}: {facts.moved_columns[key]}"
                )
            )
    # A table that only an unused CTE names is tracked and never read.
    read = facts.compiled.columns if isinstance(facts.compiled, Compiled) else facts.changes
    changed = [
        ".".join(key) + (f" ({change.detail})" if change.detail else "")
        for key, change in facts.changes.items()
        if change.kind is not ChangeKind.UNCHANGED and key in read
    ]
    if not changed:
        return Decision(
            RefreshAction.NO_DATA,
            Strategy.NONE,
            Explained(Reason.NO_CHANGES, "no source changed since the last refresh"),
        )
    never = never_incremental(facts)
    if never is not None:
        return Decision.full(never)
    compiled = facts.compiled
    assert not isinstance(compiled, NotIncremental)
    kept = compiled.state if facts.aggregates else None
    if facts.aggregates and (kept is None or kept.fingerprint != facts.aggregates):
        return Decision.full(
            Explained(
                Reason.STATE_STALE,
                "what is kept of its aggregates is not what this version of dbt-dynamic keeps",
            )
        )
    if kept is None and compiled.only_finished is not None:
        return Decision.full(compiled.only_finished)
    try:
        merge = (kept or compiled).merge(facts.changes)
    except NotIncremental as refusal:  # another change might have a rule
        return Decision.full(refusal.reason)
    return Decision(
        RefreshAction.INCREMENTAL,
        STRATEGIES[type(merge)],
        Explained(Reason.SOURCE_CHANGED, f"changed: {', '.join(changed)}"),
        merge,
    )


def over_threshold(
    affected: int, total: int, config: DynamicTableConfig, what: str = "keys"
) -> Explained | None:
    """Whether too much is affected for a merge to pay, by the user's rule.

    Args:
        affected: affected keys, new ones included; or rows to remove and to add.
        total: keys, or rows, in the table before the refresh.
        config: the model's configuration; a strict model has no threshold.
        what: ``keys`` or ``rows``, for the reason.

    Returns:
        OVER_THRESHOLD with the figures, or None.
    """
    if config.refresh_mode is RefreshMode.INCREMENTAL or affected == 0:
        return None
    if total and affected / total <= config.cardinality_threshold:
        return None
    share = f"{affected / total:.1%}" if total else "all"
    return Explained(
        Reason.OVER_THRESHOLD,
        f"{affected:,} of {total:,} {what} affected ({share}), more than "
        f"cardinality_threshold {config.cardinality_threshold:g}",
    )
