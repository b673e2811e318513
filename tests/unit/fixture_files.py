"""Fixture pairs in ``tests/fixtures/*.sql``: ``# title: …``, options, ``input; expected;``.

A line ``# section: …`` between fixtures is a heading for those behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "fixtures"


@dataclass(frozen=True)
class Pair:
    """One fixture.

    Attributes:
        title: what it shows; unique in its file.
        input: the SQL to start from.
        expected: what must become of it.
        options: the ``# key: value`` lines behind the title.
        section: the heading that it stands under; "" if there is none.
    """

    title: str
    input: str
    expected: str
    options: dict[str, str] = field(default_factory=dict)
    section: str = ""

    @property
    def changes(self) -> dict[str, str]:
        """The option ``changes``, such as ``orders inserts, customers unchanged``."""
        words = [part.split() for part in self.options.get("changes", "").split(",")]
        return {word[0]: word[1] for word in words if word}

    def __str__(self) -> str:
        options = "".join(f"# {key}: {value}\n" for key, value in self.options.items())
        return f"# title: {self.title}\n{options}{self.input};\n{self.expected};\n"


def load(name: str) -> list[Pair]:
    """Read a fixture file.

    Raises:
        ValueError: a fixture is not a title, options and two statements; or a title stands twice.
    """
    head, *blocks = re.split(
        r"^# (?=title: |section: )", (FOLDER / f"{name}.sql").read_text(), flags=re.MULTILINE
    )
    if head.strip():
        raise ValueError(f"{name}.sql begins without a title")
    pairs: list[Pair] = []
    section = ""
    for block in blocks:
        kind, text = block.split(": ", 1)
        if kind == "section":
            section = text.strip()
        else:
            pairs.append(_pair(name, text, section))
    if len({pair.title for pair in pairs}) != len(pairs):
        raise ValueError(f"{name}.sql has a title twice")
    return pairs


def save(name: str, pairs: list[Pair]) -> None:
    """Write a fixture file."""
    texts: list[str] = []
    section = ""
    for pair in pairs:
        if pair.section != section:
            section = pair.section
            texts.append(f"# section: {section}\n")
        texts.append(str(pair))
    (FOLDER / f"{name}.sql").write_text("\n".join(texts))


def _pair(name: str, block: str, section: str) -> Pair:
    title, *lines = block.strip().split("\n")
    options: dict[str, str] = {}
    while lines and lines[0].startswith("# "):
        key, value = lines.pop(0)[2:].split(": ", 1)
        options[key] = value
    parts = ("\n".join(lines) + "\n").split(";\n")
    if len(parts) != 3 or parts[2].strip():
        raise ValueError(f"{name}.sql: {title!r} is not one pair 'input; expected;'")
    return Pair(title, parts[0], parts[1], options, section)
