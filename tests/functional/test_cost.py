"""A table is built as a whole before anything is read, where that is cheaper than merging."""

from __future__ import annotations

from typing import Any

import pytest

from dbt.adapters.dynamic.refresh import cost, planner
from tests.functional.project import LakeProject


def test_too_many_changed_rows_to_begin_a_merge(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "WORTH_ASKING", 10)
    monkeypatch.setattr(planner, "WORTH_ASKING", 10)
    monkeypatch.setattr(cost, "_SLOWER", 1000)  # such few rows take what they take
    project.source("events", "SELECT i AS id, i % 50 AS k, i AS v FROM range(1000) r(i)")
    events = "FROM {{ source('raw', 'events') }}"
    project.model("by_key", f"SELECT k, list(v ORDER BY v) AS v {events} GROUP BY k")
    project.model(
        "strict", f"SELECT k, max(v) AS v {events} GROUP BY k", refresh_mode="incremental"
    )
    project.model("appended", f"SELECT id, v {events}")
    project.run()

    def change(*statements: str) -> dict[str, str]:
        project.sql(*statements)
        return {name: one["_message"].split(" keys")[0] for name, one in project.run().items()}

    scattered = "UPDATE raw.events SET v = v + 1 WHERE id < 16"  # 32 rows, 16 keys of 50
    assert change(scattered)["by_key"] == "FULL OVER_THRESHOLD 50 rows"
    done = change(scattered)
    assert done["by_key"] == "FULL CHEAPER_FULL 50 rows"
    assert done["strict"] == "INCREMENTAL merge_aggregates 16/50"
    # Fewer, and then as many that lie together.
    assert (
        change("DELETE FROM raw.events WHERE id < 5")["by_key"] == "INCREMENTAL affected_keys 5/50"
    )
    together = "UPDATE raw.events SET v = v + 1 WHERE k = 7"  # 40 rows
    assert change(together)["by_key"] == "FULL CHEAPER_FULL 50 rows"
    done = change("INSERT INTO raw.events SELECT 1000 + i, 7, i FROM range(900) r(i)")
    assert done["by_key"] == "FULL CHEAPER_FULL 50 rows"
    assert done["appended"] == "INCREMENTAL append +900"
    assert project.sql(
        "SELECT reason FROM dbt_dynamic.refresh_history WHERE reason_code = 'CHEAPER_FULL' "
        "AND dynamic_table = 'lake.main.by_key' ORDER BY completed_at"
    ) == [
        (
            "32 of 1,000 rows of the sources changed; 32 not long ago affected more keys than "
            "cardinality_threshold allows",
        ),
        (
            "40 of 995 rows of the sources changed; 32 not long ago affected more keys than "
            "cardinality_threshold allows",
        ),
        ("900 of 1,895 rows of the sources changed (47.5%), more than cardinality_threshold 0.3",),
    ]


def test_more_keys_than_ever_are_foretold(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "WORTH_ASKING", 10)
    monkeypatch.setattr(planner, "WORTH_ASKING", 10)
    monkeypatch.setattr(cost, "_FEWEST", 10)
    monkeypatch.setattr(cost, "_SLOWER", 1000)  # such few rows take what they take
    monkeypatch.setattr(cost, "_MUCH_SLOWER", 1000)
    project.source("events", "SELECT i AS id, i % 200 AS k, i AS v FROM range(1000) r(i)")
    project.model(
        "by_key",
        "SELECT k, list(v ORDER BY v) AS v FROM {{ source('raw', 'events') }} GROUP BY k",
    )
    project.run()
    # More than ten rows: fewer stay in the catalog, where they are not counted.
    for rows, done in (
        (15, "INCREMENTAL affected_keys 15/200 keys +15 -15"),
        (100, "FULL CHEAPER_FULL"),
    ):
        project.sql(f"UPDATE raw.events SET v = v + 1 WHERE id < {rows}")
        assert project.run()["by_key"]["_message"].startswith(done)
    assert project.sql(
        "SELECT reason FROM dbt_dynamic.refresh_history WHERE reason_code = 'CHEAPER_FULL'"
    ) == [
        (
            "200 of 1,000 rows of the sources changed; by the last merges they should affect 41% "
            "of the keys, more than cardinality_threshold 0.3",
        )
    ]


def test_where_files_show_that_most_changed_nothing_is_read_before_the_build(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "WORTH_ASKING", 10)
    monkeypatch.setattr(planner, "WORTH_ASKING", 10)
    project.source("events", "SELECT i AS id, i % 50 AS k, i AS v FROM range(1000) r(i)")
    events = "FROM {{ source('raw', 'events') }}"
    project.model("by_key", f"SELECT k, max(v) AS v {events} GROUP BY k")
    project.model(
        "strict", f"SELECT k, max(v) AS v {events} GROUP BY k", refresh_mode="incremental"
    )
    project.run()
    asked: list[str] = []
    for name in ("lost_rows", "located"):
        does = getattr(planner, name)

        def noted(*arguments: Any, name: str = name, does: Any = does) -> Any:
            if name == "located" or arguments[2]:  # there are changes to ask about
                asked.append(name)
            return does(*arguments)

        monkeypatch.setattr(planner, name, noted)

    def change(statement: str) -> list[str]:
        asked.clear()
        project.sql(statement)
        done = project.run()
        return [done[name]["_message"].split(" keys")[0] for name in ("by_key", "strict")]

    all_changed = ["FULL CHEAPER_FULL 50 rows", "INCREMENTAL merge_aggregates 50/50"]
    # 440 of 1,440 rows are more than 30 %; 420 of 1,420 are not, before the deleted ones count.
    assert change("UPDATE raw.events SET v = v + 1 WHERE id < 440") == all_changed
    assert sorted(asked) == ["located", "lost_rows"]
    assert project.sql(
        "SELECT reason, changed_rows FROM dbt_dynamic.refresh_history "
        "WHERE reason_code = 'CHEAPER_FULL'"
    ) == [
        (
            "440 of 1,440 rows of the sources changed (30.6%), more than cardinality_threshold "
            "0.3",
            None,
        )
    ]
    assert change("UPDATE raw.events SET v = v + 1 WHERE id < 420") == all_changed
    assert sorted(asked) == ["located", "lost_rows", "lost_rows"]
    # The table is equal to its query at these versions, and the next refresh goes on from it.
    assert change("UPDATE raw.events SET v = v + 1 WHERE id = 7") == [
        "INCREMENTAL merge_aggregates 1/50",
        "INCREMENTAL merge_aggregates 1/50",
    ]


def test_rewritten_files_hold_no_inserted_rows(
    project: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "WORTH_ASKING", 10)
    monkeypatch.setattr(planner, "WORTH_ASKING", 10)
    project.source("events", "SELECT i AS id, i % 50 AS k, i AS v FROM range(1000) r(i)")
    project.model("by_key", "SELECT k, max(v) AS v FROM {{ source('raw', 'events') }} GROUP BY k")
    project.sql("DELETE FROM raw.events WHERE id >= 900")
    project.run()
    project.sql(
        "CALL ducklake_rewrite_data_files('lake', 'events', schema => 'raw', "
        "delete_threshold => 0)",
        "INSERT INTO raw.events SELECT 1000 + i, 7, 1000 + i FROM range(20) r(i)",
    )
    assert project.run()["by_key"]["_message"] == "INCREMENTAL merge_aggregates 1/50 keys +1 -1"
    assert project.sql(
        "SELECT changed_rows, removed_rows FROM dbt_dynamic.refresh_history "
        "WHERE refresh_action = 'INCREMENTAL'"
    ) == [(20, 0)]
