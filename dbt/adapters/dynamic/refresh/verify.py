"""Verify: recompute a dynamic table's query at its recorded pins and compare both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbt.adapters.dynamic.lake.catalog import LakeCatalog
from dbt.adapters.dynamic.lake.changes import FROM_STATISTICS, Pin, misled_optimizers
from dbt.adapters.dynamic.lake.commit_log import CommitLog
from dbt.adapters.dynamic.lake.session import Session
from dbt.adapters.dynamic.names import fold, quoted
from dbt.adapters.dynamic.query.engine import Engine
from dbt.adapters.dynamic.query.sources import THROUGH_DISTINCT_ON
from dbt.adapters.dynamic.refresh.row_counts import count_of
from dbt.adapters.dynamic.refresh.state import State, Store, check_target
from dbt.adapters.dynamic.relation import RelationKey

# Digits of a floating point value that must agree: the order of additions moves the rest (I1).
_DIGITS = 9
_SHOWN = 5


@dataclass
class Verified:
    """What verify found about one dynamic table.

    Attributes:
        dynamic_table: ``database.schema.identifier``.
        status: EQUAL, DIFFERENT, or NOT_COMPARABLE.
        detail: why it is not comparable, or was not sampled, or "".
        rows: rows in the table.
        missing: rows of the query that the table lacks.
        extra: rows of the table that the query does not give.
        examples: some of these rows, as text.
        sampled_keys: how many keys were compared, if not all of the table was.
    """

    dynamic_table: str
    status: str
    detail: str = ""
    rows: int = 0
    missing: int = 0
    extra: int = 0
    examples: list[str] = field(default_factory=list)
    sampled_keys: int | None = None

    @property
    def names(self) -> set[str]:
        """The names by which a user may ask for it, folded."""
        name = fold(self.dynamic_table)
        _, _, rest = name.partition(".")
        return {name, rest, rest.rpartition(".")[2]}

    @property
    def line(self) -> str:
        """One line for the terminal."""
        sample = "" if self.sampled_keys is None else f" in a sample of {self.sampled_keys:,} keys"
        if self.status == "EQUAL":
            detail = f"; {self.detail}" if self.detail else ""
            return f"{self.dynamic_table}: equal{sample} ({self.rows:,} rows{detail})"
        if self.status == "DIFFERENT":
            return (
                f"{self.dynamic_table}: DIFFERENT{sample} ({self.missing:,} rows missing, "
                f"{self.extra:,} rows too many)"
            )
        return f"{self.dynamic_table}: not comparable ({self.detail})"


class Verifier:
    """Verifies the dynamic tables of one lake.

    Args:
        session: the connection that holds the transaction.
        catalog: the lake.
        lakes: all attached lakes by folded name.
        sample: of so many keys the rows are compared, of a table that has keys; of all rows by
            default.
        progress: told of each table before it is compared, how many of the lake's are done, and
            how many there are.
    """

    def __init__(
        self,
        session: Session,
        catalog: LakeCatalog,
        lakes: Mapping[str, LakeCatalog],
        sample: int | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self._rows = session.rows
        self._catalog = catalog
        self._lakes = lakes
        self._log = CommitLog(lakes)
        self._engine = Engine(session.rows, session.aside)
        self._disable = session.disable
        self._sample = sample
        self._progress = progress

    def verify(self, names: list[str] | None = None) -> list[Verified]:
        """Verify all dynamic tables, or the ones that are called so.

        Args:
            names: ``database.schema.identifier``, ``schema.identifier`` or ``identifier``, in
                any case.
        """
        wanted = {fold(name) for name in names or []}
        snapshot = self._catalog.current_snapshot()
        store = Store(self._rows, self._catalog)
        tables = []
        for schema, table in store.names(snapshot):
            one = Verified(".".join((self._catalog.database, schema, table)), "NOT_COMPARABLE")
            if not wanted or one.names & wanted:
                tables.append((one, (fold(self._catalog.database), schema, table)))
        found = []
        for done, (one, key) in enumerate(tables):
            if self._progress is not None:
                self._progress(one.dynamic_table, done, len(tables))
            state = store.read(key, snapshot)
            if state is not None:
                self._verify(one, key, state, snapshot)
                found.append(one)
        return found

    def _verify(self, one: Verified, key: RelationKey, state: State, snapshot: int) -> None:
        commits = self._catalog.commits(state.base_snapshot, snapshot)
        check = check_target(self._catalog, state, key, commits, snapshot)
        if self._catalog.view(key[1], key[2], snapshot) is not None:
            one.detail = "a view has its name now; dbt run builds what the project says"
        elif self._catalog.table(key[1], key[2], snapshot) is None:
            one.detail = "the table is gone; dbt run builds it again"
        elif check.stale or check.altered:
            stale = check.stale or "its columns were changed"
            one.detail = f"{stale}; dbt run builds a dynamic table anew"
        elif not state.initialized:
            one.detail = "it was created without its rows; the next refresh fills it"
        elif not state.comparable:
            one.detail = "its query gives another answer each time it runs"
        else:
            lost = [pin.source for pin in state.pins if not self._readable(pin)]
            if lost:
                one.detail = (
                    f"the pinned snapshot of {', '.join(lost)} has expired, or its files were "
                    "rewritten and merged or flushed since"
                )
            else:
                one.detail = self._lost_rows(state)
                if not one.detail:
                    self._compare(one, key, state)

    def _lost_rows(self, state: State) -> str:
        """Which version that the table was built from has lost rows since, or ""."""
        for pin in state.pins:
            ((count,),) = self._rows(count_of([pin]))
            if pin.rows not in (None, count):
                return (
                    f"{pin.source} had {pin.rows:,} rows when it was read and has {count:,} in "
                    "that version now, by a defect of DuckLake; the next refresh builds it anew"
                )
        return ""

    def _readable(self, pin: Pin) -> bool:
        lake = self._lakes.get(fold(pin.database))
        if lake is None:
            return False
        table = lake.table(pin.schema, pin.name, pin.snapshot)
        if table is None or table.uuid != pin.uuid:  # the lake was made anew
            return False
        commits = self._log.since(fold(pin.database), pin.snapshot)
        self._disable(misled_optimizers([pin.table_id], commits) | FROM_STATISTICS)
        return self._log.readable(fold(pin.database), pin.table_id, pin.snapshot)

    def _compare(self, one: Verified, key: RelationKey, state: State) -> None:
        target = quoted(*key)
        stored = self._engine.describe(f"SELECT * FROM {target}")
        columns = [(name, kind) for name, kind in stored]
        one.rows = int(self._rows(f"SELECT count(*) FROM {target}")[0][0])
        if "distinct" in state.pinned_definition.lower():
            self._disable(THROUGH_DISTINCT_ON)
        keys = self._keys_to_sample(one, state, columns, target)
        sampled = self._sampled(target, keys) if keys else ""
        for shift in ("0.0", "0.5"):
            # A value on the edge between two roundings must not count as a difference: only what
            # differs under both roundings does.
            (one.missing, missing), (one.extra, extra) = (
                self._rows(
                    f"WITH {sampled}different AS MATERIALIZED "
                    f"({self._difference(columns, left, right, shift, keys)}) "
                    "SELECT (SELECT count(*) FROM different), "
                    f"ARRAY(SELECT different FROM different LIMIT {_SHOWN})"
                )[0]
                for left, right in (
                    (f"({state.pinned_definition}\n)", target),
                    (target, f"({state.pinned_definition}\n)"),
                )
            )
            if not one.missing and not one.extra:
                one.status = "EQUAL"
                return
        one.status = "DIFFERENT"
        one.examples = [f"missing: {_text(row)}" for row in missing]
        one.examples += [f"too many: {_text(row)}" for row in extra]

    def _keys_to_sample(
        self, one: Verified, state: State, columns: list[tuple[str, str]], target: str
    ) -> list[tuple[str, str]]:
        """The key columns, and their types, by which to sample; none to compare all rows."""
        if self._sample is None:
            return []
        wanted = {fold(key) for key in state.keys}
        keys = [(name, kind) for name, kind in columns if fold(name) in wanted]
        if not keys:
            one.detail = "compared as a whole: a sample is one of keys, and it has none"
            return []
        names = ", ".join(quoted(name) for name, _ in keys)
        ((count,),) = self._rows(f"SELECT count(*) FROM (SELECT DISTINCT {names} FROM {target})")
        one.sampled_keys = min(int(count), self._sample)
        return keys

    def _sampled(self, target: str, keys: list[tuple[str, str]]) -> str:
        """The sample: always the same keys of the same rows, spread over all of them."""
        names = ", ".join(quoted(name) for name, _ in keys)
        return (
            f"sampled AS MATERIALIZED (SELECT {names} FROM {target} GROUP BY {names} "
            f"ORDER BY hash({names}), {names} LIMIT {self._sample:d}), "
        )

    def _difference(
        self,
        columns: list[tuple[str, str]],
        left: str,
        right: str,
        shift: str,
        keys: list[tuple[str, str]],
    ) -> str:
        def listed(alias: str) -> str:
            return ", ".join(
                f"{_comparable(f'{alias}.{quoted(name)}', kind, shift)} AS {quoted(name)}"
                for name, kind in columns
            )

        def among(alias: str) -> str:
            """Only the rows of the sampled keys, which are in the types that are stored."""
            same = " AND ".join(
                f"CAST({alias}.{quoted(name)} AS {kind}) IS NOT DISTINCT FROM "
                f"sampled.{quoted(name)}"
                for name, kind in keys
            )
            return f" SEMI JOIN sampled ON {same}" if keys else ""

        return (
            f"SELECT {listed('a')} FROM {left} AS a{among('a')} "
            f"EXCEPT ALL SELECT {listed('b')} FROM {right} AS b{among('b')}"
        )


def _comparable(column: str, kind: str, shift: str) -> str:
    """A column in its stored type, a float rounded to the digits that must agree."""
    value = f"CAST({column} AS {kind})"
    if kind not in ("DOUBLE", "FLOAT"):
        return value
    scale = f"pow(10, {_DIGITS - 1} - floor(log10(abs({value}))))"
    rounded = f"floor({value} * {scale} + {shift}) / {scale}"
    return f"CASE WHEN {value} = 0 OR NOT isfinite({value}) THEN {value} ELSE {rounded} END"


def _text(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in row.items())
