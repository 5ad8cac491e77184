"""Folders in a bucket, through a door that fails as networks do."""

import os
import threading
import time
from collections.abc import Callable

import pytest

from parts.bucket import Door, Fault
from parts.stored_folders import CONTENT, Machine, keys, publish, read
from service.errors import NotFound, SettingsInvalid, Unavailable
from service.store.artifacts import MANIFEST, ArtifactStore
from service.store.buckets import BLOCK, Bucket
from service.store.database import Database
from service.store.installation import check_same_installation
from service.store.remote_artifacts import RemoteArtifacts

# -- what one machine publishes, another has ------------------------------------------------------------


def test_what_was_published_is_opened_elsewhere_and_asked_for_once(
    here: RemoteArtifacts, there: RemoteArtifacts, door: Door
) -> None:
    manifest = publish(here)
    assert there.names("models") == ["m"]
    assert read(there.open("models", "m", manifest_sha256=manifest)) == CONTENT
    asked = len(door.seen)
    there.open("models", "m", manifest_sha256=manifest)
    here.open("models", "m", manifest_sha256=manifest)
    assert there.size("models", "m") == here.size("models", "m") == sum(map(len, CONTENT.values()))
    assert len(door.seen) == asked


def test_large_files_go_in_parts_and_come_in_blocks(here: RemoteArtifacts, there: RemoteArtifacts, door: Door) -> None:
    content = {"weights": os.urandom(2 * BLOCK + 5)}
    publish(here, content=content)
    assert door.count("PUT", "partNumber=3") == 1
    assert read(there.open("models", "m")) == content
    assert door.count("GET", "/weights") == 3


def test_what_a_run_published_beside_the_store_is_shared(here: RemoteArtifacts, there: RemoteArtifacts) -> None:
    manifest = publish(ArtifactStore(here.root))
    with pytest.raises(NotFound):
        there.open("models", "m")
    here.share("models", "m")
    here.share("models", "m")
    assert read(there.open("models", "m", manifest_sha256=manifest)) == CONTENT


def test_nothing_is_seen_before_it_is_whole(here: RemoteArtifacts, there: RemoteArtifacts, door: Door) -> None:
    door.fail("403", "PUT", MANIFEST)
    with pytest.raises(Unavailable):
        publish(here)
    with pytest.raises(NotFound):
        there.open("models", "m")
    assert there.names("models") == ["m"]  # for the sweep to find
    assert not here.path("models", "m").exists()
    here.remove("models", "m")
    assert there.names("models") == []


def test_what_is_removed_is_gone_everywhere_manifest_first(
    here: RemoteArtifacts, there: RemoteArtifacts, door: Door, bucket: Bucket
) -> None:
    publish(here)
    publish(here, "m2")
    door.seen.clear()
    here.remove("models", "m")
    deletes = [line for line in door.seen if line.startswith(("POST", "DELETE"))]
    assert len(deletes) == 2
    assert {key.split("/")[1] for key in keys(bucket)} == {"m2"}
    assert here.names("models") == there.names("models") == ["m2"]
    with pytest.raises(NotFound):
        there.open("models", "m")


def test_the_manifest_goes_before_the_files(here: RemoteArtifacts, there: RemoteArtifacts, door: Door) -> None:
    publish(here)
    door.fail("403", "GET", "list-type")  # dies after the first step
    here.remove("models", "m")
    with pytest.raises(NotFound):
        there.open("models", "m")


def test_a_bucket_that_is_away_keeps_what_is_removed_for_a_sweep(
    here: RemoteArtifacts, there: RemoteArtifacts, door: Door
) -> None:
    publish(here)
    door.shut = True
    here.remove("models", "m")
    door.shut = False
    assert there.names("models") == ["m"]


def test_names_are_told_by_age(here: RemoteArtifacts, there: RemoteArtifacts) -> None:
    publish(here)
    assert there.names("models", older_than_seconds=60) == []
    assert there.names("models") == here.names("models") == ["m"]


# -- two writers ----------------------------------------------------------------------------------------


def test_of_two_writers_one_wins_and_nothing_is_mixed(here: RemoteArtifacts, machine: Machine, bucket: Bucket) -> None:
    contents = [{"weights": bytes([number]) * 1000, f"own-{number}": b"x"} for number in range(4)]
    outcomes: list[int] = []

    def write(number: int) -> None:
        try:
            publish(machine(f"writer-{number}"), content=contents[number])
            outcomes.append(number)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = outcomes
    assert read(here.open("models", "m")) == contents[winner]
    assert len(keys(bucket)) == 3  # the others' files have gone with them


def test_nothing_is_ever_overwritten(here: RemoteArtifacts, there: RemoteArtifacts) -> None:
    publish(here)
    for store in (here, there):
        with pytest.raises(FileExistsError):
            publish(store, content={"weights": b"other"})
    assert read(there.open("models", "m")) == CONTENT


def test_whoever_claims_the_bucket_first_owns_it(here: RemoteArtifacts, there: RemoteArtifacts) -> None:
    assert here.owned_by("ins_1") == "ins_1"
    assert there.owned_by("ins_2") == "ins_1"


def test_a_bucket_of_another_database_is_refused(here: RemoteArtifacts, sqlite: Database, bucket_url: str) -> None:
    here.owned_by("ins_1")
    with pytest.raises(SettingsInvalid, match=f"belong to another database.* delete {bucket_url}/INSTALLATION"):
        check_same_installation(sqlite, here)


# -- faults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["503", "reset", "lost answer", "409", "hang"])
def test_a_write_that_fails_is_done_again(
    fault: Fault, here: RemoteArtifacts, there: RemoteArtifacts, door: Door
) -> None:
    door.fail(fault, "PUT", MANIFEST, times=1 if fault == "hang" else 2)
    if fault != "409":  # which only a condition can be answered with
        door.fail(fault, "PUT", "/weights", times=1)
    manifest = publish(here)
    assert read(there.open("models", "m", manifest_sha256=manifest)) == CONTENT


@pytest.mark.parametrize("fault", ["503", "reset", "half", "hang"])
def test_a_read_that_fails_is_done_again(
    fault: Fault, here: RemoteArtifacts, there: RemoteArtifacts, door: Door
) -> None:
    publish(here)
    door.fail(fault, "GET", "/weights")
    assert read(there.open("models", "m")) == CONTENT


@pytest.mark.parametrize(
    "call", [publish, lambda store: store.open("models", "n"), lambda store: store.names("models")]
)
def test_a_bucket_that_is_away_is_told_in_time(
    call: Callable[[RemoteArtifacts], object], here: RemoteArtifacts, door: Door
) -> None:
    door.shut = True
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"does not answer \(503 Service Unavailable\); try again") as caught:
        call(here)
    assert time.monotonic() - began < 6
    assert 3 < len(door.seen) < 20  # again and again, and less and less often
    assert caught.value.retry_after
    assert [path for path in here.root.rglob("*") if path.is_file()] == []


def test_keys_that_are_refused_are_named(here: RemoteArtifacts, door: Door) -> None:
    door.fail("403", "PUT")
    with pytest.raises(Unavailable, match="AWS_ACCESS_KEY_ID"):
        publish(here)


# -- the copies -------------------------------------------------------------------------------------------


def test_a_damaged_copy_is_fetched_again(here: RemoteArtifacts) -> None:
    publish(here)
    (here.path("models", "m") / "weights").write_bytes(b"damaged")
    assert read(here.open("models", "m")) == CONTENT


def test_copies_that_were_not_used_for_longest_leave_and_come_back(here: RemoteArtifacts) -> None:
    for number, name in enumerate(["old", "used", "new"]):
        publish(here, name, {"weights": bytes(400_000)})
        os.utime(here.path("models", name), (1000 + number, 1000 + number))
    with here.writing("checkpoints", "job_1/1-1") as folder:
        (folder / "state").write_bytes(bytes(2_000_000))
    os.utime(here.path("checkpoints", "job_1"), (1, 1))
    here.open("models", "old")
    here.sweep()
    assert sorted(path.name for path in (here.root / "models").iterdir()) == ["new", "old"]
    assert here.path("checkpoints", "job_1/1-1").exists()
    assert len(read(here.open("models", "used"))["weights"]) == 400_000


def test_copies_leave_while_the_bucket_is_away_too(here: RemoteArtifacts, door: Door) -> None:
    for name in ("old", "new"):
        publish(here, name, {"weights": bytes(600_000)})
    os.utime(here.path("models", "old"), (1, 1))
    door.shut = True
    here.sweep()
    assert [path.name for path in (here.root / "models").iterdir()] == ["new"]


def test_what_is_in_use_stays_whatever_room_it_takes(here: RemoteArtifacts) -> None:
    publish(here, content={"weights": bytes(2_000_000)})
    here.sweep()
    assert here.path("models", "m").exists()
