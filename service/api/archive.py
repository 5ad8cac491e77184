"""A folder as a tar.gz, streamed while it is packed."""

import gzip
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

from service.store.artifacts import MANIFEST

BLOCK = 256 * 1024


def stream_archive(folder: Path, name: str, made_at: float) -> Iterator[bytes]:
    """The files of `folder` under `name/`, in constant memory. A client that leaves ends the packing.

    It tells nothing of this machine, so the same files always make the same archive. `made_at`: their time in it, in
    seconds since 1970.
    Raises: OSError where not all could be packed, though what came before looks like a whole archive: gzip and tar end
    what they began.
    """
    reading, writing = os.pipe()
    failures: list[Exception] = []
    packer = threading.Thread(target=_pack, args=(folder, name, int(made_at), writing, failures), daemon=True)
    packer.start()
    with os.fdopen(reading, "rb") as pipe:
        while block := pipe.read(BLOCK):
            yield block
    packer.join()
    if failures:
        raise failures[0]


def _pack(folder: Path, name: str, made_at: int, descriptor: int, failures: list[Exception]) -> None:
    """A thread's own exceptions reach nobody."""
    try:
        _write(folder, name, made_at, descriptor)
    except BrokenPipeError:  # the client has left
        pass
    except Exception as error:
        failures.append(error)


def _write(folder: Path, name: str, made_at: int, descriptor: int) -> None:
    def of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        return entry.replace(uid=0, gid=0, uname="", gname="", mode=0o644, mtime=made_at, deep=False)

    with (
        os.fdopen(descriptor, "wb") as pipe,
        gzip.GzipFile(fileobj=pipe, mode="wb", compresslevel=1, mtime=0) as compressed,  # weights hardly shrink
        tarfile.open(fileobj=compressed, mode="w|") as archive,
    ):
        # listed first: one that has gone when its turn comes is to be missed, not passed over
        for path in [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST]:
            archive.add(path, f"{name}/{path.name}", filter=of_nobody)
