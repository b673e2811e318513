"""dbt in processes of their own, all on one project's lake."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.functional.project import LakeProject, responses

# A server process that forks from where dbt is ready to run: until then is most of the time.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.functional.warm", __name__])
# Longer than anything here takes on a busy machine; without it a hang would be silent.
_PATIENCE = 300.0
_MOMENT = 5.0
_STACKS = "stacks.txt"


@dataclass
class Result:
    """What one dbt command did.

    Attributes:
        success: whether dbt was content.
        output: what it printed.
        responses: the ``adapter_response`` of each node by name, or its message.
    """

    success: bool
    output: str
    responses: dict[str, Any] = field(default_factory=dict)


class DbtProcess:
    """A process that runs dbt commands, one after the other, on a project's lake.

    Args:
        project: the project, with its lake.
        folder: a new folder, for dbt's own files.
        manifest: the project as dbt has parsed it (`LakeProject.manifest`).
        environment: variables for the process.
    """

    def __init__(
        self, project: LakeProject, folder: Path, manifest: bytes, **environment: str
    ) -> None:
        self.folder = folder
        self._started_at = time.monotonic()
        folder.mkdir(parents=True)
        self.pipe, theirs = FORKS.Pipe()
        arguments = (theirs, project.folder, folder, manifest, environment)
        self.process = FORKS.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def start(self, *arguments: str) -> None:
        """Begin a dbt command."""
        self._started_at = time.monotonic()
        self.pipe.send(arguments)

    @property
    def seconds(self) -> float:
        """How long ago the last command was begun."""
        return time.monotonic() - self._started_at

    def result(self) -> Result:
        """Wait for the end of the command.

        Raises:
            EOFError: the process died.
            TimeoutError: it hangs; the message says where.
        """
        if not self.pipe.poll(_PATIENCE):
            raise TimeoutError(f"dbt does not end\n{self._stacks()}")
        try:
            result: Result = self.pipe.recv()
        except ConnectionResetError as error:  # killed before it read what was sent
            raise EOFError from error
        return result

    def run(self, *arguments: str) -> Result:
        """Run a dbt command, and wait for its end."""
        self.start(*arguments)
        return self.result()

    def _stacks(self) -> str:
        """Where its threads are."""
        file = self.folder / _STACKS
        if not file.exists():
            return "it has not begun"
        assert self.process.pid is not None  # it was started; 0 would mean everybody
        os.kill(self.process.pid, signal.SIGUSR1)
        self.process.join(_MOMENT)  # it lives on: this is the time that it has to write them
        return file.read_text() or "it writes no stacks"

    def close(self) -> None:
        """End the process, at once."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def end_orderly() -> None:
    """Let SIGTERM end this process as an exception does, so that what was started is stopped."""

    def end(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it may come twice
        sys.exit(1)

    signal.signal(signal.SIGTERM, end)


@contextlib.contextmanager
def processes(project: LakeProject, count: int) -> Iterator[list[DbtProcess]]:
    """As many processes on a project's lake, whose files stay as they are."""
    manifest = project.manifest()
    folders = [project.folder / "target" / f"process_{number}" for number in range(count)]
    started = [DbtProcess(project, folder, manifest) for folder in folders]
    try:
        yield started
    finally:
        for process in started:
            process.close()


def at_once(started: Sequence[DbtProcess], *commands: Sequence[str]) -> list[Result]:
    """Run one command in each process, at the same time; all of them must succeed."""
    for process, command in zip(started, commands, strict=True):
        process.start(*command)
    results = [process.result() for process in started]
    assert all(one.success for one in results), "\n".join(one.output for one in results)
    return results


def _work(
    pipe: Connection, project: Path, folder: Path, parsed: bytes, environment: dict[str, str]
) -> None:
    """What the process does: dbt commands, until the pipe ends."""
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    stacks = (folder / _STACKS).open("w")
    faulthandler.register(signal.SIGUSR1, stacks)
    os.environ.update(environment)
    os.chdir(project)  # paths in the profile are relative
    places = {
        "--project-dir": project,
        "--profiles-dir": project,
        "--target-path": folder,
        "--log-path": folder,
    }
    options = [str(word) for pair in places.items() for word in pair]
    manifest = Manifest.from_msgpack(parsed, decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    with contextlib.suppress(EOFError):
        while True:
            arguments = pipe.recv()
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown):
                runner = dbtRunner(manifest=manifest)
                done = runner.invoke([*arguments, *options, "--no-use-colors"])
            text = shown.getvalue() + (str(done.exception) if done.exception else "")
            pipe.send(Result(done.success, text, responses(done)))
