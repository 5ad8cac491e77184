"""What a bucket answers is checked before it is believed."""

import hashlib
import json
from pathlib import Path

import obstore
import pytest

from parts.bucket import Door
from parts.stored_folders import CONTENT, keys, publish
from service.errors import ArtifactCorrupt, DiskFull
from service.store.artifacts import MANIFEST
from service.store.buckets import Bucket
from service.store.remote_artifacts import RemoteArtifacts


def damage(bucket: Bucket, ending: str, data: bytes) -> None:
    (key,) = [key for key in keys(bucket) if key.endswith(ending)]
    obstore.put(bucket._store, key, data)


@pytest.mark.parametrize("data", [b"9" * 10_000, b"0123456789" * 999, b"", CONTENT["weights"][:-1] + b"x"])
def test_other_files_than_its_own_are_refused(
    data: bytes, here: RemoteArtifacts, there: RemoteArtifacts, bucket: Bucket
) -> None:
    publish(here)
    damage(bucket, "/weights", data)
    with pytest.raises(ArtifactCorrupt, match="weights"):
        there.open("models", "m")
    assert not there.path("models", "m").exists()


def test_a_file_that_is_gone_is_missed(here: RemoteArtifacts, there: RemoteArtifacts, bucket: Bucket) -> None:
    publish(here)
    bucket.delete([key for key in keys(bucket) if key.endswith("/weights")])
    with pytest.raises(ArtifactCorrupt, match="weights"):
        there.open("models", "m")


def hostile(name: str, **entry: object) -> bytes:
    return json.dumps({"files": {name: {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()} | entry}}).encode()


@pytest.mark.parametrize(
    "manifest",
    [
        hostile("../escaped"),
        hostile("a/../../escaped"),
        hostile("/tmp/escaped"),
        hostile("a//escaped"),
        hostile("./escaped"),
        hostile("..\\escaped"),
        hostile("a\x00"),
        hostile(""),
        hostile(MANIFEST),
        hostile("a" * 300),
        hostile("a", bytes=-1),
        hostile("a", bytes="2"),
        hostile("a", bytes=True),
        hostile("a", sha256="../../x"),
        hostile("a", sha256=None),
        b'{"files": []}',
        b'{"files": {"a": 1}}',
        b"[]",
        b"[" * 100_000,
        b"\xff",
        hostile("a") + b" " * 2_000_000,
        b"",
    ],
)
def test_manifests_that_we_would_not_have_written_are_refused(
    manifest: bytes, there: RemoteArtifacts, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.create(f"models/m/{MANIFEST}", manifest)
    with pytest.raises(ArtifactCorrupt, match=MANIFEST):
        there.open("models", "m")
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_file_that_is_another_ones_folder_is_refused(
    names: tuple[str, str], there: RemoteArtifacts, bucket: Bucket
) -> None:
    entry = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
    bucket.create(f"models/m/{MANIFEST}", json.dumps({"files": dict.fromkeys(names, entry)}).encode())
    with pytest.raises(ArtifactCorrupt):
        there.open("models", "m")


def test_more_than_there_is_room_for_is_not_begun(there: RemoteArtifacts, bucket: Bucket, door: Door) -> None:
    bucket.create(f"models/m/{MANIFEST}", hostile("huge", bytes=10**18))
    with pytest.raises(DiskFull):
        there.open("models", "m")
    assert door.count("GET", "/huge") == 0


def test_another_folder_than_was_published_is_found_out(here: RemoteArtifacts, there: RemoteArtifacts) -> None:
    manifest = publish(here)
    here.remove("models", "m")
    publish(here, content={"weights": b"other"})
    for store in (here, there):
        with pytest.raises(ArtifactCorrupt):
            store.open("models", "m", manifest_sha256=manifest)
        assert not store.path("models", "m").exists()
