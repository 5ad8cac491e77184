"""Whole runs in this process, on tiny real models of each family."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from parts.rows import add_dataset
from parts.runs import Listener, assert_equal_bit_for_bit, make_order, read_report, run_to_the_end, store_toy_dataset
from parts.tiny_models import FAMILIES
from parts.toy_text import choosing, columns, deciding
from service.datasets.cutting import Cut
from service.datasets.files import read_dataset
from service.datasets.ingest import Submission, store_dataset
from service.errors import BaseModelUnavailable, NotFound, TrainingFailed
from service.inference.classifier import Classifier
from service.inference.predictions import read_predictions
from service.jobs.report import REPORT_JSON, REPORT_TEXT, Report
from service.models.base_models import for_language
from service.settings import Settings
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from worker.channel import Order
from worker.evaluation.metrics import row_losses, to_matrix
from worker.run import run
from worker.training.probe import FINE_TUNED, FROZEN, Strength, fit_probe

CPU = torch.device("cpu")
LANGUAGES = {"english": "english", "german": "german", "french": "french", "spanish": "other"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_family_of_the_language_map_is_trained_and_served(
    settings: Settings, sqlite: Database, language: str
) -> None:
    base_model = for_language(language)
    assert base_model in FAMILIES
    dataset = store_toy_dataset(settings, sqlite, rows=320, language=LANGUAGES[language])
    listener, folder = run_to_the_end(make_order(settings, dataset, base_model, num_epochs=12, learning_rate=3e-3))
    assert [content["phase"] for content in listener.all("phase")] == [
        "loading",
        "training",
        "evaluating",
        "publishing",
    ]
    assert len(listener.all("epoch")) == 12
    assert listener.all("epoch")[-1]["train_loss"] < listener.all("epoch")[0]["train_loss"]
    classifier = Classifier.load(folder, CPU)
    texts, labels = choosing(30, seed=9, language=LANGUAGES[language])
    rows = classifier.encoder.encode(texts)
    answers = [p.label for p in read_predictions(classifier.score(rows, 4096), rows, classifier.card)]
    right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
    assert right > 20, f"{right} of 30 where guessing gives 10"


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_the_published_folder_is_a_normal_transformers_checkpoint(
    settings: Settings, sqlite: Database, task: str
) -> None:
    dataset = store_toy_dataset(settings, sqlite, task)  # type: ignore[arg-type]
    _, folder = run_to_the_end(make_order(settings, dataset, "xlm-roberta-base"))
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.config.id2label == dict(enumerate(dataset.labels))
    kinds = {"choosing": "single_label_classification", "deciding": "multi_label_classification"}
    assert model.config.problem_type == kinds[task]
    text = "the ripe apple"
    logits = model(**tokenizer(text, return_tensors="pt")).logits.detach()
    theirs = torch.softmax(logits, -1) if task == "choosing" else torch.sigmoid(logits)
    classifier = Classifier.load(folder, CPU)
    row = classifier.encoder.encode([text])
    assert torch.allclose(torch.tensor(classifier.forward(row)), theirs, atol=0.01)
    classifier.engine = None  # the network itself, without an engine's rounding
    assert torch.allclose(torch.tensor(classifier.forward(row)), theirs, atol=1e-6)


@pytest.mark.parametrize(("share", "frozen"), [(0.5, True), ("auto", False)])
def test_frozen_layers_are_published_as_the_base_model_had_them_and_others_with_the_digits_of_bfloat16(
    settings: Settings, sqlite: Database, base_models_dir: Path, share: object, frozen: bool
) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    _, folder = run_to_the_end(make_order(settings, dataset, "roberta-base", frozen_share=share))
    published = load_file(folder / "model.safetensors")
    base = load_file(base_models_dir / "roberta-base" / "model.safetensors")
    for layer, expected in ((0, frozen), (1, False)):
        name = f"encoder.layer.{layer}.output.dense.weight"
        (own,) = (value for key, value in published.items() if key.endswith(name))
        (before,) = (value for key, value in base.items() if key.endswith(name))
        assert torch.equal(own, before) == expected
        assert torch.equal(own, own.bfloat16().float()) != expected


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_the_report_says_what_the_served_model_answers(settings: Settings, sqlite: Database, task: str) -> None:
    dataset = store_toy_dataset(settings, sqlite, task)  # type: ignore[arg-type]
    listener, folder = run_to_the_end(make_order(settings, dataset, "roberta-base"))
    artifacts = ArtifactStore(settings.artifacts_dir)
    stored = artifacts.open("reports", listener.all("succeeded")[0]["model_id"])
    report = Report.model_validate_json((stored / REPORT_JSON).read_text())
    test = read_dataset(artifacts.open("datasets", dataset.id), dataset.task, dataset.labels).splits["test"]
    classifier = Classifier.load(folder, CPU)
    rows = classifier.encoder.encode([example.text for example in test])
    predictions = read_predictions(classifier.score(rows, 4096), rows, classifier.card)
    wrong = [test[row].sent_row for row, p in enumerate(predictions) if set(p.labels) != set(test[row].labels)]
    assert report.test.rows == len(test) == dataset.splits["test"]["rows"]
    assert report.test.accuracy == pytest.approx(1 - len(wrong) / len(test))
    assert {(mistake.split, mistake.row) for mistake in report.test.misclassified} == {("train", row) for row in wrong}
    assert len(report.test.misclassified) == len(wrong)
    assert all(f"{label} " in (stored / REPORT_TEXT).read_text() for label in dataset.labels)
    assert report.reproduction.dataset_sha256 == dataset.sha256
    assert report.reproduction.hyperparameters["num_epochs"] == len(report.validation.history) == 3
    assert (report.test.confusion_matrix is None) == (task == "deciding")
    assert (report.test.label_counts is None) == (task == "choosing")


@pytest.mark.parametrize("task", ["choosing", "deciding"])
def test_the_report_stands_beside_baselines_and_says_how_sure_it_is(
    settings: Settings, sqlite: Database, task: str
) -> None:
    dataset = store_toy_dataset(settings, sqlite, task, rows=240)  # type: ignore[arg-type]
    order = make_order(settings, dataset, "roberta-base").model_copy(update={"test_scored_before": 3})
    listener, folder = run_to_the_end(order)
    report = read_report(settings, listener)
    assert [baseline.name for baseline in report.baselines] == [
        "majority",
        "tfidf_logistic_regression",
        "frozen_embeddings_logistic_regression",
    ]
    assert report.baselines[1].macro_f1.value > 0.8  # one word decides
    assert all(
        base.gain.value == pytest.approx(report.test.macro_f1 - base.macro_f1.value) for base in report.baselines
    )
    assert report.calibration.after.ece < 0.2
    assert report.selection.test_scored_before == 3
    card = json.loads((folder / "classiglot.json").read_text())
    assert (report.thresholds is None) == (task == "choosing")
    assert card["thresholds"] == (list(report.thresholds.values()) if report.thresholds else [])
    assert listener.all("succeeded")[0]["metrics"].get("thresholds") == report.thresholds


def test_deciding_on_a_single_label_goes_all_the_way_to_its_report(settings: Settings, sqlite: Database) -> None:
    texts, labels = deciding(160)
    own = [["fruit"] if "fruit" in named else [] for named in labels]
    submission = Submission("one", "deciding", None, {"train": columns(texts, own)}, Cut())
    dataset = store_dataset(submission, settings, sqlite, ArtifactStore(settings.artifacts_dir), project="default")
    listener, folder = run_to_the_end(make_order(settings, dataset, "roberta-base"))
    report = read_report(settings, listener)
    assert report.test.label_counts is not None
    counts = report.test.label_counts["fruit"]
    true = counts.true_positives + counts.false_negatives
    assert true == report.test.per_label["fruit"].support == report.test.classification_report["fruit"]["support"]
    assert report.test.macro_f1 == report.test.per_label["fruit"].f1.value
    assert report.baselines[1].macro_f1.value > 0.8  # one word decides
    answers = Classifier.load(folder, CPU).score(Classifier.load(folder, CPU).encoder.encode(texts[:4]), 4096)
    assert answers.shape == (4, 1)


def test_one_training_text_without_a_word_is_enough_for_a_report(settings: Settings, sqlite: Database) -> None:
    splits: dict[str, object] = {
        "train": columns(["🍏"], [["fruit"]]),
        "val": columns(["🍐"], [["fruit"]]),
        "test": columns(["🐕", "🍎"], [[], ["fruit"]]),
    }
    submission = Submission("emoji", "deciding", None, splits, Cut())
    dataset = store_dataset(submission, settings, sqlite, ArtifactStore(settings.artifacts_dir), project="default")
    listener, _ = run_to_the_end(make_order(settings, dataset, "roberta-base"))
    assert read_report(settings, listener).test.rows == 2


def test_what_learns_nothing_is_published_with_a_warning(settings: Settings, sqlite: Database) -> None:
    texts, labels = choosing(200)
    random.Random(0).shuffle(labels)
    submission = Submission("noise", "choosing", None, {"train": columns(texts, labels)}, Cut())
    dataset = store_dataset(submission, settings, sqlite, ArtifactStore(settings.artifacts_dir), project="default")
    listener, _ = run_to_the_end(make_order(settings, dataset, "roberta-base"))
    codes = [warning["code"] for warning in listener.all("succeeded")[0]["warnings"]]
    assert "baseline_not_beaten" in codes
    assert "few_test_rows" in codes
    assert [warning.code for warning in read_report(settings, listener).warnings] == codes


def test_a_test_split_of_training_texts_is_published_with_a_warning(settings: Settings, sqlite: Database) -> None:
    texts, labels = choosing(60)
    splits: dict[str, object] = {"train": columns(texts, labels), "test": columns(texts[:20], labels[:20])}
    submission = Submission("seen", "choosing", None, splits, Cut())
    dataset = store_dataset(submission, settings, sqlite, ArtifactStore(settings.artifacts_dir), project="default")
    listener, _ = run_to_the_end(make_order(settings, dataset, "roberta-base"))
    assert listener.all("succeeded")[0]["warnings"][0]["code"] == "test_leaked"
    found = read_report(settings, listener).without_leaks
    assert found is not None
    assert (found.leaked_rows, found.rows, found.accuracy) == (20, 0, None)


def test_the_best_epoch_is_kept_not_the_last(settings: Settings, sqlite: Database) -> None:
    """A rate this high wrecks the model after its best epoch, so that the two differ."""
    dataset = store_toy_dataset(settings, sqlite)
    order = make_order(settings, dataset, "roberta-base", num_epochs=8, learning_rate=0.3, optimizer="adamw")
    listener, folder = run_to_the_end(order)
    losses = [epoch["val_loss"] for epoch in listener.all("epoch")]
    best = listener.all("succeeded")[0]["best"]
    assert best["val_loss"] == min(losses)
    assert best["val_loss"] < losses[-1]
    classifier = Classifier.load(folder, CPU)
    stored = ArtifactStore(settings.artifacts_dir).open("datasets", dataset.id)
    val = read_dataset(stored, dataset.task, dataset.labels).splits["val"]
    scores = classifier.score(classifier.encoder.encode([row.text for row in val]), 4096)
    served = row_losses(scores, to_matrix([row.labels for row in val], dataset.labels), "choosing").mean()
    assert served == pytest.approx(best["val_loss"], rel=2e-2)  # validated in bfloat16 where the processor has it


def test_a_run_that_gets_no_better_ends_and_says_so(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    asked: dict[str, Any] = {"num_epochs": 30, "patience": 2, "learning_rate": 0.3, "optimizer": "adamw"}
    listener, _ = run_to_the_end(make_order(settings, dataset, "roberta-base", **asked))
    losses = [epoch["val_loss"] for epoch in listener.all("epoch")]
    assert losses.index(min(losses)) == len(losses) - 3
    assert len(losses) < 30
    assert "has not fallen for 2 epochs" in listener.all("note")[-1]["message"]
    last = listener.all("progress")[-1]
    assert (last["step"], last["epoch"]) == (last["total_steps"], last["num_epochs"]) == (5 * len(losses), len(losses))
    assert len(read_report(settings, listener).validation.history) == len(losses)


@pytest.mark.parametrize("optimizer", ["sam", "asam", "adamw"])
def test_two_runs_with_one_seed_are_equal_bit_for_bit(settings: Settings, sqlite: Database, optimizer: str) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    _, one = run_to_the_end(make_order(settings, dataset, "roberta-base", "job_1", optimizer=optimizer))
    _, other = run_to_the_end(make_order(settings, dataset, "roberta-base", "job_2", optimizer=optimizer))
    assert_equal_bit_for_bit(one, other)
    _, third = run_to_the_end(make_order(settings, dataset, "roberta-base", "job_3", optimizer=optimizer, seed=1))
    with pytest.raises(AssertionError):
        assert_equal_bit_for_bit(one, third)


@pytest.mark.parametrize(("head_rows", "last"), [("train", 1), ("train_and_val", 0)])
def test_a_head_that_validation_texts_teach_too_is_not_fitted_to_training_texts_first(
    settings: Settings, sqlite: Database, monkeypatch: pytest.MonkeyPatch, head_rows: str, last: int
) -> None:
    fitted: list[Strength] = []
    monkeypatch.setattr("worker.run.fit_probe", lambda *of: fitted.append(of[3]) or fit_probe(*of))  # type: ignore[func-returns-value]
    dataset = store_toy_dataset(settings, sqlite)
    run_to_the_end(make_order(settings, dataset, "roberta-base", head_rows=head_rows))
    assert fitted == [FROZEN] + [FINE_TUNED] * (3 + last)  # before the first step, after each epoch, and to be served


@pytest.mark.parametrize("head_rows", ["train", "train_and_val"])
def test_the_published_head_weighs_classes_as_asked(settings: Settings, sqlite: Database, head_rows: str) -> None:
    """Hardly a step is taken, so that what differs is the head."""
    texts, labels = choosing(400)
    kept = [row for row, label in enumerate(labels) if label != "fruit" or row % 8 == 0]
    rows = columns([texts[row] for row in kept], [labels[row] for row in kept])
    submission = Submission("skewed", "choosing", None, {"train": rows}, Cut())
    dataset = store_dataset(submission, settings, sqlite, ArtifactStore(settings.artifacts_dir), project="default")
    asked: dict[str, Any] = {"num_epochs": 1, "learning_rate": 1e-9, "head_rows": head_rows}
    bias = {}
    for number, weight in enumerate(("balanced", "none")):
        order = make_order(settings, dataset, "roberta-base", f"job_{number}", class_weight=weight, **asked)
        _, folder = run_to_the_end(order)
        own = next(value for name, value in load_file(folder / "model.safetensors").items() if "out_proj.bias" in name)
        bias[weight] = own - own.mean()
    fruit = dataset.labels.index("fruit")
    assert bias["none"][fruit] < bias["balanced"][fruit] - 0.1


def test_sam_with_rho_zero_is_adamw(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    _, sam = run_to_the_end(make_order(settings, dataset, "roberta-base", "job_1", optimizer="sam", rho=0.0))
    _, adamw = run_to_the_end(make_order(settings, dataset, "roberta-base", "job_2", optimizer="adamw"))
    assert_equal_bit_for_bit(sam, adamw)


def test_a_base_model_that_is_not_finite_ends_the_run_with_a_reason(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    order = make_order(settings, dataset, "roberta-base")
    folder = settings.base_models_dir
    assert folder is not None
    with pytest.raises(TrainingFailed, match="not finite") as caught:
        run(_with_broken_weights(order, folder), Listener())
    assert caught.value.code == "non_finite_loss"


def _with_broken_weights(order: Order, folder: Path) -> Order:
    """The same order on a base model one of whose weights is infinite."""
    broken = order.settings.data_dir / "broken"
    shutil.copytree(folder / "roberta-base", broken / "roberta-base")
    path = broken / "roberta-base" / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if "layer.0.output.dense.weight" in name)
    tensors[name][0, 0] = float("inf")
    save_file(tensors, path, metadata={"format": "pt"})
    return order.model_copy(update={"settings": order.settings.model_copy(update={"base_models_dir": broken})})


def test_a_base_model_that_is_not_here_is_named_with_what_is(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    order = make_order(settings.model_copy(update={"base_models_dir": None}), dataset, "camembert-base")
    with pytest.raises(BaseModelUnavailable, match=r"camembert-base is not on this machine.*bundled/"):
        run(order, Listener())


def test_a_data_set_that_is_gone_is_said(settings: Settings, sqlite: Database) -> None:
    with pytest.raises(NotFound):
        run(make_order(settings, add_dataset(sqlite), "roberta-base"), Listener())


def test_a_length_beyond_the_base_model_is_cut_and_said(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    listener, folder = run_to_the_end(make_order(settings, dataset, "roberta-base", max_length=512))
    assert "128 tokens at most" in listener.all("note")[0]["message"]
    assert listener.all("hyperparameters")[0]["hyperparameters"]["max_length"] == 128
    assert json.loads((folder / "classiglot.json").read_text())["max_length"] == 128


def test_texts_that_are_read_only_in_part_are_counted(settings: Settings, sqlite: Database) -> None:
    dataset = store_toy_dataset(settings, sqlite)
    notes = []
    for max_length in (8, 64):
        listener, _ = run_to_the_end(
            make_order(settings, dataset, "roberta-base", f"job_{max_length}", max_length=max_length)
        )
        notes.append([note["message"] for note in listener.all("note") if note.get("level") == "warning"])
    rows = dataset.splits["train"]["rows"]
    assert len(notes[0]) == 1
    assert f" of {rows} training texts are longer than max_length and read only in part" in notes[0][0]
    assert 0 < int(notes[0][0].split()[0]) <= rows
    assert notes[1] == []
