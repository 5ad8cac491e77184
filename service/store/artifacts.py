"""Immutable folders: data sets, checkpoints, models, reports.

Written aside, synced to disk, renamed into place with a manifest of SHA-256 sums. A folder without a
manifest, or one that does not match it, does not exist for the rest of the program.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal, TypeVar

from service.errors import ArtifactCorrupt, DiskFull, NotFound

T = TypeVar("T")
Kind = Literal["datasets", "models", "reports", "checkpoints"]
MANIFEST = "MANIFEST.json"
OWNER = "INSTALLATION"
_FORMAT = 1


class ArtifactStore:
    """A folder that all processes share. Ids are the server's own, so they are safe as file names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._aside = root / ".aside"  # on the same file system, so that a rename is one step
        self._aside.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def place(self) -> str:
        """For people: where all of it is."""
        return str(self.root)

    def owned_by(self, installation: str) -> str:
        """The installation that these folders belong to: from now on this one, if they had none."""
        owner_file = self.root / OWNER
        if not owner_file.exists():
            with self.staging() as staged:
                (staged / "claim").write_text(installation, encoding="utf-8")
                sync(staged / "claim")
                os.replace(staged / "claim", owner_file)
        return owner_file.read_text("utf-8").strip()

    def stage(self) -> Path:
        """A new empty folder to write into; `publish` it or `discard` it."""
        folder = self._aside / uuid.uuid4().hex
        folder.mkdir()
        return folder

    def publish(self, staged: Path, kind: Kind, name: str) -> str:
        """Makes a staged folder visible for good. Returns the SHA-256 of its manifest.

        Raises: FileExistsError when `name` is there already: nothing is ever overwritten.
        """
        manifest = json.dumps({"format": _FORMAT, "files": _sums(staged)}, indent=1, sort_keys=True)
        (staged / MANIFEST).write_text(manifest, encoding="utf-8")
        self._make_visible(staged, kind, name)
        return hashlib.sha256(manifest.encode()).hexdigest()

    def _make_visible(self, staged: Path, kind: Kind, name: str) -> None:
        sync(*staged.rglob("*"), staged)
        target = self.path(kind, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise FileExistsError(f"{kind}/{name} exists already")
        os.rename(staged, target)
        sync(target.parent)

    @contextmanager
    def scratch(self) -> Iterator[IO[bytes]]:
        """An empty file without a name for the block: nobody finds it when its process dies. Raises: DiskFull."""
        with self._naming_a_full_disk(), tempfile.TemporaryFile(dir=self._aside) as file:
            yield file

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A staged folder for the block, which may publish it; otherwise it is gone at the end. Raises: DiskFull."""
        staged = None
        with self._naming_a_full_disk():
            try:
                staged = self.stage()
                yield staged
            finally:
                if staged:
                    self.discard(staged)

    @contextmanager
    def _naming_a_full_disk(self) -> Iterator[None]:
        """Raises: DiskFull instead of what the library at work makes of it."""
        try:
            yield
        except Exception as error:
            if not is_full(error):
                raise
            raise DiskFull(
                f"there is no room left in {self.root}; free some, then try again", retry_after=60
            ) from error

    @contextmanager
    def writing(self, kind: Kind, name: str) -> Iterator[Path]:
        """Stages a folder for the block and publishes it at its end; on an exception nothing is left.

        Raises: DiskFull.
        """
        with self.staging() as staged:
            yield staged
            self.publish(staged, kind, name)

    def open(self, kind: Kind, name: str, *, thorough: bool = True, manifest_sha256: str | None = None) -> Path:
        """The folder, after checking it against its manifest (sizes, and SHA-256 when `thorough`).

        `manifest_sha256`: what `publish` gave; a folder that was replaced as a whole is then found out too.
        Raises: NotFound, also when it is removed meanwhile; ArtifactCorrupt with the name of the file that is wrong.
        """
        return self.read(kind, name, lambda folder: folder, thorough=thorough, manifest_sha256=manifest_sha256)

    def read(
        self,
        kind: Kind,
        name: str,
        reader: Callable[[Path], T],
        *,
        thorough: bool = True,
        manifest_sha256: str | None = None,
    ) -> T:
        """What `reader` makes of the checked folder. Raises: as `open`, whatever a reader says of files that vanish."""
        folder = self.path(kind, name)
        try:
            return reader(self._checked(folder, kind, name, thorough, manifest_sha256))
        except Exception:
            if folder.exists():
                raise
            raise NotFound(f"{kind}/{name} is not stored here") from None

    def _checked(self, folder: Path, kind: Kind, name: str, thorough: bool, manifest_sha256: str | None) -> Path:
        try:
            manifest = (folder / MANIFEST).read_bytes()
            files = json.loads(manifest)["files"]
        except FileNotFoundError:
            raise NotFound(f"{kind}/{name} is not stored here") from None
        except (ValueError, KeyError, TypeError):
            raise corrupt(kind, name, MANIFEST) from None
        if manifest_sha256 and hashlib.sha256(manifest).hexdigest() != manifest_sha256:
            raise corrupt(kind, name, MANIFEST)
        for relative, expected in files.items():
            path = folder / relative
            if not path.is_file() or path.stat().st_size != expected["bytes"]:
                raise corrupt(kind, name, relative)
            if thorough and _sha256(path) != expected["sha256"]:
                raise corrupt(kind, name, relative)
        return folder

    def size(self, kind: Kind, name: str) -> int:
        """Bytes of all files of a published folder, by its manifest."""
        files = json.loads((self.path(kind, name) / MANIFEST).read_text(encoding="utf-8"))["files"]
        return sum(int(file["bytes"]) for file in files.values())

    def path(self, kind: Kind, name: str) -> Path:
        return self.root / kind / name

    def names(self, kind: Kind, *, older_than_seconds: float = 0) -> list[str]:
        """What is stored of a kind and was last changed so long ago."""
        changes = dict(sorted(self._changes(kind), key=lambda change: change[1]))  # the last of each
        return [name for name, changed in changes.items() if time.time() - changed >= older_than_seconds]

    def _changes(self, kind: Kind) -> Iterator[tuple[str, float]]:
        folder = self.root / kind
        for path in folder.iterdir() if folder.is_dir() else ():
            with suppress(FileNotFoundError):  # removed by another process since it was listed
                yield path.name, path.stat().st_mtime

    def remove(self, kind: Kind, name: str) -> None:
        """Takes a folder away in one step, then deletes it; nothing happens when it is not there."""
        grave = self._aside / uuid.uuid4().hex
        try:
            os.rename(self.path(kind, name), grave)
        except FileNotFoundError:
            return
        self.discard(grave)

    def discard(self, staged: Path) -> None:
        shutil.rmtree(staged, ignore_errors=True)

    def forget(self, kind: Kind, name: str) -> None:
        """Removes what no row names any more. What the disk does not let go a sweep finds: the rows are right already,
        and whoever asked is told so."""
        with suppress(OSError):
            self.remove(kind, name)

    def sweep(self, older_than_seconds: float = 24 * 3600) -> None:
        """Deletes what crashed writers left aside."""
        for folder in self._aside.iterdir():
            with suppress(FileNotFoundError):  # published, or swept by another process, since it was listed
                if time.time() - folder.stat().st_mtime > older_than_seconds:
                    self.discard(folder)


@contextmanager
def must_be_stored(find_row: Callable[[], object]) -> Iterator[None]:
    """For what a row promises: a folder that the block finds gone is damage, unless the row has gone before it.

    Raises: ArtifactCorrupt; where the block raises NotFound, whatever `find_row` does.
    """
    try:
        yield
    except NotFound as error:
        find_row()
        raise ArtifactCorrupt(f"{error.message}, but should be; restore it from a backup or delete it") from None


def corrupt(kind: str, name: str, file: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{kind}/{name}: the stored file {file} is damaged; restore it from a backup or delete it")


def is_full(error: BaseException) -> bool:
    """Python's own error, or that of a library written in Rust, which has the number in its words only."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(f"(os error {number})" in str(error) for number in full)


def _sums(folder: Path) -> dict[str, dict[str, int | str]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in files
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(*paths: Path) -> None:
    """What was written there is on the disk afterwards: of a folder, the names in it."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
