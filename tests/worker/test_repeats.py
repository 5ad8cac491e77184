"""One job under several seeds: the first is published, the others say how much is luck."""

from collections.abc import Callable
from typing import Any

import pytest

from parts.runs import (
    Killed,
    Listener,
    assert_equal_bit_for_bit,
    make_order,
    read_report,
    run_to_the_end,
    store_toy_dataset,
)
from service.jobs.report import Repeat
from service.settings import Settings
from service.store.database import Database
from worker import start
from worker.evaluation.repeats import summarise
from worker.run import run


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_each_seed_gives_what_a_job_with_that_seed_gives_and_the_first_is_published(
    settings: Settings, sqlite: Database, task: str
) -> None:
    dataset = store_toy_dataset(settings, sqlite, task)  # type: ignore[arg-type]
    listener, folder = run_to_the_end(make_order(settings, dataset, "roberta-base", "job_1", seed=5, repeats=3))
    report = read_report(settings, listener)
    assert report.repeats is not None
    assert [repeat.seed for repeat in report.repeats.runs] == [5, 6, 7]
    for repeat in report.repeats.runs:
        alone, own = run_to_the_end(
            make_order(settings, dataset, "roberta-base", f"alone_{repeat.seed}", seed=repeat.seed)
        )
        other = read_report(settings, alone)
        assert other.repeats is None
        assert repeat.val_loss == other.validation.best["val_loss"]
        assert (repeat.macro_f1, repeat.accuracy) == (other.test.macro_f1, other.test.accuracy)
        if repeat.seed == 5:
            assert_equal_bit_for_bit(folder, own)
    steps = [told["step"] for told in listener.all("progress")]
    assert steps == sorted(steps)
    assert listener.all("progress")[-1]["epoch"] == listener.all("progress")[-1]["num_epochs"] == 9
    assert steps[-1] == listener.all("progress")[-1]["total_steps"] == 45
    assert [epoch["epoch"] for epoch in listener.all("epoch")] == [1, 2, 3]  # of the published one alone


def test_an_attempt_after_a_crash_goes_on_where_the_one_before_was(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    undisturbed, one = run_to_the_end(make_order(settings, dataset, "roberta-base", "job_1", repeats=3))
    order = make_order(settings, dataset, "roberta-base", "job_2", repeats=3)

    def die_in_the_third_run(kind: str, content: dict[str, object]) -> None:
        if kind == "note" and str(content["message"]).startswith("seed 2, epoch 2"):
            raise Killed

    with pytest.raises(Killed):
        run(order, Listener(die_in_the_third_run))
    resumed, other = run_to_the_end(order.model_copy(update={"attempt": 2}))
    notes = [note["message"] for note in resumed.all("note")]
    assert notes[0].startswith("seed 1: macro-F1")  # measured already
    assert notes[1].startswith("resumed after step 5 of 15")
    assert read_report(settings, resumed).repeats == read_report(settings, undisturbed).repeats
    assert_equal_bit_for_bit(one, other)


def test_what_was_measured_with_another_batch_is_measured_again(settings: Settings, sqlite: Database) -> None:
    """As after memory ran out: the job's next attempt has half the batch."""
    dataset = store_toy_dataset(settings, sqlite)

    def die_in_the_last_run(kind: str, _content: dict[str, object]) -> None:
        if kind == "epoch":
            raise Killed

    asked: dict[str, Any] = {"repeats": 2, "num_epochs": 2}
    with pytest.raises(Killed):
        run(make_order(settings, dataset, "roberta-base", **asked), Listener(die_in_the_last_run))
    halved = make_order(settings, dataset, "roberta-base", **asked, batch_size=8)
    again, _ = run_to_the_end(halved.model_copy(update={"attempt": 2}))
    alone, _ = run_to_the_end(
        make_order(settings, dataset, "roberta-base", "alone", seed=1, num_epochs=2, batch_size=8)
    )
    repeats, other = read_report(settings, again).repeats, read_report(settings, alone)
    assert repeats is not None
    assert repeats.runs[1].val_loss == other.validation.best["val_loss"]


def test_what_is_the_same_for_all_seeds_is_read_once(
    settings: Settings, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            read.append(name)
            return own(*arguments)

        return call

    for name in ("read_dataset", "load_network", "load_model"):
        monkeypatch.setattr(start, name, counted(name, getattr(start, name)))
    dataset = store_toy_dataset(settings, sqlite)
    run_to_the_end(make_order(settings, dataset, "roberta-base", num_epochs=1, repeats=3))
    assert read == ["load_network", "read_dataset", "load_model", "load_model"]


def test_mean_and_standard_deviation_are_those_of_a_sample() -> None:
    found = summarise([Repeat(seed=n, val_loss=1, accuracy=a, macro_f1=f) for n, (a, f) in enumerate([(1, 2), (3, 6)])])
    assert [found.accuracy_mean, found.accuracy_sd] == pytest.approx([2, 2**0.5])
    assert [found.macro_f1_mean, found.macro_f1_sd] == pytest.approx([4, 8**0.5])
