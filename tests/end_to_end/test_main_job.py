"""The main job as a stranger would do it: real processes, real text, nothing but HTTP."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from parts.deployment import is_alive, running, wait_until
from parts.log_lines import lines_of
from parts.system import Up
from service.datasets.splitting import iterative_stratification
from service.demo import read_corpus

LANGUAGES = ("english", "italian", "japanese", "korean")
Split = dict[str, list[Any]]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    system = Up(tmp_path_factory.mktemp("up") / "data")
    yield system
    system.kill()


def cut(texts: list[str], labels: list[Any]) -> dict[str, Split]:
    """train, val and test as the API takes them."""
    sets = [own if isinstance(own, list) else [own] for own in labels]
    names = iterative_stratification(sets, {"train": 0.6, "val": 0.2, "test": 0.2}, seed=0)
    return {
        split: {
            "Text": [text for text, own in zip(texts, names, strict=True) if own == split],
            "Labels": [label for label, own in zip(labels, names, strict=True) if own == split],
        }
        for split in ("train", "val", "test")
    }


def choosing_data() -> dict[str, Split]:
    rows = read_corpus(LANGUAGES, ("food", "money", "movies", "science", "sports"))
    return cut([row["text"] for row in rows], [row["label"] for row in rows])


def deciding_data() -> dict[str, Split]:
    """Topic, and whether it is asked; other small talk has no topic."""
    rows = read_corpus(LANGUAGES, ("food", "money", "movies", "science", "greetings"))
    labels = [
        [row["label"]] * (row["label"] != "greetings") + ["question"] * row["text"].endswith(("?", "？"))
        for row in rows
    ]
    return cut([row["text"] for row in rows], labels)


def baseline_macro_f1(data: dict[str, Split]) -> float:
    """TF-IDF on words and logistic regression, trained and measured on the same rows."""
    vectors = TfidfVectorizer(sublinear_tf=True).fit(data["train"]["Text"])
    train, test = vectors.transform(data["train"]["Text"]), vectors.transform(data["test"]["Text"])
    model: Any = LogisticRegression(max_iter=1000)
    truth, known = data["test"]["Labels"], data["train"]["Labels"]
    if isinstance(known[0], list):
        binarizer = MultiLabelBinarizer().fit(known)
        known, truth, model = binarizer.transform(known), binarizer.transform(truth), OneVsRestClassifier(model)
    return float(f1_score(truth, model.fit(train, known).predict(test), average="macro", zero_division=0))


def train(up: Up, name: str, data: dict[str, Split]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Uploads, submits, follows the job by server-sent events; returns the finished job and its events."""
    dataset = up.client.post("/datasets", json={"name": name, **data})
    assert dataset.status_code == 201, dataset.text
    body = {
        "dataset_id": dataset.json()["id"],
        "base_model": "bundled/multilingual-small",
        "hyperparameters": {"optimizer": "sam", "num_epochs": 4},
    }
    job = up.client.post("/jobs", json=body)
    assert job.status_code == 202, job.text
    address = job.headers["location"]
    events = []
    with up.client.stream("GET", f"{address}/events", headers={"Accept": "text/event-stream"}, timeout=500) as stream:
        events = [json.loads(line.removeprefix("data: ")) for line in stream.iter_lines() if line.startswith("data: ")]
    done = up.client.get(address).json()
    assert done["status"] == "succeeded", (done["error"], up.log.read_text()[-3000:])
    return done, events


def test_the_service_is_ready_within_ten_seconds(up: Up) -> None:
    assert up.seconds_until_ready < 10


def test_choosing_from_upload_to_prediction(up: Up) -> None:
    data = choosing_data()
    job, events = train(up, "topics", data)
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    assert [event["data"]["epoch"] for event in events if event["type"] == "metrics"] == list(range(1, 5))
    report = up.client.get(f"/jobs/{job['id']}/report").json()
    baseline = baseline_macro_f1(data)
    assert report["test"]["macro_f1"] > baseline, f"TF-IDF + logistic regression: {baseline:.3f}"
    assert report["test"]["rows"] == len(data["test"]["Text"])
    text = up.client.get(f"/jobs/{job['id']}/report", headers={"Accept": "text/plain"}).text
    assert "macro avg" in text
    answer = up.client.post("/predict", json={"texts": data["test"]["Text"], "model": "topics"}).json()
    assert answer["model"] == {"id": job["model_id"], "name": "topics", "version": 1}
    predicted = [prediction["label"] for prediction in answer["predictions"]]
    served = f1_score(data["test"]["Labels"], predicted, average="macro")
    assert served == pytest.approx(report["test"]["macro_f1"])  # what was measured is what is served
    unseen = ["Welche Mannschaft hat das Fußballspiel gewonnen?", "¿Qué película viste ayer?"]
    answer = up.client.post("/predict", json={"texts": unseen}).json()
    assert [prediction["label"] for prediction in answer["predictions"]] == ["sports", "movies"]


def test_the_archive_loads_elsewhere_with_the_right_labels(up: Up, tmp_path: Path) -> None:
    model = up.client.get("/models").json()["data"][0]
    archive = up.client.get(f"/models/{model['id']}/archive", timeout=300)
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as packed:
        packed.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    loaded = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert list(loaded.config.id2label.values()) == model["labels"]
    text = "What is the best film of all time?"
    theirs = loaded(**tokenizer(text, return_tensors="pt")).logits.softmax(-1).max().item()
    ours = up.client.post("/predict", json={"texts": [text], "top_k": 1}).json()["predictions"][0]["scores"]
    assert max(ours.values()) == pytest.approx(theirs, abs=0.01)  # served in bfloat16, where there is hardware for it


def test_deciding_from_upload_to_prediction(up: Up) -> None:
    data = deciding_data()
    job, _ = train(up, "small talk", data)
    report = up.client.get(f"/jobs/{job['id']}/report").json()
    baseline = baseline_macro_f1(data)
    assert report["test"]["macro_f1"] > baseline, f"TF-IDF + logistic regression: {baseline:.3f}"
    assert report["test"]["label_counts"].keys() == {"food", "money", "movies", "science", "question"}
    body = {"texts": data["test"]["Text"], "model": "small talk", "threshold": 0.0}
    everything = up.client.post("/predict", json=body).json()["predictions"]
    assert all(len(prediction["labels"]) == 5 and prediction["label"] is None for prediction in everything)


def test_where_nobody_sits_at_a_terminal_its_log_is_one_json_line_an_event(up: Up) -> None:
    ready = [line for line in lines_of(up.log.read_text()) if line["event"] == "ready" and line["process"] == "up"]
    assert [line["address"] for line in ready] == [str(up.client.base_url).rstrip("/")]


def test_a_second_up_on_the_same_data_dir_is_refused(up: Up) -> None:
    command = [sys.executable, "-m", "service.cli", "up", "--port", "0", "--data-dir", str(up.data_dir)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "is running on" in second.stderr
    assert f"process {up.process.pid}" in second.stderr
    assert up.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_no_process_and_the_next_start_finds_everything(up: Up, number: signal.Signals) -> None:
    models = up.client.get("/models").json()
    assert len(models["data"]) == 2
    assert up.stop(number) == 0
    assert up.processes() == []
    up.__init__(up.data_dir)  # type: ignore[misc]  # the same system again, for the tests that follow
    assert up.client.get("/models").json() == models
    answer = up.client.post("/predict", json={"texts": ["football"], "model": "topics"})
    assert answer.status_code == 200


def test_what_is_killed_is_started_again_or_dies_with_its_parent(up: Up) -> None:
    worker = next(
        pid
        for pid, words, environment in running()
        if words.split(b"\0")[1:4] == [b"-P", b"-m", b"worker"] and str(up.data_dir).encode() in environment
    )
    os.kill(worker, signal.SIGKILL)
    wait_until(
        lambda: any(line.endswith("-m worker ") for line in up.processes()) and not is_alive(worker), 20, up.processes
    )
    up.process.kill()
    up.process.wait()
    wait_until(lambda: up.processes() == [], 10, up.processes)
