"""A folder as a tar.gz, streamed while it is packed."""

import contextlib
import gzip
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

from service.store.artifacts import MANIFEST

BLOCK = 256 * 1024


def stream_archive(folder: Path, name: str) -> Iterator[bytes]:
    """The files of `folder` under `name/`, in constant memory. A client that leaves ends the packing."""
    reading, writing = os.pipe()
    packer = threading.Thread(target=_pack, args=(folder, name, writing), daemon=True)
    packer.start()
    with os.fdopen(reading, "rb") as pipe:
        while block := pipe.read(BLOCK):
            yield block
    packer.join()


def _pack(folder: Path, name: str, descriptor: int) -> None:
    with (
        contextlib.suppress(BrokenPipeError),  # the client has left
        os.fdopen(descriptor, "wb") as pipe,
        gzip.GzipFile(fileobj=pipe, mode="wb", compresslevel=1) as compressed,  # weights hardly shrink
        tarfile.open(fileobj=compressed, mode="w|") as archive,
    ):
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name != MANIFEST:
                archive.add(path, f"{name}/{path.name}")
