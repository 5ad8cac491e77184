import json
import os
import time
from pathlib import Path

import pytest

from service.errors import ArtifactCorrupt, NotFound
from service.store.artifacts import MANIFEST, OWNER, ArtifactStore, must_be_stored


def publish(store: ArtifactStore, name: str = "m") -> Path:
    with store.writing("models", name) as folder:
        (folder / "weights").write_bytes(b"0123456789" * 100)
        (folder / "sub").mkdir()
        (folder / "sub" / "config").write_text("{}")
    return store.path("models", name)


def test_whoever_claims_the_folder_first_owns_it(artifacts: ArtifactStore) -> None:
    assert artifacts.owned_by("ins_1") == "ins_1"
    assert ArtifactStore(artifacts.root).owned_by("ins_2") == "ins_1"
    assert sorted(path.name for path in artifacts.root.iterdir()) == [".aside", OWNER]


def test_what_was_published_can_be_opened(artifacts: ArtifactStore) -> None:
    publish(artifacts)
    folder = artifacts.open("models", "m")
    assert (folder / "sub" / "config").read_text() == "{}"
    assert set(json.loads((folder / MANIFEST).read_text())["files"]) == {"weights", "sub/config"}


def test_nothing_is_seen_before_it_is_whole(artifacts: ArtifactStore) -> None:
    with artifacts.writing("models", "m") as folder:
        (folder / "weights").write_bytes(b"half")
        with pytest.raises(NotFound):
            artifacts.open("models", "m")
    artifacts.open("models", "m")


def test_a_failed_write_leaves_nothing(artifacts: ArtifactStore) -> None:
    def write_until_the_disk_is_full() -> None:
        with artifacts.writing("models", "m") as folder:
            (folder / "weights").write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk"):
        write_until_the_disk_is_full()
    assert [path for path in artifacts.root.rglob("*") if path.is_file()] == []


def test_nothing_is_ever_overwritten(artifacts: ArtifactStore) -> None:
    publish(artifacts)
    with pytest.raises(FileExistsError):
        publish(artifacts)
    artifacts.open("models", "m")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(bytes(data))


def fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, fill_with_zeros, os.unlink])
def test_a_damaged_file_is_named(artifacts: ArtifactStore, damage: object) -> None:
    folder = publish(artifacts)
    assert callable(damage)
    damage(folder / "weights")
    with pytest.raises(ArtifactCorrupt, match="weights"):
        artifacts.open("models", "m")


def test_a_damaged_manifest_is_named(artifacts: ArtifactStore) -> None:
    folder = publish(artifacts)
    truncate(folder / MANIFEST)
    with pytest.raises(ArtifactCorrupt, match=MANIFEST):
        artifacts.open("models", "m")


def test_a_folder_that_is_whole_but_another_is_found_out(artifacts: ArtifactStore) -> None:
    with artifacts.staging() as folder:
        (folder / "weights").write_bytes(b"ours")
        ours = artifacts.publish(folder, "models", "m")
    artifacts.open("models", "m", manifest_sha256=ours)
    artifacts.remove("models", "m")
    publish(artifacts)
    artifacts.open("models", "m")
    with pytest.raises(ArtifactCorrupt, match=MANIFEST):
        artifacts.open("models", "m", manifest_sha256=ours)


def test_a_folder_without_a_manifest_does_not_exist(artifacts: ArtifactStore) -> None:
    (publish(artifacts) / MANIFEST).unlink()
    with pytest.raises(NotFound):
        artifacts.open("models", "m")


def test_removed_things_are_gone_and_removing_again_is_no_error(artifacts: ArtifactStore) -> None:
    publish(artifacts)
    artifacts.remove("models", "m")
    artifacts.remove("models", "m")
    assert [path for path in artifacts.root.rglob("*") if path.is_file()] == []


def test_old_leftovers_are_swept_and_new_ones_kept(artifacts: ArtifactStore) -> None:
    old, new = artifacts.stage(), artifacts.stage()
    os.utime(old, (time.time() - 100, time.time() - 100))
    artifacts.sweep(older_than_seconds=50)
    assert (old.exists(), new.exists()) == (False, True)


def test_what_vanishes_between_a_look_at_the_list_and_one_at_itself_is_passed_over(artifacts: ArtifactStore) -> None:
    (publish(artifacts).parent / "gone").symlink_to("nowhere")  # is in the list, and cannot be looked at
    old = artifacts.stage()
    (old.parent / "gone").symlink_to("nowhere")
    os.utime(old, (0, 0))
    assert artifacts.names("models") == ["m"]
    artifacts.sweep()
    assert not old.exists()


def test_what_vanishes_while_it_is_read_is_not_stored_rather_than_damaged(artifacts: ArtifactStore) -> None:
    publish(artifacts)

    def removed_by_another(folder: Path) -> bytes:
        artifacts.remove("models", "m")
        try:
            return (folder / "weights").read_bytes()
        except OSError as error:
            raise ArtifactCorrupt("weights cannot be read") from error

    with pytest.raises(NotFound):
        artifacts.read("models", "m", removed_by_another)


def test_what_a_row_promises_and_is_not_there_is_damage_unless_the_row_has_gone_too(artifacts: ArtifactStore) -> None:
    should_be = r"models/m is not stored here, but should be; restore it"
    with pytest.raises(ArtifactCorrupt, match=should_be), must_be_stored(lambda: "its row"):
        artifacts.open("models", "m")

    def deleted() -> None:
        raise NotFound("no such model")

    with pytest.raises(NotFound, match="no such model"), must_be_stored(deleted):
        artifacts.open("models", "m")


def test_what_its_reader_cannot_make_sense_of_is_told_as_the_reader_tells_it(artifacts: ArtifactStore) -> None:
    publish(artifacts)

    def make_sense(_: Path) -> None:
        raise ArtifactCorrupt("no sense in it")

    with pytest.raises(ArtifactCorrupt, match="no sense in it"):
        artifacts.read("models", "m", make_sense)
