"""From trained weights to a published version: calibrate, write, load back as the service will, measure, publish."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from service.datasets.dataset import SPLITS
from service.datasets.leakage import leaked_rows
from service.inference.classifier import Classifier, embed
from service.inference.device import describe_device
from service.inference.published import save_published
from service.jobs.report import (
    REPORT_JSON,
    REPORT_PAGE,
    REPORT_TEXT,
    Calibration,
    Repeat,
    Report,
    Selection,
    TestResult,
)
from service.jobs.report_page import render_page
from service.jobs.report_text import render_text
from service.jobs.spec import HeadRows
from service.models.finished import ModelCard, write_card
from service.store.artifacts import ArtifactStore
from service.store.records import Json, Task
from worker.calibrate import calibrate
from worker.channel import Order, Supervision
from worker.evaluation.answers import Answers, answer
from worker.evaluation.calibration import calibration_error
from worker.evaluation.comparisons import Measured, compare_with_simple_models
from worker.evaluation.leaks import measure_without_leaks
from worker.evaluation.measure import measure
from worker.evaluation.metrics import Binary
from worker.evaluation.repeats import summarise
from worker.evaluation.scaling import Scaling, activate
from worker.evaluation.slices import make_slices
from worker.evaluation.warnings import report_warnings
from worker.finished import Finished
from worker.reproduction import reproduction
from worker.training.model import load_model, save_tokenizer

Features = dict[str, NDArray[np.float32]]  # by split, of shape (rows, hidden size)
CHOSEN_BY: dict[HeadRows, str] = {
    "train": "the lowest validation loss",
    "train_and_val": "the lowest validation loss; then the head was fitted to training and validation texts",
}


def measure_and_publish(
    finished: Finished,
    repeats: Sequence[Repeat],
    order: Order,
    device: torch.device,
    artifacts: ArtifactStore,
    channel: Supervision,
) -> Json:
    """Publishes model and report; returns what the supervisor writes down, which alone makes the model exist.

    `repeats`: what the same run gave under other seeds.
    """
    card, scaling = calibrate(finished, order, device)
    features = _meet_base_model(finished, order, device)
    with artifacts.staging() as staged:
        _write_model(finished, card, staged)
        finished.network.model.to("meta")  # it is on disk now, and what is measured is read from there
        # what is measured is what will be served
        classifier = Classifier.load(staged, device, order.settings.engine, order.settings.threads)
        report, text = _make_report(finished, repeats, classifier, features, scaling, order)
        channel.send("phase", phase="publishing")
        with artifacts.writing("reports", report.model_id) as folder:
            (folder / REPORT_JSON).write_text(report.model_dump_json(), encoding="utf-8")
            (folder / REPORT_TEXT).write_text(text, encoding="utf-8")
            (folder / REPORT_PAGE).write_text(render_page(report, job_name=order.name), encoding="utf-8")
        manifest = artifacts.publish(staged, "models", report.model_id)
    return {
        "model_id": report.model_id,
        "manifest_sha256": manifest,
        "best": report.validation.best,
        "metrics": _metrics(report),
        "warnings": [warning.model_dump() for warning in report.warnings],
    }


def _meet_base_model(finished: Finished, order: Order, device: torch.device) -> Features:
    """What the base model, as it was, makes of the texts of each split. Then the trained part is put back into it."""
    base_model = load_model(finished.base, len(order.labels))
    encoder, limit = finished.texts.encoder, order.settings.max_batch_tokens
    features = {name: embed(base_model, encoder, own, device, limit) for name, own in finished.texts.rows.items()}
    finished.part.put_back(finished.network.model, base_model)
    return features


def _write_model(finished: Finished, card: ModelCard, folder: Path) -> None:
    """A normal `transformers` folder, with our card beside it."""
    save_published(finished.network.model, card.labels, card.task, folder)
    save_tokenizer(finished.network.tokenizer, card.max_length, folder)
    write_card(card, folder)


def _make_report(
    finished: Finished,
    repeats: Sequence[Repeat],
    classifier: Classifier,
    features: Features,
    scaling: Scaling,
    order: Order,
) -> tuple[Report, str]:
    """The report, and as text."""
    test, truth, card = finished.texts.dataset.splits["test"], finished.texts.truth, classifier.card
    found = answer(classifier, classifier.encoder.encode([row.text for row in test]), order.settings.max_batch_tokens)
    result, table = measure(test, found.rows, found.scores, found.predicted, order.labels, order.task, card.thresholds)
    splits = {name: Measured(finished.texts.dataset.splits[name], features[name], truth[name]) for name in SPLITS}
    beside = compare_with_simple_models(
        splits, found.predicted, order.labels, order.task, order.hyperparameters.head_rows
    )
    spread = summarise([_as_repeat(result, finished, order), *repeats]) if repeats else None
    leaked = leaked_rows(finished.texts.dataset)
    without_leaks = measure_without_leaks(leaked, truth["test"], found.predicted, order.task)
    report = Report(
        job_id=order.job_id,
        model_id=order.model_id,
        dataset_id=order.dataset_id,
        task=order.task,
        labels=order.labels,
        warnings=report_warnings(result, beside.baselines, spread, without_leaks, beside.unmeasured, truth["val"]),
        test=result,
        baselines=beside.baselines,
        unmeasured_baselines=beside.unmeasured,
        repeats=spread,
        calibration=_calibration(found, truth["test"], scaling, order.task),
        thresholds=dict(zip(card.labels, card.thresholds, strict=True)) if order.task == "deciding" else None,
        slices=make_slices(test, truth["test"], found.predicted, order.task),
        transfer=beside.transfer,
        without_leaks=without_leaks,
        suspects=beside.suspects,
        suspect_counts=beside.suspect_counts,
        selection=Selection(
            chosen_by=CHOSEN_BY[order.hyperparameters.head_rows], test_scored_before=order.test_scored_before
        ),
        validation=finished.validation,
        reproduction=reproduction(order, finished.base, describe_device(classifier.device)),
    )
    return report, render_text(report, table)


def _calibration(found: Answers, truth: Binary, scaling: Scaling, task: Task) -> Calibration:
    before = activate(scaling.undone(found.logits), task)
    return Calibration(
        temperature=scaling.temperature,
        prior_share=scaling.prior_share,
        before=calibration_error(before, truth, found.predicted, task),
        after=calibration_error(found.scores, truth, found.predicted, task),
    )


def _as_repeat(result: TestResult, finished: Finished, order: Order) -> Repeat:
    return Repeat(
        seed=order.hyperparameters.seed,
        val_loss=finished.validation.best["val_loss"],
        accuracy=result.accuracy,
        macro_f1=result.macro_f1,
    )


def _metrics(report: Report) -> Json:
    test, best = report.test, report.validation.best
    return {
        "val_loss": best["val_loss"],
        "val_macro_f1": best["val_macro_f1"],
        "test_accuracy": test.accuracy,
        "test_macro_f1": test.macro_f1,
        "test_micro_f1": test.micro_f1,
        "test_ece": report.calibration.after.ece,
        "test_rows": test.rows,
        **({"thresholds": report.thresholds} if report.thresholds else {}),
    }
