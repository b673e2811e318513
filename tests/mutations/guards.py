"""What keeps a refresh right beside others, each switched off: its test fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.mutations.breaks import Break, run

_FUNCTIONAL = "tests/functional"
_SECONDS = 240

BREAKS = [
    Break(
        "refresh/state.py",
        "no fence",
        'return f"UPDATE {name} SET refresh_id = {literal(refresh_id)}"',
        'return "SELECT 1"',
        f"{_FUNCTIONAL}/test_concurrency.py::test_second_writer_fails_and_starts_over",
    ),
    Break(
        "refresh/state.py",
        "the table's identity is not looked at",
        "(then.table_id, then.uuid) != (now.table_id, now.uuid)",
        "False",
        f"{_FUNCTIONAL}/test_state.py::test_an_older_table_was_swapped_in",
    ),
    Break(
        "refresh/state.py",
        "inserts beside a refresh are not looked at",
        "all(number > result and may_be_a_flush(words) for number, words in changing)",
        "all(number <= result or may_be_a_flush(words) for number, words in changing)",
        f"{_FUNCTIONAL}/test_maintain.py::test_rows_that_somebody_inserts_beside_a_refresh",
    ),
    Break(
        "refresh/planner.py",
        "what somebody did to kept aggregates is not looked at",
        "for key, kept in self._store.parts(model.key, state)[1:]:",
        "for key, kept in []:",
        f"{_FUNCTIONAL}/test_aggregate_state.py::"
        "test_a_state_that_somebody_changed_is_built_again",
    ),
    Break(
        "maintenance/maintainer.py",
        "a state is renewed without a look at the kept aggregates",
        "if not all(self._unchanged(world, part) for part in one.parts):",
        "if not self._unchanged(world, one.parts[0]):",
        f"{_FUNCTIONAL}/test_aggregate_state.py::"
        "test_a_state_is_not_renewed_over_changed_aggregates",
    ),
    Break(
        "refresh/decision.py",
        "kept aggregates that are defined otherwise are merged into",
        "kept is None or kept.fingerprint != facts.aggregates",
        "kept is None",
        "tests/unit/test_decision.py::test_kept_aggregates",
    ),
    Break(
        "incremental/normal_form/limits.py",
        "LIMIT 10 PERCENT is read as LIMIT 10",
        'only = [name for name, value in clause.args.items() if value] == ["expression"]',
        "only = True",
        "tests/unit/test_aggregate_state.py::test_what_limit_means_must_be_known",
    ),
    Break(
        "incremental/normal_form/limits.py",
        "ties at a LIMIT are left open",
        "order += [quoted(inside, column) for column in source.columns]",
        "pass",
        "tests/unit/test_aggregate_state.py::test_the_result_is_finished_from_the_state",
    ),
    Break(
        "incremental/aggregate_state.py",
        "an average is rounded once",
        "if _short(argument) or not rounds_twice():",
        "if True:",
        "tests/unit/test_aggregate_state.py::test_averages_to_the_last_bit",
    ),
    Break(
        "incremental/aggregate_state.py",
        "sums that may be too large are kept",
        "if not _summable(kinds[aggregate.argument]):",
        "if False:",
        "tests/unit/test_aggregate_state.py::test_no_state",
    ),
    Break(
        "lake/changes.py",
        "a source's identity is not looked at",
        "if table.table_id != pin.table_id or table.uuid != pin.uuid:",
        "if False:",
        f"{_FUNCTIONAL}/test_sources.py::test_dropped_and_created_source",
    ),
    Break(
        "lake/changes.py",
        "an expired watermark is not looked at",
        "if len(since) != target - pin.snapshot + 1:",
        "if False:",
        f"{_FUNCTIONAL}/test_sources.py::test_expired_watermark",
    ),
    Break(
        "refresh/known_states.py",
        "a state is not read again after somebody wrote it",
        "known is None or not _holds(known, relation, log, snapshot)",
        "known is None",
        "tests/unit/test_known_states.py",
    ),
    Break(
        "refresh/planner.py",
        "what this run has built is not told from what was seen before",
        "if seen.quiet and not built_since:",
        "if seen.quiet:",
        f"{_FUNCTIONAL}/test_look.py::test_what_a_model_builds_shows_in_those_behind_it",
    ),
    Break(
        "query/sources.py",
        "what a text means is not asked although a view's text may be another one",
        "if known is not None and not query.views:",
        "if known is not None:",
        f"{_FUNCTIONAL}/test_look.py::test_a_view_that_was_replaced",
    ),
    Break(
        "query/sources.py",
        "a text that could not be pinned can be",
        "query.pinnable = query.pinnable and known.pinnable",
        "pass",
        f"{_FUNCTIONAL}/test_state.py::test_a_text_that_cannot_be_pinned_stays_so",
    ),
    Break(
        "refresh/look.py",
        "a look is good for ever",
        "if now != self._as_of:",
        "if False:",
        f"{_FUNCTIONAL}/test_look.py::test_a_hook_changes_another_table",
    ),
    Break(
        "stop.py",
        "a statement is interrupted once",
        "while self._running:",
        "if self._running:",
        "tests/unit/test_stop.py::test_a_statement_is_interrupted_until_it_ends",
    ),
    Break(
        "stop.py",
        "nothing wakes the main thread",
        "signal.pthread_kill(main, signal.SIGURG)",
        "pass",
        "tests/unit/test_stop.py::test_an_interrupt_before_a_wait_is_heeded",
    ),
    Break(
        "refresh/merging.py",
        "rows are deleted although it is unclear which",
        "if not self._outcome.row()[0]:\n                    break",
        "if True:\n                    break",
        f"{_FUNCTIONAL}/test_merges.py::test_rows_are_found_by_few_columns",
    ),
    Break(
        "refresh/resolver.py",
        "pins go backwards",
        "(max(one, floor) for one in chosen)",
        "chosen",
        f"{_FUNCTIONAL}/test_consistency.py::test_a_table_never_goes_behind_its_own_pins",
    ),
    Break(
        "refresh/invocation.py",
        "each table of a run reads its own version",
        "known = self._base.get(database) if known is not None:",
        "self._base.pop(database, None)\n        known = None\n        if known is not None:",
        f"{_FUNCTIONAL}/test_consistency.py::"
        "test_tables_that_do_not_read_each_other_see_one_version",
    ),
    Break(
        "impl.py",
        "a table is left alone by what is asked without a turn",
        "with self.connections.lake_turn(reading=True):\n                refresh = Refresh(",
        "with contextlib.nullcontext():\n                refresh = Refresh(",
        f"{_FUNCTIONAL}/test_look.py::test_who_asks_has_a_turn",
    ),
    Break(
        "lazy.py",
        "objects of a class wait for each other",
        "value = self._compute(instance)",
        "with self.__dict__.setdefault('lock', __import__('threading').RLock()):\n"
        "            value = self._compute(instance)",
        "tests/unit/test_lazy.py",
    ),
    Break(
        "turn.py",
        "who writes does not wait",
        "self._changed.wait_for(lambda: self._writer is None and not self._readers)",
        "pass",
        "tests/unit/test_turn.py",
    ),
    Break(
        "turn.py",
        "who reads does not wait",
        "self._changed.wait_for(lambda: self._writer is None and not self._waiting_to_write)",
        "pass",
        "tests/unit/test_turn.py",
    ),
    Break(
        "connections.py",
        "transactions of one process write beside each other",
        'return bool(getattr(connection.credentials, "lakes", None))',
        "return False",
        f"{_FUNCTIONAL}/test_stress.py::test_threads",
    ),
    Break(
        "refresh/refresh.py",
        "what was computed is merged into a table that was touched since",
        "if now != plan.snapshot and self._store.touched(",
        "if now < 0 and self._store.touched(",
        f"{_FUNCTIONAL}/test_threads.py::test_table_that_is_changed_while_it_is_computed",
    ),
    Break(
        "refresh/refresh.py",
        "versions are read as if nobody had rewritten files since",
        "if self.decision.strategy is Strategy.FULL and not self._readable_as_planned():",
        "if False:",
        f"{_FUNCTIONAL}/test_threads.py::test_files_rewritten_before_a_whole_build_begins",
    ),
    Break(
        "lake/others.py",
        "maintenance compacts beside refreshes",
        'return not self.locks or self._lock("pg_try_advisory_xact_lock_shared", *tables)',
        "return True",
        f"{_FUNCTIONAL}/test_maintain_beside_others.py::"
        "test_maintenance_leaves_a_table_alone_that_is_being_refreshed",
    ),
    Break(
        "maintenance/compaction.py",
        "maintenance compacts tables that others may write to",
        "elif self._job.alone or self._others.excluded or ours:",
        "elif True:",
        f"{_FUNCTIONAL}/test_maintain_beside_others.py::"
        "test_tables_of_others_are_not_rewritten_either",
    ),
    Break(
        "lake/others.py",
        "what is committed while a transaction begins is seen in part",
        "if int(self.rows(newest)[0][0]) != self.catalog.current_snapshot():",
        "if False:",
        f"{_FUNCTIONAL}/test_maintain_beside_others.py::"
        "test_what_is_committed_while_maintenance_gets_the_lock",
    ),
    Break(
        "refresh/row_counts.py",
        "a version that lost rows is gone on from",
        "if count != pin.rows:",
        "if False:",
        f"{_FUNCTIONAL}/test_lost_rows.py",
    ),
    Break(
        "maintenance/maintainer.py",
        "files of the lake itself are deleted as orphans",
        "own = [path for path in orphans if base_name(path) in named]",
        "own = []",
        f"{_FUNCTIONAL}/test_maintain.py::test_the_lakes_own_files_are_no_orphans",
    ),
    Break(
        "maintenance/compaction.py",
        "DuckLake tries the commit of a flush again",
        'f"SET {setting} = 0"',
        'f"SET {setting} = 10"',
        f"{_FUNCTIONAL}/test_maintain_beside_others.py::"
        "test_a_flush_beside_any_commit_is_done_again",
    ),
    Break(
        "maintenance/maintainer.py",
        "snapshots expire that an open transaction began at",
        "max(self._retention.snapshots, self._retention.files)",
        "self._retention.snapshots",
        f"{_FUNCTIONAL}/test_maintain_beside_others.py::"
        "test_snapshots_stay_by_which_an_open_transaction_finds_conflicts",
    ),
    Break(
        "maintenance/maintainer.py",
        "snapshots expire that a dynamic table is pinned to",
        "floor = min([outlived + 1, *needed.values()])",
        "floor = outlived + 1",
        f"{_FUNCTIONAL}/test_maintain.py::test_snapshots_that_a_pin_needs_stay",
    ),
    Break(
        "maintenance/maintainer.py",
        "states are renewed without the fence",
        "self._rows(fence)",
        "pass",
        f"{_FUNCTIONAL}/test_maintain.py::test_renewal_and_refresh_of_the_same_table_conflict",
    ),
]


_OPTIONS = ("-q", "-n0", "--no-header", "-p", "no:cacheprovider")


def failing(folder: Path) -> list[str]:
    """The tests of guards that fail with nothing broken: they would catch anything."""
    tests = sorted({one.test for one in BREAKS})
    done = run(folder, "pytest", *_OPTIONS, *tests)
    lines = done.stdout.strip().splitlines()
    found = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return found or ([done.stdout[-500:] + done.stderr[-500:]] if done.returncode else [])


def caught(test: str, folder: Path) -> str:
    """Run a test with the broken package.

    Args:
        test: the test, as pytest names it.
        folder: a copy of the project, one guard of which is switched off.

    Returns:
        How many failed; "" if none did.

    Raises:
        RuntimeError: no test ran.
    """
    try:
        done = run(folder, "pytest", *_OPTIONS, test, seconds=_SECONDS)
    except subprocess.TimeoutExpired:  # who waits for what another one broke
        return f"by {test.rpartition('/')[2]}, which does not end"
    last = done.stdout.strip().splitlines()[-1:]
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{test}: {' '.join(last)} {done.stderr[-500:]}")
    return f"by {test.rpartition('/')[2]}" if done.returncode else ""
