"""What a refresh does, decided before any row is read; and the threshold behind it."""

from __future__ import annotations

from typing import Any

import pytest

from dbt.adapters.dynamic.config import DynamicTableConfig, RefreshMode
from dbt.adapters.dynamic.incremental.compile import Compiled
from dbt.adapters.dynamic.incremental.merges import AggregateMerge
from dbt.adapters.dynamic.lake.catalog import TableVersion
from dbt.adapters.dynamic.lake.changes import ChangeKind, SourceChange
from dbt.adapters.dynamic.query.reasons import Explained, NotIncremental, Reason
from dbt.adapters.dynamic.refresh.decision import (
    Decision,
    Facts,
    decide,
    never_incremental,
    over_threshold,
)
from dbt.adapters.dynamic.response import RefreshAction, Strategy
from tests.unit.lab import Lab

ORDERS = ("lake", "main", "orders")
REGIONS = ("lake", "main", "regions")
STRICT = DynamicTableConfig(refresh_mode=RefreshMode.INCREMENTAL)
LIMITED = NotIncremental(Reason.LIMIT_UNSUPPORTED, "LIMIT (line 1, column 9)")


@pytest.fixture
def compiled(lab: Lab) -> Compiled:
    """A query over orders; regions stands in a CTE that nothing reads."""
    sql = "WITH r AS (FROM regions) SELECT customer, count(*) AS n FROM orders GROUP BY customer"
    return lab.compile(lab.shown(sql))


def _change(kind: ChangeKind, detail: str = "") -> SourceChange:
    return SourceChange(TableVersion(1, "u", "main", "orders", ()), 5, 9, kind, detail=detail)


def _facts(compiled: Compiled | NotIncremental, **known: Any) -> Facts:
    facts: dict[str, Any] = {
        "config": DynamicTableConfig(),
        "rebuild": None,
        "unstable": None,
        "untracked": [],
        "unpinned": None,
        "compiled": compiled,
        "changes": {ORDERS: _change(ChangeKind.CHANGES)},
    }
    return Facts(**{**facts, **known})


def _of(decision: Decision) -> tuple[RefreshAction, Strategy, Reason]:
    return decision.action, decision.strategy, decision.reason.code


def test_kept_aggregates(lab: Lab) -> None:
    """They are merged into only if they are defined as they are now."""
    top = "SELECT customer, count(*) AS n FROM orders GROUP BY customer ORDER BY n LIMIT 3"
    total = "SELECT max(customer) + 1 AS m FROM orders"
    limited, plain = (lab.compile(lab.shown(sql)) for sql in (top, total))
    for compiled, sql in ((limited, top), (plain, total)):
        assert compiled.state is not None
        kept = compiled.state.fingerprint
        otherwise_pinned = lab.compile(lab.inline(sql)).state
        assert otherwise_pinned is not None
        assert otherwise_pinned.fingerprint == kept
        merged = decide(_facts(compiled, aggregates=kept))
        assert _of(merged)[1:] == (Strategy.MERGE_AGGREGATES, Reason.SOURCE_CHANGED)
        stale = decide(_facts(compiled, aggregates="other"))
        assert _of(stale) == (RefreshAction.REINITIALIZE, Strategy.FULL, Reason.STATE_STALE)
    assert _of(decide(_facts(plain, aggregates="")))[1] is Strategy.AFFECTED_KEYS
    for unknown in ("", None):
        full = decide(_facts(limited, aggregates=unknown))
        assert _of(full)[2] is Reason.LIMIT_UNSUPPORTED
        assert ("not kept" in full.reason.text) is (unknown == "")
    with pytest.raises(NotIncremental):
        decide(_facts(limited, aggregates="", config=STRICT))


@pytest.mark.parametrize("kind", [ChangeKind.INSERTS, ChangeKind.CHANGES])
def test_a_changed_source_is_merged(kind: ChangeKind, compiled: Compiled) -> None:
    decision = decide(_facts(compiled, changes={ORDERS: _change(kind)}))
    assert _of(decision) == (
        RefreshAction.INCREMENTAL,
        Strategy.MERGE_AGGREGATES,
        Reason.SOURCE_CHANGED,
    )
    assert decision.reason.text == "changed: lake.main.orders"
    assert isinstance(decision.merge, AggregateMerge)


def test_nothing_changed(compiled: Compiled) -> None:
    decision = decide(_facts(compiled, changes={ORDERS: _change(ChangeKind.UNCHANGED)}))
    assert _of(decision) == (RefreshAction.NO_DATA, Strategy.NONE, Reason.NO_CHANGES)


def test_a_source_that_nothing_reads_changed(compiled: Compiled) -> None:
    changes = {ORDERS: _change(ChangeKind.UNCHANGED), REGIONS: _change(ChangeKind.CHANGES)}
    assert decide(_facts(compiled, changes=changes)).action is RefreshAction.NO_DATA


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ChangeKind.REPLACED, Reason.SOURCE_REPLACED),
        (ChangeKind.EXPIRED, Reason.SNAPSHOT_EXPIRED),
    ],
)
def test_a_source_without_a_usable_history(
    kind: ChangeKind, code: Reason, compiled: Compiled
) -> None:
    decision = decide(_facts(compiled, changes={ORDERS: _change(kind, "because")}))
    assert _of(decision) == (RefreshAction.REINITIALIZE, Strategy.FULL, code)
    assert decision.reason.text == "lake.main.orders: because"


def test_a_column_that_moved(compiled: Compiled) -> None:
    moved = {ORDERS: "column a was dropped"}
    changes = {ORDERS: _change(ChangeKind.UNCHANGED)}
    decision = decide(_facts(compiled, changes=changes, moved_columns=moved))
    assert _of(decision) == (
        RefreshAction.REINITIALIZE,
        Strategy.FULL,
        Reason.SOURCE_SCHEMA_CHANGED,
    )
    assert decision.reason.text == "lake.main.orders: column a was dropped"


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (Reason.FIRST_BUILD, RefreshAction.FULL),
        (Reason.FULL_REFRESH_FLAG, RefreshAction.FULL),
        (Reason.EMPTY_FLAG, RefreshAction.FULL),
        (Reason.DEFINITION_CHANGED, RefreshAction.REINITIALIZE),
        (Reason.CONFIGURATION_CHANGED, RefreshAction.REINITIALIZE),
        (Reason.STATE_STALE, RefreshAction.REINITIALIZE),
        (Reason.TARGET_MODIFIED, RefreshAction.REINITIALIZE),
        (Reason.SELF_CHECK_FAILED, RefreshAction.REINITIALIZE),
    ],
)
@pytest.mark.parametrize("config", [DynamicTableConfig(), STRICT], ids=["auto", "strict"])
def test_a_rebuild_comes_first(
    code: Reason, action: RefreshAction, config: DynamicTableConfig, compiled: Compiled
) -> None:
    """Also for a strict model: somebody said so, or changed the model or the table."""
    decision = decide(_facts(compiled, rebuild=Explained(code, "x"), config=config))
    assert _of(decision) == (action, Strategy.FULL, code)


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"unpinned": Explained(Reason.UNPARSED_SQL, "x")}, Reason.UNPARSED_SQL),
        ({"untracked": ["a.csv"]}, Reason.CHANGE_TRACKING_NONE),
        ({"unstable": Explained(Reason.TIME_DEPENDENT, "x")}, Reason.TIME_DEPENDENT),
        ({"unstable": Explained(Reason.USER_MACRO, "x")}, Reason.USER_MACRO),
    ],
)
def test_full_in_every_run(known: dict[str, Any], code: Reason, compiled: Compiled) -> None:
    """NO_DATA would be wrong: the answer moves, or cannot be seen to move."""
    changes = {ORDERS: _change(ChangeKind.UNCHANGED)}
    decision = decide(_facts(compiled, changes=changes, **known))
    assert _of(decision) == (RefreshAction.FULL, Strategy.FULL, code)


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"unstable": Explained(Reason.VOLATILE_FUNCTION, "x")}, Reason.VOLATILE_FUNCTION),
        ({"compiled": LIMITED}, Reason.LIMIT_UNSUPPORTED),
        ({"config": DynamicTableConfig(refresh_mode=RefreshMode.FULL)}, Reason.REFRESH_MODE_FULL),
    ],
)
def test_full_only_when_a_source_changed(
    known: dict[str, Any], code: Reason, compiled: Compiled
) -> None:
    facts = {"compiled": compiled, **known}
    changed = decide(_facts(**facts))
    assert _of(changed) == (RefreshAction.FULL, Strategy.FULL, code)
    quiet = decide(_facts(**facts, changes={ORDERS: _change(ChangeKind.UNCHANGED)}))
    assert quiet.action is RefreshAction.NO_DATA


def test_what_has_no_snapshots_is_named(compiled: Compiled) -> None:
    decision = decide(_facts(compiled, untracked=["a.csv", "f(…)"]))
    assert decision.reason.text == ("a.csv, f(…) has no snapshots, so its changes cannot be seen")


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"compiled": LIMITED}, Reason.LIMIT_UNSUPPORTED),
        ({"untracked": ["a.csv"]}, Reason.CHANGE_TRACKING_NONE),
        ({"unstable": Explained(Reason.TIME_DEPENDENT, "x")}, Reason.TIME_DEPENDENT),
        ({"unpinned": Explained(Reason.UNPARSED_SQL, "x")}, Reason.UNPARSED_SQL),
        ({"changes": {ORDERS: _change(ChangeKind.EXPIRED)}}, Reason.SNAPSHOT_EXPIRED),
        ({"changes": {ORDERS: _change(ChangeKind.REPLACED)}}, Reason.SOURCE_REPLACED),
        # At the first build, too: it would be the last one that succeeds.
        (
            {"compiled": LIMITED, "rebuild": Explained(Reason.FIRST_BUILD, "x")},
            Reason.LIMIT_UNSUPPORTED,
        ),
    ],
)
def test_a_strict_model_fails_where_it_cannot_be_incremental(
    known: dict[str, Any], code: Reason, compiled: Compiled
) -> None:
    with pytest.raises(NotIncremental) as refused:
        decide(_facts(**{"compiled": compiled, "config": STRICT, **known}))
    assert refused.value.reason.code is code


def test_never_incremental(compiled: Compiled) -> None:
    full = DynamicTableConfig(refresh_mode=RefreshMode.FULL)
    assert never_incremental(_facts(compiled)) is None
    assert never_incremental(_facts(LIMITED)) == LIMITED.reason
    assert never_incremental(_facts(LIMITED, config=full)) == Explained(
        Reason.REFRESH_MODE_FULL, "refresh_mode is full"
    )


@pytest.mark.parametrize(
    ("affected", "total", "threshold", "over"),
    [
        (0, 0, 0.3, False),
        (0, 100, 0.0, False),
        (1, 0, 0.3, True),
        (1, 0, 1.0, True),
        (30, 100, 0.3, False),
        (31, 100, 0.3, True),
        (3, 10, 0.3, False),
        (1, 100, 0.0, True),
        (100, 100, 1.0, False),
        (101, 100, 1.0, True),
        (1, 3, 0.3, True),
        (1, 3, 1 / 3, False),
        # 0.29 * 100 is less than 29 in floating point.
        (29, 100, 0.29, False),
    ],
)
def test_over_threshold(affected: int, total: int, threshold: float, over: bool) -> None:
    config = DynamicTableConfig(cardinality_threshold=threshold)
    found = over_threshold(affected, total, config)
    assert (found is not None) is over
    assert over_threshold(affected, total, STRICT) is None


@pytest.mark.parametrize(
    ("affected", "total", "text"),
    [
        (
            1672,
            4000,
            "1,672 of 4,000 keys affected (41.8%), more than cardinality_threshold 0.3",
        ),
        (7, 0, "7 of 0 keys affected (all), more than cardinality_threshold 0.3"),
    ],
)
def test_over_threshold_says_by_how_much(affected: int, total: int, text: str) -> None:
    assert over_threshold(affected, total, DynamicTableConfig()) == Explained(
        Reason.OVER_THRESHOLD, text
    )


def test_over_threshold_counts_rows_of_a_bag() -> None:
    found = over_threshold(4, 10, DynamicTableConfig(), "rows")
    assert found is not None
    assert found.text == "4 of 10 rows affected (40.0%), more than cardinality_threshold 0.3"


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [(ChangeKind.INSERTS, Strategy.APPEND), (ChangeKind.CHANGES, Strategy.BAG_MERGE)],
)
def test_the_strategy_of_a_result_without_keys(
    kind: ChangeKind, strategy: Strategy, lab: Lab
) -> None:
    compiled = lab.compile(lab.shown("SELECT customer, product FROM orders"))
    decision = decide(_facts(compiled, changes={ORDERS: _change(kind)}))
    assert decision.strategy is strategy
