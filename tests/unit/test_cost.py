"""Building as a whole before anything is read: what the figures must say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dbt.adapters.dynamic.refresh.cost import MEMORY, Past, cheaper_full

BUILD = Past(10.0, None, merged=False)
SLOW = Past(12.0, 50_000, merged=True)
FAST = Past(1.0, 50_000, merged=True)
TOO_MANY = Past(14.0, 50_000, merged=False, over_threshold=True)
LARGE, SMALL = Past(9.0, 20_000, merged=True), Past(2.0, 10_000, merged=True)
# As many rows as this affected a tenth of the keys.
TENTH = Past(1.0, 20_000, merged=True, affected=0.1)
ANEW = Past(10.0, None, merged=False, anew=True)


@pytest.mark.parametrize(
    ("changed", "history", "full"),
    [
        (9_999, [TOO_MANY, BUILD], False),  # not worth asking
        (300_001, [], True),  # more than 30 % of the rows
        (300_000, [], False),
        (60_000, [], False),  # nothing is known
        (60_000, [TOO_MANY, BUILD], True),
        (50_000, [TOO_MANY], True),
        (49_999, [TOO_MANY, BUILD], False),  # fewer rows may affect fewer keys
        (60_000, [SLOW, BUILD], True),
        (60_000, [SLOW], False),  # than what?
        (60_000, [SLOW, TOO_MANY], False),  # it went well, for all that is known
        (60_000, [FAST, BUILD], False),
        (60_000, [Past(10.9, 50_000, merged=True), BUILD], False),  # about as fast
        # What went well since counts more, up to as many rows.
        (60_000, [FAST, TOO_MANY, BUILD], False),
        (60_000, [FAST, Past(14.0, 55_000, merged=False, over_threshold=True), BUILD], True),
        (60_000, [TOO_MANY, FAST, BUILD], True),
        # A try is forgotten, and so it is tried again.
        (60_000, [*[BUILD] * (MEMORY - 1), TOO_MANY], True),
        (60_000, [*[BUILD] * MEMORY, TOO_MANY], False),
        (60_000, [*[FAST] * MEMORY, SLOW, BUILD], False),
        # Another query, perhaps.
        (60_000, [ANEW, TOO_MANY, BUILD], False),
        (60_000, [SLOW, ANEW], True),
        (60_000, [Past(12.0, None, merged=True), BUILD], False),
        # Ten times as many as ever take ten times as long.
        (200_000, [Past(2.0, 20_000, merged=True), Past(0.2, 2_000, merged=True), BUILD], False),
        (201_000, [Past(2.0, 20_000, merged=True), Past(0.2, 2_000, merged=True), BUILD], True),
        (201_000, [Past(2.0, 20_000, merged=True), Past(2.0, 2_000, merged=True), BUILD], False),
        (201_000, [Past(2.0, 20_000, merged=True), Past(0.2, 10_001, merged=True), BUILD], False),
        (201_000, [Past(2.0, 20_000, merged=True), Past(0.2, 2_000, merged=True)], False),
        (201_000, [Past(2.0, 20_000, merged=True), BUILD], False),
        # What is not for the rows is not for more rows.
        (200_000, [Past(10.0, 20_000, merged=True), Past(7.0, 2_000, merged=True), BUILD], False),
        (200_000, [Past(10.0, 20_000, merged=True), Past(6.0, 2_000, merged=True), BUILD], True),
        # Twice as many affect 19 % of the keys, and five times as many 41 %: not quite half.
        (40_000, [TENTH], False),
        (88_000, [TENTH], False),  # a little more than the threshold, perhaps
        (90_000, [TENTH], True),
        (90_000, [replace(TENTH, affected=None)], False),
        (90_000, [replace(TENTH, affected=0.0)], False),
        (90_000, [replace(TENTH, merged=False)], False),
        (90_000, [replace(TENTH, changed_rows=999, affected=0.01)], False),  # too few to tell
        # Where they lie together, more rows affect fewer keys each.
        (90_000, [TENTH, replace(TENTH, changed_rows=80_000)], False),
        (90_000, [TENTH, replace(TENTH, changed_rows=90_000, affected=1.5)], False),
        (90_001, [TENTH, replace(TENTH, changed_rows=90_000, affected=1.5)], True),
    ],
)
def test_cheaper_full(changed: int, history: list[Past], full: bool) -> None:
    assert (cheaper_full(changed, 0, 1_000_000, 0.3, history) is not None) is full


def test_a_merge_of_deleted_rows_tells_nothing_of_added_ones() -> None:
    of_deleted = [Past(12.0, 50_000, merged=True, removed_rows=1), BUILD]
    assert cheaper_full(60_000, 0, 1_000_000, 0.3, of_deleted) is None
    assert cheaper_full(60_000, 9, 1_000_000, 0.3, of_deleted) is not None
    assert cheaper_full(60_000, 9, 1_000_000, 0.3, [SLOW, BUILD]) is None
    # How many keys were affected does.
    assert cheaper_full(60_000, 9, 1_000_000, 0.3, [TOO_MANY, BUILD]) is not None
    some = [Past(2.0, 20_000, merged=True, removed_rows=5), Past(0.2, 2_000, merged=True), BUILD]
    assert cheaper_full(250_000, 9, 1_000_000, 0.3, some) is None
    assert cheaper_full(250_000, 0, 1_000_000, 0.3, some) is None
    assert cheaper_full(90_000, 9, 1_000_000, 0.3, [TENTH]) is None
    assert cheaper_full(90_000, 9, 1_000_000, 0.3, [replace(TENTH, removed_rows=9)]) is not None


def test_the_reason_gives_the_figures() -> None:
    texts = [
        one.text
        for history in ([TOO_MANY], [SLOW, BUILD], [LARGE, SMALL, BUILD])
        if (one := cheaper_full(60_000, 0, 1_000_000, 0.3, history)) is not None
    ]
    texts += [
        one.text for one in [cheaper_full(90_000, 0, 1_000_000, 0.3, [TENTH])] if one is not None
    ]
    texts += [
        one.text for one in [cheaper_full(400_000, 0, 1_000_000, 0.3, [])] if one is not None
    ]
    assert texts == [
        "60,000 of 1,000,000 rows of the sources changed; 50,000 not long ago affected more keys "
        "than cardinality_threshold allows",
        "60,000 of 1,000,000 rows of the sources changed; 50,000 not long ago took 12.0 s to "
        "merge, and to build the table takes 10.0 s",
        "60,000 of 1,000,000 rows of the sources changed; by the last merges it should take "
        "37.0 s to merge them, and to build the table takes 10.0 s",
        "90,000 of 1,000,000 rows of the sources changed; by the last merges they should affect "
        "38% of the keys, more than cardinality_threshold 0.3",
        "400,000 of 1,000,000 rows of the sources changed (40.0%), more than "
        "cardinality_threshold 0.3",
    ]
