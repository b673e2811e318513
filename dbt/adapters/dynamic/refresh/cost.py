"""Whether to build a table as a whole before a merge is even begun (design.md §5).

The user's threshold is about keys, which are known only when half of a merge's work is done. What
is known before: how many rows of the sources changed, by metadata, and how earlier refreshes of
the table went for which as many had changed, or fewer. A wrong guess costs time and nothing else;
and it is not repeated for ever, because only the last refreshes count.
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


@dataclass(frozen=True)
class Past:
    """A refresh of the history that had something to do.

    Attributes:
        seconds: how long its stages took.
        changed_rows: how many rows of the sources had changed, if it is known.
        merged: the table was merged.
        over_threshold: it was built as a whole because too much was affected.
        anew: it was built because what was known of it before no longer held.
    """

    seconds: float
    changed_rows: int | None
    merged: bool
    over_threshold: bool = False
    anew: bool = False


def cheaper_full(
    changed: int, rows: int, threshold: float, history: Sequence[Past]
) -> Explained | None:
    """Why a table is better built as a whole, or None if a merge is worth trying.

    Args:
        changed: how many rows of the sources were inserted or deleted since its last refresh.
        rows: how many rows the sources have.
        threshold: the user's `cardinality_threshold`.
        history: its last refreshes, the newest first.

    Returns:
        CHEAPER_FULL with the figures, or None.
    """
    if changed < WORTH_ASKING:
        return None
    what = f"{changed:,} of {rows:,} rows of the sources changed"
    if changed > threshold * rows:
        return Explained(
            Reason.CHEAPER_FULL,
            f"{what} ({changed / rows:.1%}), more than cardinality_threshold {threshold:g}"
            if rows
            else what,
        )
    since = _since_built_anew(history)
    builds = [past.seconds for past in since if not past.merged and not past.over_threshold]
    good = 0  # a merge of so many changed rows paid off
    for past in since[:MEMORY]:
        if past.changed_rows is None or not (past.merged or past.over_threshold):
            continue
        slow = past.merged and builds and past.seconds > _SLOWER * median(builds)
        if not (slow or past.over_threshold):
            good = max(good, past.changed_rows)
        elif good < past.changed_rows <= changed:
            how = (
                f"took {past.seconds:.1f} s to merge, and to build the table takes "
                f"{median(builds):.1f} s"
                if slow
                else "affected more keys than cardinality_threshold allows"
            )
            return Explained(
                Reason.CHEAPER_FULL, f"{what}; {past.changed_rows:,} not long ago {how}"
            )
    return None


def _since_built_anew(history: Sequence[Past]) -> Sequence[Past]:
    for place, past in enumerate(history):
        if past.anew:
            return history[: place + 1]
    return history
