"""Small folders in a store, and what is in them."""

from collections.abc import Callable
from pathlib import Path

from service.store.artifacts import MANIFEST, ArtifactStore
from service.store.buckets import Bucket
from service.store.remote_artifacts import RemoteArtifacts

Machine = Callable[[str], RemoteArtifacts]  # by its name: each has a disk of its own
CONTENT = {"weights": b"0123456789" * 1000, "sub/config.json": b"{}", "empty": b""}


def publish(store: ArtifactStore, name: str = "m", content: dict[str, bytes] = CONTENT) -> str:
    with store.staging() as folder:
        for relative, data in content.items():
            (folder / relative).parent.mkdir(exist_ok=True)
            (folder / relative).write_bytes(data)
        return store.publish(folder, "models", name)


def read(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def keys(bucket: Bucket, folder: str = "models") -> list[str]:
    return sorted(found.key for found in bucket.list(folder))
