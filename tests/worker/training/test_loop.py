"""One step of the loop on a tiny real model with dropout."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from parts.tiny_models import build_tiny_checkpoint
from service.errors import DeviceMissing
from service.inference.device import autocast, has_bfloat16, pick_device
from service.jobs.spec import Hyperparameters, resolve
from service.models.base_models import describe_checkpoint
from worker.training.averaging import WeightAverage
from worker.training.batches import Batches, TrainingRow
from worker.training.candidate import Candidate
from worker.training.gradients import Gradients
from worker.training.loop import Plan, Progress, Trainer
from worker.training.loss import ClassificationLoss
from worker.training.model import load_network, make_optimizer
from worker.training.sam import gradient_norm

CPU = torch.device("cpu")
TEXTS = ["the red apple", "a small dog runs", "it will rain", "the ripe pear is sweet"]


def make_trainer(folder: Path, **asked: float | str) -> Trainer:
    network = load_network(describe_checkpoint("roberta-base", build_tiny_checkpoint("roberta-base", folder)), 2)
    torch.manual_seed(0)
    torch.nn.init.normal_(network.model.head.weight, std=0.1)
    assert network.model.config.hidden_dropout_prob > 0
    encoder = network.encoder(32)
    rows = [TrainingRow(row, number % 2) for number, row in enumerate(encoder.encode(TEXTS))]
    hyperparameters = resolve(Hyperparameters(**({"sam_start": 0.0} | asked)), train_rows=4, base_model="roberta-base")  # type: ignore[arg-type]
    batches = Batches(rows, 4, seed=0)
    plan = Plan(hyperparameters, batches.steps_per_epoch)
    optimizer = make_optimizer(network.model, hyperparameters)
    loss = ClassificationLoss("choosing", None)
    average = WeightAverage(optimizer.parameters, 0.9)
    gradients = Gradients(network.model, optimizer.parameters, encoder, loss, "choosing", CPU, print)
    candidate = Candidate(average, 1.0, None, lambda _: None)
    return Trainer(network.model, optimizer, average, candidate, encoder, batches, plan, gradients, CPU)


def logits_of_step(trainer: Trainer, step: int) -> list[Tensor]:
    """The logits of each forward pass of one step."""
    seen: list[Tensor] = []
    hook = trainer.model.register_forward_hook(lambda _m, _i, output: seen.append(output.detach().clone()))
    trainer.step(step)
    hook.remove()
    return seen


def test_both_passes_of_sam_see_one_network(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, rho=1e-9)  # so that the weights are alike and only dropout could differ
    at_w, at_top = logits_of_step(trainer, 0)
    assert torch.equal(at_w, at_top)
    again, _ = logits_of_step(trainer, 0)  # dropout is on: another step draws other masks
    assert not torch.allclose(at_w, again, atol=1e-3)


def test_before_its_start_sam_is_its_base_optimizer_and_afterwards_it_climbs(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, num_epochs=8, sam_start=0.5)
    assert (trainer.plan.total_steps, trainer.plan.first_climb) == (8, 4)
    assert [len(logits_of_step(trainer, step)) for step in range(8)] == [1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("losses", "over"),
    [
        ([], False),
        ([0.5, 0.6], False),
        ([0.5, 0.6, 0.7], True),
        ([0.5, 0.6, 0.4], False),
        ([0.5, 0.4, 0.4], False),
        ([0.5, 0.4, 0.4, 0.4], True),  # no lower is no better
        ([0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1], True),  # all that were planned
    ],
)
def test_a_plan_is_over_when_patience_is(tmp_path: Path, losses: list[float], over: bool) -> None:
    plan = make_trainer(tmp_path, num_epochs=8, patience=2).plan
    history = [{"epoch": number, "val_loss": loss} for number, loss in enumerate(losses, start=1)]
    assert plan.is_over(Progress(step=len(losses) * plan.steps_per_epoch, history=history)) == over


@pytest.mark.parametrize(
    ("optimizer", "sam_start", "epochs"), [("adamw", 1.0, 3), ("sam", 0.0, 3), ("sam", 0.6, 8), ("asam", 0.6, 8)]
)
def test_patience_waits_for_the_first_climb(tmp_path: Path, optimizer: str, sam_start: float, epochs: int) -> None:
    """A loss that only grows ends AdamW after the best epoch and two more; SAM would never have climbed then."""
    plan = make_trainer(tmp_path, optimizer=optimizer, num_epochs=10, patience=2, sam_start=sam_start).plan
    done, history = 0, list[dict[str, float]]()
    while not plan.is_over(Progress(step=done * plan.steps_per_epoch, history=history)):
        done += 1
        history.append({"epoch": done, "val_loss": float(done)})
    assert done == epochs


def test_with_a_radius_the_second_pass_is_somewhere_else(tmp_path: Path) -> None:
    at_w, at_top = logits_of_step(make_trainer(tmp_path, rho=0.5), 0)
    assert not torch.allclose(at_w, at_top, atol=1e-3)


def test_adamw_makes_one_pass(tmp_path: Path) -> None:
    assert len(logits_of_step(make_trainer(tmp_path, optimizer="adamw", sam_start=1.0), 0)) == 1


@pytest.mark.parametrize(("optimizer", "sam_start"), [("sam", 0.0), ("adamw", 1.0)])
def test_the_gradient_that_is_applied_is_clipped(tmp_path: Path, optimizer: str, sam_start: float) -> None:
    trainer = make_trainer(tmp_path, optimizer=optimizer, sam_start=sam_start, max_grad_norm=0.01)
    trainer.step(0)
    applied = [w.grad for w in trainer.optimizer.parameters if w.grad is not None]
    assert float(gradient_norm(applied)) == pytest.approx(0.01, rel=1e-3)


def test_each_step_is_taken_with_the_rate_of_the_schedule(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, learning_rate=1e-3, num_epochs=10)
    for step in (0, 3, 9):
        trainer.step(step)
        assert trainer.optimizer.base.param_groups[0]["lr"] == trainer.plan.learning_rate(step)


def test_biases_norms_and_embeddings_are_not_decayed(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, weight_decay=0.1)
    decayed, plain = trainer.optimizer.base.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    assert all("embeddings" not in names[id(p)] and p.ndim > 1 for p in decayed["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(names)


def test_bfloat16_is_used_where_the_processor_has_it() -> None:
    device = pick_device("cpu")
    with autocast(device):
        product = torch.ones(4, 4) @ torch.ones(4, 4)
    assert product.dtype == (torch.bfloat16 if has_bfloat16(device) else torch.float32)


def test_a_gpu_that_is_asked_for_is_used_or_missed_but_never_replaced() -> None:
    if torch.cuda.is_available():
        assert pick_device("cuda").type == "cuda"
    else:
        with pytest.raises(DeviceMissing, match="DEVICE=auto"):
            pick_device("cuda")
