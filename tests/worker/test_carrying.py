"""What a run reads and writes, between this machine's folder and a real bucket."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from parts.bucket import Door
from parts.deployment import wait_until
from parts.stored_folders import Machine
from service.errors import NotFound
from service.store.artifacts import MANIFEST, ArtifactStore, Kind
from service.store.buckets import Bucket
from service.store.remote_artifacts import RemoteArtifacts
from worker.carrying import Carrier, CarryFailed

JOB = "job_1"
Begin = Callable[[ArtifactStore], Carrier]


@pytest.fixture
def machine(tmp_path: Path, bucket_url: str) -> Machine:
    return lambda name: RemoteArtifacts(tmp_path / name, Bucket(bucket_url, retry_seconds=0.5), 10**9)


@pytest.fixture
def begin() -> Iterator[Begin]:
    """An attempt's carrier; over with the test, else its errand would go on in this process for ever."""
    with ExitStack() as attempts:
        yield lambda store: attempts.enter_context(closing(Carrier(store, JOB)))
    wait_until(no_errand_is_left, 10)


def write(store: RemoteArtifacts, name: str, content: str = "state") -> None:
    """As the run does, which knows the folder only."""
    with ArtifactStore(store.root).writing("checkpoints", f"{JOB}/{name}") as folder:
        (folder / "state").write_text(content)


def drop(store: RemoteArtifacts, *names: str) -> None:
    for name in names:
        ArtifactStore(store.root).remove("checkpoints", f"{JOB}/{name}")


def in_bucket(store: RemoteArtifacts) -> set[str]:
    return {name.removeprefix(f"{JOB}/") for name in store.below("checkpoints", JOB)}


def no_errand_is_left() -> bool:
    return "errand" not in {thread.name for thread in threading.enumerate()}


def carry(carrier: Carrier) -> None:
    """All that there is."""
    wait_until(lambda: carrier.is_known_to_all({"kind": "stopped"}, 1), 20)


def fetch(carrier: Carrier) -> None:
    wait_until(lambda: carrier.fetched("ds_1", 1), 20)


def put_dataset(store: RemoteArtifacts) -> None:
    with store.writing("datasets", "ds_1") as folder:
        (folder / "train.jsonl").write_text("{}")


def test_what_a_run_writes_and_drops_is_written_and_dropped_in_the_bucket(begin: Begin, machine: Machine) -> None:
    here = machine("here")
    carrier = begin(here)
    write(here, "000000010-1")
    write(here, "repeats/7/000000010-1")
    carry(carrier)
    assert in_bucket(here) == {"000000010-1", "repeats/7/000000010-1"}
    write(here, "000000020-1")
    drop(here, "000000010-1")
    carry(carrier)
    assert in_bucket(here) == {"000000020-1", "repeats/7/000000010-1"}


def test_it_keeps_up_while_the_run_goes_on(begin: Begin, machine: Machine) -> None:
    here = machine("here")
    carrier = begin(here)
    write(here, "000000010-1")

    def there() -> bool:
        carrier.keep_up()
        return in_bucket(here) == {"000000010-1"}

    wait_until(there, 10)


def test_another_machine_goes_on_from_there(begin: Begin, machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    put_dataset(here)
    write(here, "best-000000005-1", "weights")
    write(here, "000000010-1")
    carry(begin(here))
    fetch(begin(there))
    child = ArtifactStore(there.root)
    assert (child.open("checkpoints", f"{JOB}/best-000000005-1") / "state").read_text() == "weights"
    assert (child.open("checkpoints", f"{JOB}/000000010-1") / "state").read_text() == "state"
    assert child.open("datasets", "ds_1")


def test_the_newest_is_there_first_and_before_it_the_weights_that_it_needs(
    begin: Begin, machine: Machine, door: Door
) -> None:
    here = machine("here")
    for name in ("000000010-1", "000000020-1", "best-000000010-1"):
        write(here, name)
    carry(begin(here))
    made = [line.split("?")[0].split("/")[-2] for line in door.seen if line.startswith("PUT") and MANIFEST in line]
    assert made == ["best-000000010-1", "000000020-1", "000000010-1"]


def test_an_attempt_that_lost_its_job_cannot_take_what_the_next_one_wrote(begin: Begin, machine: Machine) -> None:
    lost, good = machine("lost"), machine("good")
    put_dataset(lost)
    zombie = begin(lost)
    write(lost, "000000010-1")
    carry(zombie)
    next_one = begin(good)
    fetch(next_one)
    write(good, "000000020-2")
    write(good, "best-000000020-2")
    carry(next_one)
    write(lost, "000000015-1")
    drop(lost, "000000010-1")
    carry(zombie)
    drop(lost, "000000015-1")
    carry(zombie)
    assert in_bucket(good) == {"000000020-2", "best-000000020-2"}
    assert good.open("checkpoints", f"{JOB}/000000020-2")


def test_nothing_is_dropped_before_what_replaces_it_is_there(begin: Begin, machine: Machine, door: Door) -> None:
    here = machine("here")
    carrier = begin(here)
    write(here, "000000010-1")
    carry(carrier)
    write(here, "000000020-1")
    drop(here, "000000010-1")
    door.fail("hang", "PUT", "000000020-1")
    assert not carrier.is_known_to_all({"kind": "stopped"}, 0.3)
    assert not carrier.is_known_to_all({"kind": "stopped"}, 0.3)
    assert in_bucket(here) == {"000000010-1"}


def test_a_checkpoint_that_the_run_drops_while_it_is_carried_gets_there_whole(
    begin: Begin, machine: Machine, door: Door
) -> None:
    """Else a line slower than the run would never carry one."""
    here, there = machine("here"), machine("there")
    with ArtifactStore(here.root).writing("checkpoints", f"{JOB}/000000010-1") as folder:
        (folder / "average").write_text("average")
        (folder / "state").write_text("state")
    carrier = begin(here)
    door.fail("503", "PUT", "average")
    carrier.keep_up()
    wait_until(lambda: door.count("PUT", "average"), 10)
    drop(here, "000000010-1")
    wait_until(lambda: in_bucket(there), 10)
    assert (there.open("checkpoints", f"{JOB}/000000010-1") / "state").read_text() == "state"
    carry(carrier)
    assert in_bucket(there) == set()


def test_a_checkpoint_that_is_damaged_in_the_bucket_is_left_out(begin: Begin, machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    put_dataset(here)
    write(here, "000000010-1")
    write(here, "000000020-1")
    carry(begin(here))
    bucket = here._bucket
    bucket.delete([found.key for found in bucket.list(f"checkpoints/{JOB}/000000020-1") if "state" in found.key])
    carrier = begin(there)
    fetch(carrier)
    assert {path.name for path in there.path("checkpoints", JOB).iterdir()} == {"000000010-1"}


def test_what_replaces_a_checkpoint_while_all_are_fetched_is_fetched_too(
    begin: Begin, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an attempt that has lost the job and does not know it."""
    lost, good = machine("lost"), machine("good")
    put_dataset(lost)
    zombie = begin(lost)
    write(lost, "000000010-1")
    carry(zombie)
    opened = good.open

    def replace_first(kind: Kind, name: str) -> Path:
        if name.endswith("000000010-1"):
            write(lost, "000000020-1")
            drop(lost, "000000010-1")
            carry(zombie)
        return opened(kind, name)

    monkeypatch.setattr(good, "open", replace_first)
    fetch(begin(good))
    assert good.copied_below("checkpoints", JOB) == {f"{JOB}/000000020-1"}


def test_a_data_set_that_is_gone_is_missed(begin: Begin, machine: Machine) -> None:
    with pytest.raises(NotFound):
        fetch(begin(machine("here")))


def test_while_the_bucket_is_away_it_is_tried_again_and_said_once(begin: Begin, machine: Machine, door: Door) -> None:
    here = machine("here")
    carrier = begin(here)
    write(here, "000000010-1")
    door.shut = True
    told: list[str] = []

    def step() -> bool:
        done = carrier.is_known_to_all({"kind": "stopped"}, 0.1)
        told.extend(filter(None, [carrier.trouble()]))
        return done

    steps, deadline = 0, time.monotonic() + 4
    while time.monotonic() < deadline:
        assert not step()
        steps += 1
    assert steps > 8  # a try takes half a second and more, but the lease is kept by this thread
    door.shut = False
    wait_until(step, 10)
    assert in_bucket(here) == {"000000010-1"}
    assert len(told) == 1
    assert told[0].endswith("does not answer (503 Service Unavailable)")


def test_an_attempt_that_is_over_leaves_no_thread(begin: Begin, machine: Machine, door: Door) -> None:
    here = machine("here")
    carrier = begin(here)
    write(here, "000000010-1")
    door.shut = True
    assert not carrier.is_known_to_all({"kind": "stopped"}, 0)
    carrier.close()
    wait_until(no_errand_is_left, 10)


def test_a_model_is_delivered_with_its_report(begin: Begin, machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    for kind in ("reports", "models"):
        with ArtifactStore(here.root).writing(kind, "mdl_1") as folder:
            (folder / "file").write_text(kind)
    carrier = begin(here)
    wait_until(lambda: carrier.is_known_to_all({"kind": "succeeded", "model_id": "mdl_1"}, 1), 10)
    shutil.rmtree(here.root)
    assert (there.open("models", "mdl_1") / "file").read_text() == "models"
    assert (there.open("reports", "mdl_1") / "file").read_text() == "reports"


def test_a_model_that_nobody_else_has_stays_while_it_cannot_be_delivered(
    begin: Begin, machine: Machine, door: Door
) -> None:
    """However long that takes: copies that are used do not leave to make room."""
    here = machine("here")
    kinds: tuple[Kind, ...] = ("reports", "models")
    for kind in kinds:
        with ArtifactStore(here.root).writing(kind, "mdl_1") as folder:
            (folder / "file").write_text(kind)
    carrier = begin(here)
    door.shut = True
    told = {"kind": "succeeded", "model_id": "mdl_1"}
    long_ago = time.time() - 2 * 3600
    for kind in kinds:
        os.utime(here.path(kind, "mdl_1"), (long_ago, long_ago))
    assert not carrier.is_known_to_all(told, 1)
    assert all(here.path(kind, "mdl_1").stat().st_mtime > long_ago + 3600 for kind in kinds)
    carrier.close()


def test_what_fails_for_another_reason_is_said(begin: Begin, machine: Machine) -> None:
    carrier = begin(machine("here"))
    with pytest.raises(CarryFailed, match="could not be carried"):  # there is no such model
        wait_until(lambda: carrier.is_known_to_all({"kind": "succeeded", "model_id": "mdl_1"}, 1), 10)


def test_in_a_shared_folder_there_is_nothing_to_carry(begin: Begin, artifacts: ArtifactStore) -> None:
    carrier = begin(artifacts)
    assert carrier.fetched("ds_1", 10)
    carrier.keep_up()
    assert carrier.is_known_to_all({"kind": "succeeded", "model_id": "mdl_1"}, 10)
    assert carrier.is_known_to_all({"kind": "stopped"}, 10)
    assert no_errand_is_left()
