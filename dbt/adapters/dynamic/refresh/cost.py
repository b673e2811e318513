"""Whether to build a table as a whole before a merge is even begun (design.md §5).

The user's threshold is about keys, which are known only when half of a merge's work is done. What
is known before: how many rows of the sources changed, by metadata, and how earlier refreshes of
the table went: how long they took, and how many keys so many rows affected. Rows that were deleted
cost more than added ones: they must be found in old files. So merges of both do not tell of those
of added rows only. A wrong guess costs time and nothing else; and it is not repeated for ever,
because only the last refreshes count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from dbt.adapters.dynamic.query.reasons import Explained, Reason

# So few changed rows are merged sooner than the history is read.
WORTH_ASKING = 10_000
# After so many refreshes a merge is tried again.
MEMORY = 10
# A merge that took this many times as long as a build is too slow.
_SLOWER = 1.1
# So is one of which it is to be expected that it takes this many times as long: that is less sure.
_MUCH_SLOWER = 2.0
# So is one that should affect this many times as many keys as the user's threshold allows.
_MANY_MORE = 1.25
# A merge of fewer rows says little of how many keys rows affect.
_FEWEST = 1_000
# Merges are compared where one had this many times as many changed rows as the other, and took
# this many times as long: what is less is what any refresh takes, and chance.
_MORE = 2
_LONGER = 1.5


@dataclass(frozen=True)
class Past:
    """A refresh of the history that had something to do.

    Attributes:
        seconds: how long its stages took.
        changed_rows: how many rows of the sources had changed, if it is known.
        removed_rows: how many of them had been deleted.
        affected: the share of the table's keys that they affected, if it is known.
        merged: the table was merged.
        over_threshold: it was built as a whole because too much was affected.
        anew: it was built because what was known of it before no longer held.
    """

    seconds: float
    changed_rows: int | None
    merged: bool
    removed_rows: int = 0
    affected: float | None = None
    over_threshold: bool = False
    anew: bool = False


def cheaper_full(
    changed: int, removed: int, rows: int, threshold: float, history: Sequence[Past]
) -> Explained | None:
    """Why a table is better built as a whole, or None if a merge is worth trying.

    Args:
        changed: how many rows of the sources were inserted or deleted since its last refresh.
        removed: how many of them were deleted.
        rows: how many rows the sources have.
        threshold: the user's `cardinality_threshold`.
        history: its last refreshes, the newest first.

    Returns:
        CHEAPER_FULL with the figures, or None.
    """
    if changed < WORTH_ASKING:
        return None
    too_many = too_many_changed(changed, rows, threshold)
    if too_many is not None:
        return too_many
    what = _what(changed, rows)
    since = _since_built_anew(history)
    builds = [past.seconds for past in since if not past.merged and not past.over_threshold]
    build = median(builds) if builds else None
    tried = [
        (past, past.changed_rows)
        for past in since[:MEMORY]
        if past.changed_rows is not None
        and (past.over_threshold or (past.merged and bool(past.removed_rows) == bool(removed)))
    ]
    good = 0  # a merge of so many changed rows paid off
    for past, then in tried:
        slow = past.merged and build is not None and past.seconds > _SLOWER * build
        if not (slow or past.over_threshold):
            good = max(good, then)
        elif good < then <= changed:
            how = (
                f"took {past.seconds:.1f} s to merge, and to build the table takes {build:.1f} s"
                if slow
                else "affected more keys than cardinality_threshold allows"
            )
            return Explained(Reason.CHEAPER_FULL, f"{what}; {then:,} not long ago {how}")
    expected = _expected([(then, past.seconds) for past, then in tried if past.merged], changed)
    if build is not None and expected > _MUCH_SLOWER * build:
        return Explained(
            Reason.CHEAPER_FULL,
            f"{what}; by the last merges it should take {expected:.1f} s to merge them, and to "
            f"build the table takes {build:.1f} s",
        )
    affected = _expected_share(
        [(then, past.affected) for past, then in tried if past.merged], changed
    )
    if affected > _MANY_MORE * threshold:
        return Explained(
            Reason.CHEAPER_FULL,
            f"{what}; by the last merges they should affect {affected:.0%} of the keys, more than "
            f"cardinality_threshold {threshold:g}",
        )
    return None


def too_many_changed(changed: int, rows: int, threshold: float) -> Explained | None:
    """Why a table is better built as a whole by the share of the rows alone, or None.

    Args:
        changed: how many rows of the sources changed, at least.
        rows: how many rows the sources have, at most.
        threshold: the user's `cardinality_threshold`.
    """
    if changed < WORTH_ASKING or changed <= threshold * rows:
        return None
    what = _what(changed, rows)
    if not rows:
        return Explained(Reason.CHEAPER_FULL, what)
    share = f"{changed / rows:.1%}"
    return Explained(
        Reason.CHEAPER_FULL, f"{what} ({share}), more than cardinality_threshold {threshold:g}"
    )


def _what(changed: int, rows: int) -> str:
    return f"{changed:,} of {rows:,} rows of the sources changed"


def _expected(merges: Sequence[tuple[int, float]], changed: int) -> float:
    """How long a merge of more rows than ever should take, in seconds; 0 if nothing tells.

    Args:
        merges: changed rows and seconds of merges of the same kind.
        changed: how many rows there are now.
    """
    (fewest, quick), (most, slow) = min(merges, default=(0, 0.0)), max(merges, default=(0, 0.0))
    if changed <= most or most < max(_MORE * fewest, 1) or slow < _LONGER * quick:
        return 0.0
    return slow + (slow - quick) / (most - fewest) * (changed - most)


def _expected_share(merges: Sequence[tuple[int, float | None]], changed: int) -> float:
    """Which share of the keys more rows than ever should affect; 0 if nothing tells.

    Rows that hit keys at random leave (1 - s)^2 of them alone where half as many leave 1 - s. Rows
    that lie together hit fewer, so this is asked of the largest merge.

    Args:
        merges: changed rows and affected share of merges of the same kind.
        changed: how many rows there are now.
    """
    known = [(then, share) for then, share in merges if share is not None and then >= _FEWEST]
    then, share = max(known, default=(0, 0.0))
    if then == 0 or changed <= then:
        return 0.0
    left_alone: float = (1 - min(share, 1)) ** (changed / then)
    return 1 - left_alone


def _since_built_anew(history: Sequence[Past]) -> Sequence[Past]:
    for place, past in enumerate(history):
        if past.anew:
            return history[: place + 1]
    return history
