import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.jobs.spec import Hyperparameters, ResolvedHyperparameters, resolve


def resolved(rows: int = 200, base_model: str = "xlm-roberta-base", **asked: object) -> ResolvedHyperparameters:
    return resolve(Hyperparameters(**asked), train_rows=rows, base_model=base_model)  # type: ignore[arg-type]


def test_what_is_given_is_kept_and_the_rest_is_filled_in() -> None:
    got = resolved(batch_size=7, learning_rate=0.01, num_epochs="auto")
    assert (got.batch_size, got.learning_rate) == (7, 0.01)
    assert got.num_epochs > 0


@given(st.integers(1, 1_000_000))
def test_defaults_are_always_values_that_one_might_have_asked_for(rows: int) -> None:
    Hyperparameters(**resolved(rows).model_dump())


def test_few_examples_are_read_more_often_than_many() -> None:
    assert resolved(50).num_epochs > resolved(1_000).num_epochs >= resolved(100_000).num_epochs >= 1


def test_each_optimizer_has_its_own_radius() -> None:
    radii = {name: resolved(optimizer=name).rho for name in ("sam", "asam", "adamw")}
    assert radii == {"sam": 0.05, "asam": 0.5, "adamw": 0.0}
    assert resolved(optimizer="asam", rho=0.1).rho == 0.1


def test_climbs_are_for_those_who_ask_for_them() -> None:
    assert resolved().optimizer == resolved(rho=0.0).optimizer == resolved(rho=0.0, sam_start=0.5).optimizer == "adamw"
    assert resolved(rho=0.1).optimizer == resolved(sam_start=0.5).optimizer == "sam"
    assert resolved(rho=0.1).rho == 0.1
    assert resolved(optimizer="asam", sam_start=0.5).optimizer == "asam"


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": float("nan")}, {"learning_rate": float("inf")}, {"learning_rate": -1e-5},
        {"learning_rate": 0.0}, {"num_epochs": 10**9}, {"num_epochs": 0}, {"batch_size": 10**6}, {"batch_size": 1.5},
        {"batch_size": True}, {"max_length": 10**6}, {"max_length": 2}, {"rho": -0.1}, {"warmup_ratio": 1.5},
        {"optimizer": "sgd"}, {"seed": -1}, {"seed": 2**32}, {"weight_decay": "much"}, {"learnin_rate": 1e-5},
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Hyperparameters(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("of_climbs", [{"rho": 0.05}, {"sam_start": 0.0}, {"sam_start": 0.75}])
def test_adamw_does_not_climb(of_climbs: dict[str, float]) -> None:
    (name,) = of_climbs
    with pytest.raises(ValidationError, match=rf"{name} is .*; leave it out, or choose sam or asam"):
        Hyperparameters(optimizer="adamw", **of_climbs)  # type: ignore[arg-type]


def test_what_a_job_says_of_itself_may_be_sent_again() -> None:
    for asked in ({}, {"rho": 0.0, "sam_start": 0.5}, {"optimizer": "sam", "rho": 0.0}, {"optimizer": "asam"}):
        said = resolved(**asked).model_dump()
        assert resolved(**said).model_dump() == said
    by_an_earlier_version = resolved(optimizer="adamw").model_dump() | {"sam_start": 0.75}
    assert resolved(**ResolvedHyperparameters(**by_an_earlier_version).model_dump()) == resolved(optimizer="adamw")


def test_jobs_of_other_versions_are_read_as_they_were_run() -> None:
    stored = resolve(Hyperparameters(), train_rows=200, base_model="x").model_dump()
    early = {name: value for name, value in stored.items() if name not in ("patience", "frozen_share", "repeats")}
    assert ResolvedHyperparameters(**early).model_dump() == stored | {"patience": stored["num_epochs"]}
    assert ResolvedHyperparameters.model_validate(stored | {"of_a_later_version": 1}).model_dump() == stored


def test_few_rows_go_half_way_back_to_the_pretrained_weights() -> None:
    assert {rows: resolved(rows).fine_tuned_share for rows in (50, 5_000, 5_001)} == {50: 0.5, 5_000: 0.5, 5_001: 1.0}


def test_layers_are_frozen_where_that_is_asked_for() -> None:
    assert resolved(200).frozen_share == 0
    assert resolved(100_000, frozen_share=0.25).frozen_share == 0.25


def test_epochs_that_are_asked_for_are_all_made_and_others_while_validation_gets_better() -> None:
    assert resolved(200).patience == 3
    assert resolved(5_000).patience == 3
    assert resolved(30).patience == 18  # of two steps
    assert resolved(30, batch_size=4).patience == 5
    assert (resolved(200, num_epochs=7).num_epochs, resolved(200, num_epochs=7).patience) == (7, 7)
    assert resolved(200, num_epochs=7, patience=2).patience == 2
