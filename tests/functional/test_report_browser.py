"""The report in a real browser, without a window: what a reader would see of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from dbt.adapters.dynamic.report.page import render
from tests.unit.report_facts import many

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--hide-scrollbars",
)
_DARK = "--blink-settings=preferredColorScheme=0"
# Measures the page as it is laid out, then types into its filter.
_LOOK = """
const box = e => e.getBoundingClientRect();
const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1 &&
  a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
const apart = (a, b) => a.right <= b.left || b.right <= a.left ||
  a.bottom <= b.top || b.bottom <= a.top;
const all = (css, within = document) => [...within.querySelectorAll(css)];
const together = list => list.flatMap((a, i) => list.slice(i + 1)
  .filter(b => !apart(box(a), box(b))).map(b => a.textContent + " | " + b.textContent));
const nodes = all(".node");
const rgb = text => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
const light = text => { const [r, g, b] = rgb(text).map(v => v / 255)
  .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const back = light(getComputedStyle(document.body).backgroundColor);
const contrast = (e, key) => { const ink = light(getComputedStyle(e)[key]);
  return (Math.max(ink, back) + .05) / (Math.min(ink, back) + .05); };
const found = {
  width: innerWidth,
  page: document.documentElement.scrollWidth,
  nodes: nodes.map(n => n.dataset.name),
  resources: performance.getEntriesByType("resource").map(r => r.name),
  back,
  faint: [
    ...all("body, .soft, a, .bad").map(e => [e.className, contrast(e, "color"), 4.5]),
    ...all("svg text").map(e => [e.textContent, contrast(e, "fill"), 4.5]),
    ...all("circle.mark").map(e => ["mark", contrast(e, "fill"), 3])
  ].filter(([, found, least]) => found < least),
  cut: nodes.flatMap(n => all("text", n).filter(t => !inside(box(t), box(n.querySelector("rect"))))
    .map(t => t.textContent)),
  crossing: nodes.flatMap(n => together(all("text", n))),
  overlapping: together(nodes.map(n => n.querySelector("rect"))),
  ticks: together(all("#timeline ~ .scroll text")),
  outside: all("h1, h2, h3, p, dd, dt, li, figcaption, .charts svg, .scroll")
    .filter(e => box(e).left < 0 || box(e).right > innerWidth + 1)
    .map(e => e.outerHTML.slice(0, 80)),
  squeezed: all("dd, dt, li, h3, figcaption").filter(e => e.scrollWidth > e.clientWidth + 1)
    .map(e => e.textContent),
  headings: all("h1, h2, h3").map(h => +h.tagName[1]),
};
const input = document.getElementById("filter");
found.filter = box(input).width > 0;
input.value = "SCRIPT>";
input.dispatchEvent(new Event("input"));
found.left = all("#list tbody tr").filter(r => box(r).height > 0).map(r => r.cells[0].textContent);
const said = document.createElement("pre");
said.id = "looked";
said.textContent = JSON.stringify(found);
parent.document.body.append(said);
"""


@pytest.fixture(scope="module")
def browser() -> str:
    """The program."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return path
    pytest.skip(
        "NO BROWSER on this machine: there is no chromium on PATH (as root, make browser "
        "installs Debian's), so that nothing here looks at the report as a reader would"
    )


Look = Callable[..., tuple[dict[str, Any], list[str]]]


@pytest.fixture
def look(browser: str, tmp_path: Path) -> Look:
    """Opens a page; returns what was measured, and what the console said."""

    def opened(page: str, width: int, *options: str) -> tuple[dict[str, Any], list[str]]:
        page = page.replace("</body>", f"<script>{_LOOK}</script></body>")
        path = tmp_path / "frame.html"
        # No window is narrower than 500 pixels.
        path.write_text(
            '<!DOCTYPE html><html style="color-scheme: light dark"><meta charset="utf-8">'
            f'<iframe srcdoc="{escape(page)}" style="width: {width}px; height: 900px; border: 0">'
            "</iframe></html>",
            encoding="utf-8",
        )
        done = subprocess.run(
            [
                browser,
                *_OPTIONS,
                *options,
                f"--user-data-dir={tmp_path / 'profile'}",
                "--window-size=1300,1000",
                "--dump-dom",
                path.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        said = re.search(r'<pre id="looked">(.*?)</pre>', done.stdout, re.DOTALL)
        assert said, done.stderr
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return json.loads(unescape(said[1])), console

    return opened


@pytest.mark.parametrize(
    ("width", "options"),
    [(1200, ()), (1200, (_DARK,)), (400, ())],
    ids=["light", "dark", "narrow"],
)
def test_a_reader_sees_all_of_it(look: Look, width: int, options: tuple[str, ...]) -> None:
    facts = many(30, 400)
    found, console = look(render(facts), width, *options)
    assert console == []
    assert found["resources"] == []
    assert sorted(found["nodes"]) == sorted({name for edge in facts.edges for name in edge})
    assert found["width"] == width
    assert found["page"] == width  # only the pictures scroll sideways
    for wrong in ("cut", "crossing", "overlapping", "ticks", "outside", "squeezed", "faint"):
        assert found[wrong] == [], wrong
    assert (found["back"] < 0.1) is (_DARK in options)
    steps = zip(found["headings"], found["headings"][1:], strict=False)
    assert found["headings"][0] == 1
    assert all(after <= before + 1 for before, after in steps)
    assert found["filter"]
    assert found["left"] == ["lake.main.<script>alert(1)</script>"]


def test_what_is_wrong_would_be_found(look: Look) -> None:
    page = render(many(3, 30))
    page = page.replace("</main>", '</main><script>console.error("x")</script><img src="n.png">')
    page = page.replace('<text x="10" y="36"', '<text x="230" y="20"')
    found, console = look(page, 1200)
    assert any('"x"' in line for line in console)
    assert any("Content Security Policy" in line for line in console)
    assert found["cut"]
