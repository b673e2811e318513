"""A PostgreSQL server of the tests' own, in a temporary directory, reached by a socket there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Where distributions put the server's programs when they are not on PATH.
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
# Nothing here must survive a power failure. Idle connections cost little.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "32MB",
}


def programs() -> Path | None:
    """The folder of a PostgreSQL server's programs, the newest one, or None."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = [path for pattern in _FOLDERS for path in Path("/").glob(pattern[1:])]
    folders = [path for path in folders if (path / "initdb").exists()]
    return max(folders, key=lambda path: _version(path.parent.name), default=None)


def _version(name: str) -> int:
    digits = "".join(letter for letter in name if letter.isdigit())
    return int(digits or 0)


class PostgresServer:
    """A server that is started at once and lives until :meth:`close`.

    It listens on a socket in a folder of its own, so that no two servers can meet at one port.

    Args:
        programs: the folder of the server's programs.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Not pytest's folder: the server may run as another user, who cannot enter that.
        self._folder = Path(tempfile.mkdtemp(prefix="dbt-dynamic-pg-"))
        self._user = _other_user() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        self._data = self._folder / "data"
        try:
            self._run("initdb", "--no-sync", "--auth=trust", "--username=lake", "-D", self._data)
            self.start()
        except BaseException:
            shutil.rmtree(self._folder)
            raise

    @property
    def host(self) -> str:
        """What libpq calls the host: the socket's folder."""
        return str(self._folder)

    def fresh(self, name: str) -> str:
        """Make an empty database, in place of one of this name; returns its connection string."""
        login = ("-h", self.host, "-U", "lake")
        self._run("dropdb", "--if-exists", "--force", *login, name)
        self._run("createdb", *login, name)
        return f"dbname={name} host={self.host} user=lake"

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        settings = {**_SETTINGS, "unix_socket_directories": self.host}
        options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in settings.items())
        log = self._folder / "log"
        self._run("pg_ctl", "start", "--wait", "-D", self._data, "-l", log, "-o", options)

    def stop(self) -> None:
        """Stop the server at once; it recovers when it is started again."""
        self._run("pg_ctl", "stop", "--wait", "-m", "immediate", "-D", self._data)

    def close(self) -> None:
        """Stop the server, and remove what it kept."""
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command: Sequence[str | Path] = (self._programs / program, *arguments)
        user = self._user
        done = subprocess.run(
            command,
            cwd=self._folder,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=() if user else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # pg_ctl's server would keep a pipe open
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode:
            log = self._folder / "log"
            text = done.stderr or (log.read_text() if log.exists() else "")
            raise RuntimeError(f"{program} failed: {text}")


def _other_user() -> pwd.struct_passwd:
    """The user to run the server as, which refuses to run as root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(
        "PostgreSQL refuses to run as root, and there is no user postgres or nobody"
    )
