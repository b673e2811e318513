"""How results are printed: nothing is cut where they are piped; colours only on a terminal."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest

from dbt.adapters.dynamic.cli.output import print_json, print_table
from dbt.adapters.dynamic.errors import DynamicTableError
from dbt.adapters.dynamic.refresh.history import ended_like, moment

LONG = "x" * 500


class Terminal(io.StringIO):
    """A terminal, as far as a program can tell."""

    def isatty(self) -> bool:
        return True


@dataclass
class Row:
    """Something to print."""

    at: datetime


def test_piped_tables_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "n"), [("FAILED", "1"), (f"{LONG}\n  [b]", None)], right=("n",))
    heading, failed, long = capsys.readouterr().out.splitlines()
    assert heading.startswith("a ")
    assert failed.split() == ["FAILED", "1"]
    assert long == f"{LONG} [b]  -"


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    print_table(("state",), [("FAILED",)])
    assert ("\x1b[31m" in shown.getvalue()) is not no_color


def test_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"rows": [Row(datetime(2026, 11, 30, tzinfo=timezone.utc))]})
    assert json.loads(capsys.readouterr().out) == {"rows": [{"at": "2026-11-30T00:00:00+00:00"}]}


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01", "99999999999 days"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(DynamicTableError, match="accepted: a duration such as '2 days'"):
        moment(text)


def test_how_a_refresh_may_end() -> None:
    assert ended_like("failed") == "FAILED"
    with pytest.raises(DynamicTableError, match="accepted: SUCCEEDED, FAILED, SKIPPED"):
        ended_like("well")
