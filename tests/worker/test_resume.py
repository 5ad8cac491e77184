"""Runs that are stopped or killed go on from their last sound checkpoint and end as if nothing had been."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from parts.runs import Listener, assert_equal_bit_for_bit, make_order, run_and_die, run_to_the_end, store_toy_dataset
from service.settings import Settings
from service.store.database import Database
from worker.run import Stopped, run


@pytest.mark.parametrize("asked", [{"optimizer": "sam"}, {"optimizer": "adamw", "frozen_share": 0.5}])
def test_a_run_that_is_killed_resumes_from_its_last_epoch_and_ends_alike(
    settings: Settings, sqlite: Database, asked: dict[str, object]
) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    _, undisturbed = run_to_the_end(make_order(settings, dataset, "xlm-roberta-base", "job_1", **asked))
    order = make_order(settings, dataset, "xlm-roberta-base", "job_2", **asked)
    run_and_die(order, epoch=2)
    listener, resumed = run_to_the_end(order.model_copy(update={"attempt": 2}))
    assert listener.all("note")[0]["message"].startswith("resumed after step 5 of 15")
    assert [epoch["epoch"] for epoch in listener.all("epoch")] == [2, 3]
    assert_equal_bit_for_bit(undisturbed, resumed)


def test_a_run_that_is_stopped_between_epochs_resumes_at_that_very_step(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    _, undisturbed = run_to_the_end(make_order(settings, dataset, "xlm-roberta-base", "job_1"))
    order = make_order(settings, dataset, "xlm-roberta-base", "job_2")
    listener = Listener()
    listener.stop_asked.set()  # after the first step
    with pytest.raises(Stopped):
        run(order, listener)
    again, resumed = run_to_the_end(order.model_copy(update={"attempt": 2}))
    assert again.all("note")[0]["message"].startswith("resumed after step 1 of 15")
    assert_equal_bit_for_bit(undisturbed, resumed)


def test_between_checkpoints_only_the_best_epoch_is_kept_and_a_killed_run_ends_alike(
    settings: Settings, sqlite: Database
) -> None:
    """A run whose epochs are shorter than CHECKPOINT_SECONDS, stopped after the first, then killed in the sixth."""
    dataset = store_toy_dataset(settings, sqlite)
    _, undisturbed = run_to_the_end(make_order(settings, dataset, "roberta-base", "job_1", num_epochs=8))
    rarely = settings.model_copy(update={"checkpoint_seconds": 600.0})
    order = make_order(rarely, dataset, "roberta-base", "job_2", num_epochs=8)
    folder = settings.artifacts_dir / "checkpoints" / "job_2"

    def stop_after_first_epoch(kind: str, _content: dict[str, object]) -> None:
        if kind == "epoch":
            listener.stop_asked.set()

    listener = Listener(stop_after_first_epoch)
    with pytest.raises(Stopped):
        run(order, listener)
    assert [path.name for path in sorted(folder.iterdir())] == ["000000005-1", "best-000000005-1"]
    run_and_die(order.model_copy(update={"attempt": 2}), epoch=6)
    names = [path.name for path in sorted(folder.iterdir())]
    assert names[:2] == ["000000005-1", "best-000000005-1"]  # what the checkpoint needs is still there
    assert len(names) == 3
    assert names[2].startswith("best-")
    listener, resumed = run_to_the_end(order.model_copy(update={"attempt": 3}))
    assert listener.all("note")[0]["message"].startswith("resumed after step 5 of 40")
    assert_equal_bit_for_bit(undisturbed, resumed)


@pytest.mark.parametrize("harm", [shutil.rmtree, lambda best: (best / "average.safetensors").write_bytes(b"")])
def test_a_checkpoint_without_its_best_weights_is_passed_over(
    settings: Settings, sqlite: Database, harm: Callable[[Path], object]
) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    order = make_order(settings, dataset, "roberta-base")
    run_and_die(order, epoch=3)
    for best in (settings.artifacts_dir / "checkpoints" / "job_1").glob("best-*"):
        harm(best)
    again, _ = run_to_the_end(order.model_copy(update={"attempt": 2}))
    assert not any("resumed" in note["message"] for note in again.all("note"))
    assert [epoch["epoch"] for epoch in again.all("epoch")] == [1, 2, 3]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    order = make_order(settings, dataset, "roberta-base")
    run_and_die(order, epoch=3)
    checkpoints = sorted((settings.artifacts_dir / "checkpoints" / "job_1").glob("0*"))
    weights = checkpoints[-1] / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    listener, _ = run_to_the_end(order.model_copy(update={"attempt": 2}))
    assert listener.all("note")[0]["message"].startswith("resumed after step 5 of 15")
