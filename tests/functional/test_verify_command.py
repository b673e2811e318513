"""``dbt-dynamic verify``: tables against their queries at the recorded pins."""

from __future__ import annotations

import json

import pytest

from tests.functional.commands import command
from tests.functional.project import LakeProject

FROM_EVENTS = "FROM {{ source('raw', 'events') }}"


@pytest.fixture
def built(project: LakeProject) -> LakeProject:
    """Tables with keys and without; the sources have changed since they were built."""
    project.source("events", "SELECT i AS id, i % 50 AS k, i AS v FROM range(500) r(i)")
    project.model(
        "by_key", f"SELECT k, count(*) AS n, avg(v) AS a {FROM_EVENTS} GROUP BY k", alias="Keyed"
    )
    project.model("flat", f"SELECT v + 1 AS w {FROM_EVENTS}")
    project.model("never", f"SELECT k {FROM_EVENTS}")
    project.model("plain", "SELECT 1 AS a", materialized="table")
    project.run("--exclude", "never")
    project.sql("DELETE FROM raw.events WHERE k = 3")
    return project


def test_equal(built: LakeProject) -> None:
    newest = "SELECT max(snapshot_id) FROM lake.snapshots()"
    before = built.sql(newest)
    assert command(built, "verify") == 0
    assert sorted(built.output.splitlines()) == [
        "lake.main.flat: equal (500 rows)",
        "lake.main.keyed: equal (50 rows)",
    ]
    assert command(built, "verify", "--sample", "7") == 0
    assert "equal in a sample of 7 keys (50 rows)" in built.output
    assert "flat: equal (500 rows; compared as a whole: a sample is one of keys" in built.output
    assert command(built, "verify", "by_key", "--sample", "70", "--output", "json") == 0
    (table,) = json.loads(built.output)["tables"]
    assert (table["status"], table["sampled_keys"], table["rows"]) == ("EQUAL", 50, 50)
    assert built.sql(newest) == before


def test_different(built: LakeProject) -> None:
    built.sql("DELETE FROM main.flat WHERE w = 7", "INSERT INTO main.flat VALUES (9)")
    assert command(built, "verify") == 1
    assert "flat: DIFFERENT (1 rows missing, 1 rows too many)" in built.output
    assert "    missing: w: 7\n    too many: w: 9\n" in built.output
    assert "Error: not equal to their queries: lake.main.flat. dbt run" in built.output
    assert command(built, "verify", "by_key") == 0
    assert "flat" not in built.output
    # Of one key the rows are looked at, always the same one: some key is it.
    built.sql("UPDATE main.keyed SET n = n + 1")
    shown = []
    for _ in range(2):
        assert command(built, "verify", "main.Keyed", "--sample", "1", "--output", "json") == 1
        (table,) = json.JSONDecoder().raw_decode(built.output)[0]["tables"]
        assert (table["status"], table["missing"], table["extra"]) == ("DIFFERENT", 1, 1)
        shown.append(table["examples"])
    assert shown[0] == shown[1]
    (key,) = (text.split(": ")[2].split(",")[0] for text in shown[0][:1])
    built.sql(f"UPDATE main.keyed SET n = n - 1 WHERE k = {int(key)}")
    assert command(built, "verify", "by_key", "--sample", "1") == 0
    assert command(built, "verify", "by_key", "--sample", "2") == 1


def test_what_cannot_be_verified(built: LakeProject) -> None:
    for arguments, code, complaint in (
        (("nowhere",), 1, "Error: There is no model called 'nowhere'."),
        (("plain",), 1, "Error: Model 'plain' is no dynamic table: it is materialized as table."),
        (("never",), 1, "Error: No dynamic table is called lake.main.never."),
        (("main.nowhere",), 1, "Error: No dynamic table is called main.nowhere."),
        (("--sample", "0"), 2, "0 is not in the range x>=1"),
        (("--sample", "some"), 2, "'some' is not a valid integer range"),
    ):
        assert command(built, "verify", *arguments) == code
        assert complaint in built.output
        assert "Traceback" not in built.output
    built.file("models/broken.sql", "{{ ref('nobody') }}")
    assert command(built, "verify") == 1
    assert built.output.startswith("Error: ")
    assert "nobody" in built.output
    assert len(built.output.splitlines()) == 1
