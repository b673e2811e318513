"""One version of every base table among the ancestors of a table (design.md §7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dbt.adapters.dynamic.refresh.invocation import Invocation
from tests.functional.project import LakeProject

ORDERS = "SELECT i AS id, i % 10 AS customer, i % 7 AS amount FROM range(200) r(i)"
METRICS = "SELECT customer, sum(amount)::BIGINT AS total FROM {orders} GROUP BY customer"
HIGH = (
    "SELECT o.id, o.amount, m.total FROM {orders} AS o JOIN {{{{ ref('metrics') }}}} AS m "
    "ON o.customer = m.customer WHERE m.total > 10"
)
SOURCE = "{{ source('raw', 'orders') }}"


@pytest.fixture
def diamond(project: LakeProject) -> LakeProject:
    """orders -> metrics -> high, and orders -> high; built."""
    project.source("orders", ORDERS)
    project.model("metrics", METRICS.format(orders=SOURCE))
    project.model("high", HIGH.format(orders=SOURCE))
    project.run()
    return project


def pins(project: LakeProject, model: str) -> dict[str, int]:
    """The snapshot of each source of a model, by the source's name."""
    rows = project.sql(
        "SELECT split_part(source_table, '.', 3), last_snapshot FROM dbt_dynamic.source_snapshots "
        f"WHERE dynamic_table = 'lake.main.{model}'"
    )
    return dict(rows)


def warned(project: LakeProject) -> bool:
    return "at more than one version" in " ".join(project.output.split())


def seen(response: dict[str, Any], source: str = "lake.raw.orders") -> int:
    """At which snapshot a refresh read a source."""
    snapshot: int = response["source_snapshots"][source]
    return snapshot


def test_all_tables_of_an_invocation_see_one_version(diamond: LakeProject) -> None:
    """A hook stands for somebody who writes while dbt runs."""
    diamond.model(
        "metrics",
        METRICS.format(orders=SOURCE),
        post_hook="INSERT INTO raw.orders VALUES (1000, 3, 100)",
    )
    diamond.sql("UPDATE raw.orders SET amount = 50 WHERE id = 5")
    done = diamond.run()
    assert seen(done["metrics"]) == seen(done["high"])
    assert diamond.sql("SELECT count(*) FROM main.high WHERE id = 1000") == [(0,)]
    assert not warned(diamond)


def test_tables_that_do_not_read_each_other_see_one_version(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    for name in ("one", "other"):
        hook = "INSERT INTO raw.orders VALUES (1000, 3, 100)"
        project.model(name, METRICS.format(orders=SOURCE), post_hook=hook)
    done = project.run()
    assert seen(done["one"]) == seen(done["other"])


def test_part_of_a_project_reads_what_its_upstream_was_built_from(diamond: LakeProject) -> None:
    diamond.sql("INSERT INTO raw.orders VALUES (1000, 3, 100)")
    done = diamond.run("--select", "high")
    assert done["high"]["refresh_action"] == "NO_DATA"
    assert not warned(diamond)
    # A whole build of a part, too.
    done = diamond.run("--select", "high", "--full-refresh")
    assert seen(done["high"]) == pins(diamond, "metrics")["orders"]
    assert diamond.sql("SELECT count(*) FROM main.high WHERE id = 1000") == [(0,)]
    done = diamond.run()
    assert {one["refresh_action"] for one in done.values()} == {"INCREMENTAL"}
    assert seen(done["metrics"]) == seen(done["high"])
    assert diamond.sql("SELECT count(*) FROM main.high WHERE id = 1000") == [(1,)]


def test_versions_are_shared_through_chains(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.model("metrics", METRICS.format(orders=SOURCE))
    project.model("above", "SELECT customer, total + 1 AS total FROM {{ ref('metrics') }}")
    project.model(
        "high",
        f"SELECT o.id, a.total FROM {SOURCE} AS o JOIN {{{{ ref('above') }}}} AS a "
        "ON o.customer = a.customer",
    )
    project.run()
    built_from = pins(project, "metrics")["orders"]
    project.sql("INSERT INTO raw.orders VALUES (1000, 3, 100)")
    done = project.run("--select", "high", "--full-refresh")
    assert seen(done["high"]) == built_from
    # In a later process all of that is read from the state.
    ((bases,),) = project.sql(
        "SELECT arg_max(bases, base_snapshot) FROM dbt_dynamic.state_log WHERE table_name = 'high'"
    )
    assert json.loads(bases) == [["lake", "raw", "orders", [built_from]]]


def test_upstream_tables_that_disagree_are_named(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.source("other", "SELECT 1 AS one")
    for name in ("first", "second"):
        project.model(name, METRICS.format(orders=SOURCE))
    project.model(
        "both",
        "SELECT a.customer, a.total, b.total AS other FROM {{ ref('first') }} AS a "
        "JOIN {{ ref('second') }} AS b ON a.customer = b.customer",
    )
    project.run()
    old = pins(project, "first")["orders"]
    # What happens to other tables is no other version.
    project.sql("INSERT INTO raw.other VALUES (2)")
    project.run("--select", "second both", "--full-refresh")
    assert not warned(project)
    project.sql("INSERT INTO raw.orders VALUES (1000, 3, 100)")
    project.run("--select", "second")
    new = pins(project, "second")["orders"]
    done = project.run("--select", "both")
    assert done["both"]["refresh_action"] == "INCREMENTAL"  # as well as can be
    assert (
        "Model 'both' sees lake.raw.orders at more than one version: lake.main.first at snapshot "
        f"{old}, lake.main.second at snapshot {new}. It is equal to its query at these; dbt run "
        "--select +both brings them to one."
    ) in " ".join(project.output.split())
    project.run("--select", "+both")
    assert not warned(project)


def test_latest_reads_every_source_at_its_newest(diamond: LakeProject) -> None:
    diamond.model("high", HIGH.format(orders=SOURCE), consistency="latest")
    diamond.sql("INSERT INTO raw.orders VALUES (1000, 3, 100)")
    done = diamond.run("--select", "high")
    assert done["high"]["refresh_action"] == "INCREMENTAL"
    assert diamond.sql("SELECT count(*) FROM main.high WHERE id = 1000") == [(1,)]
    assert not warned(diamond)
    # A table never goes behind its own pins.
    latest = pins(diamond, "high")["orders"]
    diamond.model("high", HIGH.format(orders=SOURCE))
    done = diamond.run("--select", "high")
    assert seen(done["high"]) == latest
    assert warned(diamond)
    done = diamond.run("--select", "high", "--full-refresh")
    assert seen(done["high"]) == latest


def test_latest_reads_what_was_committed_during_the_invocation(diamond: LakeProject) -> None:
    diamond.model(
        "high",
        HIGH.format(orders=SOURCE),
        consistency="latest",
        pre_hook="INSERT INTO raw.orders VALUES (1000, 3, 100)",
    )
    diamond.run()
    assert diamond.sql("SELECT count(*) FROM main.high WHERE id = 1000") == [(1,)]


def test_shared_version_that_has_expired_is_not_read(diamond: LakeProject) -> None:
    diamond.sql(
        "INSERT INTO raw.orders VALUES (1000, 3, 100)",
        "CALL ducklake_expire_snapshots('lake', older_than => now() + INTERVAL 1 DAY)",
    )
    # Nobody can evaluate metrics at its pins any more.
    check, diamond.check = diamond.check, lambda: None  # type: ignore[method-assign]
    done = diamond.run("--select", "high")
    diamond.check = check  # type: ignore[method-assign]
    assert done["high"]["refresh_action"] == "REINITIALIZE"
    assert diamond.sql("SELECT count(*) FROM main.high WHERE id = 1000") == [(1,)]
    assert warned(diamond)
    assert diamond.run()["metrics"]["refresh_action"] == "REINITIALIZE"
    assert not warned(diamond)


def test_shared_version_that_the_query_does_not_fit(diamond: LakeProject) -> None:
    diamond.sql("ALTER TABLE raw.orders ADD COLUMN note VARCHAR DEFAULT 'none'")
    diamond.model("high", HIGH.replace("o.amount", "o.note").format(orders=SOURCE))
    done = diamond.run("--select", "high")
    assert done["high"]["reason_code"] == "DEFINITION_CHANGED"
    assert warned(diamond)


def test_what_the_invocation_built_is_read_at_its_result(project: LakeProject) -> None:
    project.source("orders", ORDERS)
    project.model("staged", f"SELECT * FROM {SOURCE}", materialized="table")
    project.model("metrics", METRICS.format(orders="{{ ref('staged') }}"))
    project.model("high", HIGH.format(orders="{{ ref('staged') }}"))
    project.run()
    project.sql("INSERT INTO raw.orders VALUES (1000, 3, 100)")
    project.run("--select", "staged high")
    assert project.sql("SELECT count(*) FROM main.high WHERE id = 1000") == [(1,)]
    assert warned(project)  # metrics is of the table before
    project.run()
    assert not warned(project)


def test_a_table_never_goes_behind_its_own_pins(
    diamond: LakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have refreshed it, after this one noted its base snapshots."""
    older = diamond.sql("SELECT max(snapshot_id) FROM lake.snapshots()")[0][0]
    diamond.sql("UPDATE raw.orders SET amount = 50 WHERE id = 5")
    diamond.run()
    newer = pins(diamond, "metrics")
    monkeypatch.setattr(
        Invocation, "base", lambda self, lake, _: self._base.setdefault(lake, older)
    )
    done = diamond.run("--select", "metrics")
    assert done["metrics"]["refresh_action"] == "NO_DATA"
    assert pins(diamond, "metrics") == newer
