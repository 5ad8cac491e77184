"""The same folders in a bucket that all machines share, and a verified copy of those in use on this one.

`kind/name/MANIFEST.json` makes a folder exist. It is written last, and only where none is; its own SHA-256 names where
its files are, so two writers of one name never mix theirs. What a bucket answers is checked before it is believed.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from service.errors import ArtifactCorrupt, DiskFull, NotFound, SettingsInvalid, Unavailable
from service.logs import get_logger
from service.settings import MEBIBYTE, Settings, make_folder
from service.store.artifacts import MANIFEST, OWNER, ArtifactStore, Kind, corrupt

if TYPE_CHECKING:
    from service.store.buckets import Bucket, Stored

T = TypeVar("T")
log = get_logger(__name__)
MANIFEST_BYTES = MEBIBYTE
OWNER_BYTES = 1024
IN_USE_SECONDS = 3600.0  # after it was asked for, a copy stays whatever room it takes
CACHED: tuple[Kind, ...] = ("datasets", "models", "reports")  # checkpoints stay as long as their job


def open_artifacts(settings: Settings) -> ArtifactStore:
    """The store that the settings name. Raises: SettingsInvalid."""
    make_folder(settings.artifacts_dir, "mount it, give it to this user, or name another with ARTIFACTS_URL")
    if settings.bucket_url is None:
        return ArtifactStore(settings.artifacts_dir)
    from service.store.buckets import Bucket  # its client is loaded only where there is a bucket

    return RemoteArtifacts(settings.artifacts_dir, Bucket(settings.bucket_url), settings.artifacts_cache_bytes)


class RemoteArtifacts(ArtifactStore):
    """`root` holds the copies. Of everything here: Raises Unavailable while the bucket is away."""

    def __init__(self, root: Path, bucket: "Bucket", cache_bytes: int) -> None:
        super().__init__(root)
        self._bucket, self._cache_bytes = bucket, cache_bytes

    @property
    def place(self) -> str:
        return self._bucket.url

    def owned_by(self, installation: str) -> str:
        """As in a folder. Asked first of all. Raises: SettingsInvalid that says what to set."""
        from service.store.buckets import BucketDenied, BucketMissing

        try:
            owner = self._bucket.get(OWNER, OWNER_BYTES) or self._bucket.create(OWNER, installation.encode())
            return owner.decode(errors="replace").strip()
        except ValueError:
            what = f"its {OWNER} was not written by this program; choose another prefix"
        except BucketMissing:
            what = "there is no such bucket there; make it, or correct ARTIFACTS_URL or AWS_ENDPOINT_URL"
        except BucketDenied:
            what = (
                "it refuses these keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to one that may list, read, "
                "write and delete there, and AWS_REGION to where it is"
            )
        except Unavailable as error:
            what = f"{error.message.split(';')[0]}; set AWS_ENDPOINT_URL (and AWS_REGION) to where it is, or start it"
        raise SettingsInvalid(f"ARTIFACTS_URL={self.place} cannot be used: {what}")

    # -- in and out -------------------------------------------------------------------------------------

    def _make_visible(self, staged: Path, kind: Kind, name: str) -> None:
        if self.path(kind, name).exists():
            raise FileExistsError(f"{kind}/{name} exists already")
        self._upload(staged, kind, name)
        super()._make_visible(staged, kind, name)

    def share(self, kind: Kind, name: str) -> None:
        """Makes a folder visible everywhere that a process without access to the bucket has published here.

        That process may remove it meanwhile. Again is no error. Raises: FileNotFoundError when it is gone already;
        FileExistsError when another one has that name.
        """
        with self.staging() as staged:
            _link(self.mark_used(kind, name), staged)
            self._upload(staged, kind, name)

    def _upload(self, folder: Path, kind: Kind, name: str) -> None:
        """Files that are there already, from a try that did not end, are not sent again."""
        manifest = (folder / MANIFEST).read_bytes()
        place = _place(kind, name, manifest)
        there = {found.key for found in self._bucket.list(place)}
        for relative in _files(manifest):
            if f"{place}/{relative}" not in there:
                self._bucket.upload(f"{place}/{relative}", folder / relative)
        if self._bucket.create(f"{kind}/{name}/{MANIFEST}", manifest) != manifest:
            self._remove_objects(place)
            raise FileExistsError(f"{kind}/{name} exists already")

    def read(
        self,
        kind: Kind,
        name: str,
        reader: Callable[[Path], T],
        *,
        thorough: bool = True,
        manifest_sha256: str | None = None,
    ) -> T:
        """As in a folder; a copy that is missing or damaged is fetched first, and one that does not fit its manifest
        is kept from everybody."""
        if self.path(kind, name).exists():
            try:
                self._checked(self.mark_used(kind, name), kind, name, thorough, manifest_sha256)
            except (ArtifactCorrupt, NotFound, FileNotFoundError):
                log.warning("copy_damaged", kind=kind, name=name)
                super().remove(kind, name)
        if not self.path(kind, name).exists():
            self._fetch(kind, name, manifest_sha256)
        return super().read(kind, name, reader, thorough=False, manifest_sha256=manifest_sha256)

    def _fetch(self, kind: Kind, name: str, manifest_sha256: str | None) -> None:
        manifest = self._manifest(kind, name)
        with self.staging() as staged:
            try:
                self._download(manifest, kind, name, staged)
                self._checked(staged, kind, name, True, manifest_sha256)
            except ArtifactCorrupt:
                self._manifest(kind, name)  # raises where it was removed meanwhile
                raise
            self._keep(staged, kind, name)

    def _manifest(self, kind: Kind, name: str) -> bytes:
        try:
            manifest = self._bucket.get(f"{kind}/{name}/{MANIFEST}", MANIFEST_BYTES)
        except ValueError:
            raise corrupt(kind, name, MANIFEST) from None
        if manifest is None:
            raise NotFound(f"{kind}/{name} is not stored here")
        return manifest

    def _download(self, manifest: bytes, kind: Kind, name: str, folder: Path) -> None:
        relative = MANIFEST
        try:
            sizes = _files(manifest)
            self._must_have_room(sum(sizes.values()))
            for relative, size in sizes.items():
                (folder / relative).parent.mkdir(parents=True, exist_ok=True)
                self._bucket.download(f"{_place(kind, name, manifest)}/{relative}", folder / relative, size)
        except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError):
            raise corrupt(kind, name, relative) from None  # the last three: a file's name is another one's folder
        (folder / MANIFEST).write_bytes(manifest)

    def _keep(self, staged: Path, kind: Kind, name: str) -> None:
        try:
            super()._make_visible(staged, kind, name)
        except OSError:
            if not self.path(kind, name).exists():  # else another process of this machine has fetched it too
                raise

    def _must_have_room(self, size: int) -> None:
        if size > shutil.disk_usage(self.root).free:
            raise DiskFull(f"{self.root} has no room for {size} bytes; free some, then try again", retry_after=60)

    def size(self, kind: Kind, name: str) -> int:
        self.open(kind, name, thorough=False)
        return super().size(kind, name)

    # -- what there is ----------------------------------------------------------------------------------

    def _changes(self, kind: Kind) -> Iterator[tuple[str, float]]:
        """Of the copies and of the bucket, where an upload that did not end counts too."""
        yield from super()._changes(kind)
        yield from ((PurePosixPath(found.key).parts[1], found.changed) for found in self._listed(kind))

    def _listed(self, place: str) -> "Iterator[Stored]":
        return (found for found in self._bucket.list(place) if _is_inside(found.key))

    def below(self, kind: Kind, name: str) -> set[str]:
        """The names of whole folders in a folder `name` of the bucket."""
        keys = (PurePosixPath(found.key) for found in self._listed(f"{kind}/{name}"))
        return {key.parent.relative_to(kind).as_posix() for key in keys if key.name == MANIFEST}

    def copied_below(self, kind: Kind, name: str) -> set[str]:
        """The same of those on this machine."""
        root = self.root / kind
        found = (Path(folder) for folder, _, files in os.walk(root / name) if MANIFEST in files)
        return {folder.relative_to(root).as_posix() for folder in found}

    # -- away with it -----------------------------------------------------------------------------------

    def remove(self, kind: Kind, name: str) -> None:
        """The manifest first: without it nothing is there. What a bucket that is away keeps, a later sweep finds."""
        try:
            self._bucket.delete([f"{kind}/{name}/{MANIFEST}"])
            self._remove_objects(f"{kind}/{name}")
        except Unavailable as error:
            log.warning("artifact_left", kind=kind, name=name, error=error.message)
        super().remove(kind, name)

    def _remove_objects(self, place: str) -> None:
        self._bucket.delete([found.key for found in self._bucket.list(place)])

    def sweep(self, older_than_seconds: float = 24 * 3600) -> None:
        """Also deletes the copies that were not used for longest, as long as all of them take more than they may."""
        super().sweep(older_than_seconds)
        copies = sorted(self._copies())
        too_much = sum(size for _, size, _, _ in copies) - self._cache_bytes
        for used, size, kind, name in copies:
            if too_much <= 0 or time.time() - used < IN_USE_SECONDS:
                break
            super().remove(kind, name)
            too_much -= size
            log.info("copy_removed", kind=kind, name=name)

    def _copies(self) -> Iterator[tuple[float, int, Kind, str]]:
        for kind in CACHED:
            for name, used in super()._changes(kind):  # of the copies alone
                try:
                    yield used, super().size(kind, name), kind, name
                except FileNotFoundError:
                    continue  # another process has removed it

    def mark_used(self, kind: Kind, name: str) -> Path:
        """Marks it as used now. Raises: FileNotFoundError."""
        folder = self.path(kind, name)
        os.utime(folder)
        return folder


def _link(source: Path, target: Path) -> None:
    """The same files under another name. Raises: FileNotFoundError when they are being removed."""
    try:
        shutil.copytree(source, target, copy_function=_link_or_copy, dirs_exist_ok=True)
    except shutil.Error:
        if (source / MANIFEST).exists():
            raise
        raise FileNotFoundError(source) from None


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # not every file system can
        shutil.copyfile(source, target)


def _place(kind: Kind, name: str, manifest: bytes) -> str:
    return f"{kind}/{name}/{hashlib.sha256(manifest).hexdigest()}"


def _files(manifest: bytes) -> dict[str, int]:
    """Sizes of the files that it names. Raises: ValueError for anything that we would not have written."""
    try:
        files = json.loads(manifest)["files"]
        sizes = {relative: entry["bytes"] for relative, entry in files.items()}
        sums = [entry["sha256"] for entry in files.values()]
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("no manifest") from None
    right = all(_is_inside(name) for name in sizes) and all(type(size) is int and size >= 0 for size in sizes.values())
    if not right or not all(isinstance(each, str) and re.fullmatch("[0-9a-f]{64}", each) for each in sums):
        raise ValueError("a manifest that was not written here")
    return sizes


def _is_inside(relative: str) -> bool:
    """Whether a name leads to a file in its folder, and to no other."""
    parts = relative.split("/")
    return relative != MANIFEST and all(re.fullmatch(r"(?!\.\.?$)[\w.-]{1,200}", part) for part in parts)
