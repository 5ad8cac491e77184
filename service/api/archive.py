"""A folder as a tar.gz, streamed while it is packed."""

import gzip
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

from service.store.artifacts import MANIFEST

BLOCK = 256 * 1024


def stream_archive(folder: Path, name: str) -> Iterator[bytes]:
    """The files of `folder` under `name/`, in constant memory. A client that leaves ends the packing.

    Raises: OSError where not all could be packed, though what came before looks like a whole archive: gzip and tar end
    what they began.
    """
    reading, writing = os.pipe()
    failures: list[Exception] = []
    packer = threading.Thread(target=_pack, args=(folder, name, writing, failures), daemon=True)
    packer.start()
    with os.fdopen(reading, "rb") as pipe:
        while block := pipe.read(BLOCK):
            yield block
    packer.join()
    if failures:
        raise failures[0]


def _pack(folder: Path, name: str, descriptor: int, failures: list[Exception]) -> None:
    """A thread's own exceptions reach nobody."""
    try:
        _write(folder, name, descriptor)
    except BrokenPipeError:  # the client has left
        pass
    except Exception as error:
        failures.append(error)


def _write(folder: Path, name: str, descriptor: int) -> None:
    with (
        os.fdopen(descriptor, "wb") as pipe,
        gzip.GzipFile(fileobj=pipe, mode="wb", compresslevel=1) as compressed,  # weights hardly shrink
        tarfile.open(fileobj=compressed, mode="w|") as archive,
    ):
        # listed first: one that has gone when its turn comes is to be missed, not passed over
        for path in [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST]:
            archive.add(path, f"{name}/{path.name}")
