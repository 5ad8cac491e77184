"""From trained weights to a published version: write, load back as the service will, measure once, publish."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from service.datasets.dataset import Example
from service.inference.classifier import Classifier
from service.inference.device import describe_device
from service.jobs.report import REPORT_JSON, REPORT_TEXT, Report, Reproduction, Validation
from service.models.finished import ModelCard, write_card
from service.store.artifacts import ArtifactStore
from service.store.ids import new_id
from service.store.records import Json
from worker.channel import Order, Supervision
from worker.evaluation import measure
from worker.training.model import Network


def measure_and_publish(
    network: Network,
    test: Sequence[Example],
    validation: Validation,
    order: Order,
    device: torch.device,
    artifacts: ArtifactStore,
    channel: Supervision,
) -> Json:
    """Publishes model and report; returns what the supervisor writes down, which alone makes the model exist."""
    staged = artifacts.stage()
    try:
        _write_model(network, order, staged)
        classifier = Classifier.load(staged, device)  # what is measured is what will be served
        result, text = measure(classifier, test, order.settings.max_batch_tokens)
        channel.send("phase", phase="publishing")
        report = Report(
            job_id=order.job_id,
            model_id=new_id("mdl"),
            dataset_id=order.dataset_id,
            task=order.task,
            labels=order.labels,
            test=result,
            validation=validation,
            reproduction=_reproduction(order, device),
        )
        with artifacts.writing("reports", report.model_id) as folder:
            (folder / REPORT_JSON).write_text(report.model_dump_json(), encoding="utf-8")
            (folder / REPORT_TEXT).write_text(text, encoding="utf-8")
        manifest = artifacts.publish(staged, "models", report.model_id)
    finally:
        artifacts.discard(staged)
    return {
        "model_id": report.model_id,
        "manifest_sha256": manifest,
        "best": validation.best,
        "metrics": _metrics(report),
    }


def make_card(order: Order) -> ModelCard:
    return ModelCard(
        task=order.task,
        labels=order.labels,
        max_length=order.hyperparameters.max_length,
        base_model=order.base_model,
        job_id=order.job_id,
        dataset_sha256=order.dataset_sha256,
    )


def _write_model(network: Network, order: Order, folder: Path) -> None:
    """A normal `transformers` folder, with our card beside it."""
    network.model.save_pretrained(folder)
    network.tokenizer.model_max_length = order.hyperparameters.max_length
    network.tokenizer.save_pretrained(folder)
    write_card(make_card(order), folder)


def _reproduction(order: Order, device: torch.device) -> Reproduction:
    packages = ("classiglot", "torch", "transformers", "tokenizers", "scikit-learn", "numpy")
    return Reproduction(
        dataset_sha256=order.dataset_sha256,
        base_model=order.base_model,
        hyperparameters=order.hyperparameters.model_dump(),
        seed=order.hyperparameters.seed,
        device=describe_device(device),
        versions={name: version(name) for name in packages} | {"python": platform.python_version()},
    )


def _metrics(report: Report) -> Json:
    test, best = report.test, report.validation.best
    return {
        "val_loss": best["val_loss"],
        "val_macro_f1": best["val_macro_f1"],
        "test_accuracy": test.accuracy,
        "test_macro_f1": test.macro_f1,
        "test_micro_f1": test.micro_f1,
        "test_rows": test.rows,
    }
