"""The report: its figures, where things stand in its pictures, and its file."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.report import figures
from dbt.adapters.dynamic.report.drawing import duration_bars, graph, key_bars
from dbt.adapters.dynamic.report.facts import Facts
from dbt.adapters.dynamic.report.page import render, write
from tests.unit.report_facts import AT, many, refresh, table


def _facts(*tables, edges=(), refreshes=()):  # type: ignore[no-untyped-def]
    return Facts(AT, tables, tuple(edges), tuple(refreshes), len(refreshes))


def test_time_saved() -> None:
    builds = [refresh("t", "FULL", 1000), refresh("t", "REINITIALIZE", 3000)]
    merges = [refresh("t", duration_ms=200), refresh("t", duration_ms=400)]
    assert figures.saved_ms([*builds, *merges]) == 2 * 2000 - 600
    assert figures.saved_ms(builds) == 0
    failed = refresh("t", "FAILED", 9000)
    assert figures.saved_ms([*builds, *merges, failed]) == 2 * 2000 - 600
    slow = [refresh("t", duration_ms=5000)]
    assert figures.saved_ms([*builds, *slow]) == 2000 - 5000


@pytest.mark.parametrize(
    "builds",
    [
        [],
        [refresh("t", "FULL", 1000)],
        [refresh("t", "FULL", 1000), refresh("t", "FULL", 1, code="EMPTY_FLAG")],
        # As initialize: on_schedule does it.
        [refresh("t", "FULL", 1000), refresh("t", "FULL", 1, code="FIRST_BUILD", rows=0)],
    ],
)
def test_time_saved_is_unknown(builds: list) -> None:  # type: ignore[type-arg]
    assert figures.saved_ms([*builds, refresh("t")]) is None


def test_reasons_are_counted() -> None:
    counted = figures.reasons(
        [
            refresh("a", "FULL", code="OVER_THRESHOLD", reason="newest"),
            refresh("b", "FULL", code="FIRST_BUILD"),
            refresh("A", "FULL", code="OVER_THRESHOLD", reason="older"),
            refresh("a", code="SOURCE_CHANGED"),
            refresh("a", "FAILED"),
        ]
    )
    assert [(one.code, one.count, one.tables) for one in counted] == [
        ("OVER_THRESHOLD", 2, 1),
        ("FIRST_BUILD", 1, 1),
    ]
    assert counted[0].example.reason == "newest"


def test_graph_stands_left_to_right_without_overlap() -> None:
    facts = many(40, 100)
    drawn = graph(figures.rows(facts), facts.edges)
    at = {node.name: (node.x, node.y) for node in drawn.nodes}
    assert set(at) == {name for edge in facts.edges for name in edge}
    assert all(at[edge.upstream][0] < at[edge.downstream][0] for edge in drawn.edges)
    assert len(drawn.edges) == len(facts.edges)
    assert len(set(at.values())) == len(at)


def test_graph_of_a_circle_ends() -> None:
    facts = _facts(table("a"), table("b"), edges=[("a", "b"), ("b", "a"), ("a", "a")])
    assert len(graph(figures.rows(facts), facts.edges).nodes) == 2


def test_bars() -> None:
    newest_first = [refresh("t", duration_ms=50, keys=None), refresh("t", duration_ms=100, keys=7)]
    bars = duration_bars(newest_first)
    assert [bar.height for bar in bars.bars] == [80, 40]
    assert bars.highest == "100 ms"
    assert [bar.refresh.affected_keys for bar in key_bars(newest_first).bars] == [7]
    assert duration_bars([]).bars == ()
    assert [bar.height for bar in duration_bars([refresh("t", duration_ms=0)]).bars] == [1]


class _Tags(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_any_name_and_text_is_only_text() -> None:
    name = "lake.main.x\"'><script>alert(1)</script><img src=x onerror=y>{{ 7*7 }}表"
    failed = refresh(name, "FAILED", reason="</style></script><b>no</b>")
    built = refresh(name, "FULL", code="<i>", reason="</title><svg onload=z>")
    facts = _facts(
        table(name, "<u>soon"), edges=[(f"{name}<up>", name)], refreshes=[failed, built]
    )
    page = _Tags(render(facts))
    plain = _Tags(render(_facts(table("t"), edges=[("s", "t")], refreshes=[])))
    assert {tag for tag, _ in page.tags} - {tag for tag, _ in plain.tags} <= {
        "line",
        "summary",
        "details",
        "section",
        "h3",
        "figure",
        "figcaption",
        "br",
    }
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not [key for _, keys in page.tags for key in keys if key.startswith("on")]
    assert name in page.text
    assert name in [keys.get("data-name") for _, keys in page.tags]


def test_nothing_is_loaded() -> None:
    page = _Tags(render(many(3, 30)))
    assert not [
        (tag, keys) for tag, keys in page.tags if {"src", "srcset", "action"} & keys.keys()
    ]
    assert not {"link", "iframe", "object", "embed", "img"} & {tag for tag, _ in page.tags}
    assert all(str(keys["href"]).startswith("#") for _, keys in page.tags if "href" in keys)
    assert set(re.findall(r"url\(\S", render(many(3, 30)))) == {"url(#"}
    assert "://" not in render(many(3, 30))


def test_links_and_labels_lead_somewhere() -> None:
    page = _Tags(render(many(3, 30)))
    ids = [keys["id"] for _, keys in page.tags if "id" in keys]
    assert len(ids) == len(set(ids))
    wanted = [str(keys["href"])[1:] for _, keys in page.tags if "href" in keys]
    wanted += [str(keys["aria-labelledby"]) for _, keys in page.tags if "aria-labelledby" in keys]
    assert wanted
    assert set(wanted) <= set(ids)
    unnamed = [
        keys
        for tag, keys in page.tags
        if tag == "svg" and not {"aria-label", "aria-hidden"} & {*keys}
    ]
    assert not unnamed


def test_no_table_and_no_refresh() -> None:
    none = _Tags(render(_facts())).text
    assert "There are no dynamic tables" in none
    one = _Tags(render(_facts(table("lake.main.t")))).text
    assert "none recorded" in one
    assert "Unknown: no table was built as a whole at least twice." in one


def test_what_is_left_out_is_said() -> None:
    page = render(many(200, 10_000))
    text = " ".join(_Tags(page).text.split())
    assert "60 of 200 dynamic tables are drawn" in text
    assert "The newest 1,000 refreshes of the 40 tables refreshed last are drawn." in text
    assert "40 of 200 tables are shown" in text
    assert "The newest 100 of 10,000 refreshes as a list" in text
    assert text.count("ACTIVE") == 200  # the list is whole
    assert len(page) < 1_500_000
    facts = many(2, 10)
    less = Facts(AT, facts.tables, facts.edges, facts.refreshes, 50)
    assert "Only the newest 10 of 50 recorded refreshes" in _Tags(render(less)).text


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write(path, "old")
    path.chmod(0o640)
    (tmp_path / "link.html").symlink_to(path)
    write(tmp_path / "link.html", "new 表 \ud800")
    assert path.read_text(encoding="utf-8") == "new 表 ?"
    assert path.stat().st_mode & 0o777 == 0o640

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DynamicTableError, match=r"cannot be written: No space left.*--output"):
        write(path, "newer")
    assert path.read_text(encoding="utf-8") == "new 表 ?"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.html", "report.html"]
