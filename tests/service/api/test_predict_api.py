"""`/predict` as the contract has it, with real models whose heads were never trained."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.finished_models import LABELS, publish
from parts.toy_text import choosing
from parts.wire import error_of
from service.api import predict
from service.api.context import Context
from service.inference import shelf
from service.inference.predictions import Prediction, read_predictions
from service.store.records import ModelRecord

TEXTS = choosing(30, language="other")[0]
Publish = Callable[..., ModelRecord]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, open_client: Callable[..., TestClient]) -> Iterator[TestClient]:
    """A service with one model for choosing, `fruit`, and one for deciding, `moods`."""
    with open_client(tmp_path_factory.mktemp("serving"), max_texts=40, max_text_bytes=2000) as client:
        context: Context = client.app.state.context  # type: ignore[attr-defined]
        publish(context.database, context.artifacts, name="fruit", max_length=16)
        publish(context.database, context.artifacts, name="moods", task="deciding")
        yield client


@pytest.fixture
def put(context: Context) -> Publish:
    """Publishes a model that the service knows of at once."""

    def put(**values: Any) -> ModelRecord:
        record = publish(context.database, context.artifacts, **values)
        context.shelf.look_again()
        return record

    return put


def ask(client: TestClient, texts: list[str], model: str | None = None, **fields: Any) -> Any:
    response = client.post("/predict", json={"texts": texts, "model": model, **fields})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("written", ["Ünï", "U\u0308ni\u0308", " Ünï\n"])
def test_a_model_is_found_however_its_name_is_written(client: TestClient, put: Publish, written: str) -> None:
    put(name="other")
    record = put(name="Ünï")
    assert ask(client, ["x"], written)["model"] == {"id": record.id, "name": "Ünï", "version": 1}
    headers = {"Content-Type": "application/jsonl"}
    answer = client.post("/predict", params={"model": written}, content=b'"x"', headers=headers)
    assert (answer.status_code, answer.headers["model-id"]) == (200, record.id)


def test_choosing_names_the_most_probable_label(serving: TestClient) -> None:
    answer = ask(serving, TEXTS, "fruit")
    assert list(answer) == ["model", "predictions"]
    assert sorted(answer["model"]) == ["id", "name", "version"]
    assert (answer["model"]["name"], answer["model"]["version"]) == ("fruit", 1)
    assert len(answer["predictions"]) == len(TEXTS)
    for prediction in answer["predictions"]:
        assert list(prediction) == ["label", "labels", "scores", "tokens", "truncated"]
        assert sorted(prediction["scores"]) == sorted(LABELS)
        assert sum(prediction["scores"].values()) == pytest.approx(1, abs=1e-5)
        assert prediction["label"] == max(prediction["scores"], key=prediction["scores"].__getitem__)
        assert prediction["labels"] == [prediction["label"]]
    assert len({prediction["label"] for prediction in answer["predictions"]}) > 1


def test_deciding_names_every_label_at_or_above_the_threshold(serving: TestClient) -> None:
    for threshold in (None, 0.0, 0.3, 0.9, 1):
        bar = 0.5 if threshold is None else threshold
        for prediction in ask(serving, TEXTS, "moods", threshold=threshold)["predictions"]:
            assert prediction["label"] is None
            assert prediction["labels"] == [label for label in LABELS if prediction["scores"][label] >= bar]


def test_a_score_that_is_the_threshold_counts(serving: TestClient) -> None:
    (prediction,) = ask(serving, TEXTS[:1], "moods")["predictions"]
    for label, score in prediction["scores"].items():
        assert label in ask(serving, TEXTS[:1], "moods", threshold=score)["predictions"][0]["labels"]


def test_answers_come_in_the_order_asked(serving: TestClient) -> None:
    texts = ["short", " ".join(TEXTS[:3]), *TEXTS[3:8], "?", "short"]
    together = ask(serving, texts, "moods")["predictions"]
    for text, prediction in zip(texts, together, strict=True):
        (alone,) = ask(serving, [text], "moods")["predictions"]
        assert alone["scores"] == pytest.approx(prediction["scores"], abs=1e-5)
        assert alone["tokens"] == prediction["tokens"]
    first, last = together[0], together[-1]
    assert first | {"scores": None} == last | {"scores": None}
    assert first["scores"] == pytest.approx(last["scores"], abs=1e-5)


@pytest.mark.parametrize(("top_k", "kept"), [(1, 1), (2, 2), (3, 3), (100, 3)])
@pytest.mark.parametrize("model", ["fruit", "moods"])
def test_top_k_keeps_the_largest_scores_and_no_label_is_lost(
    serving: TestClient, model: str, top_k: int, kept: int
) -> None:
    whole = ask(serving, TEXTS[:5], model)["predictions"]
    for full, prediction in zip(whole, ask(serving, TEXTS[:5], model, top_k=top_k)["predictions"], strict=True):
        largest = sorted(full["scores"].items(), key=lambda pair: -pair[1])[:kept]
        assert prediction["scores"] == pytest.approx(dict(largest), abs=1e-5)
        assert prediction["labels"] == full["labels"]


def test_a_text_that_is_cut_says_so(serving: TestClient) -> None:
    long, short = ask(serving, ["one two three " * 30, "one"], "fruit")["predictions"]
    assert (long["tokens"], long["truncated"]) == (16, True)
    assert short["tokens"] < 16
    assert short["truncated"] is False


@pytest.mark.parametrize("text", ["🍎" * 20, "\u202eabc", "a\u0300\u0301", "\n\tx\r\n", "<s> </s> <pad>", "x" * 2000])
def test_any_text_is_answered(serving: TestClient, text: str) -> None:
    (prediction,) = ask(serving, [text], "fruit")["predictions"]
    assert prediction["label"] in LABELS


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"texts": []}, "texts"),
        ({"texts": "one"}, "texts"),
        ({"texts": ["x", 7]}, "texts"),
        ({"texts": ["x", None]}, "texts"),
        ({"text": "x"}, "text"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_k": "1"}, "top_k"),
        ({"threshold": -0.1}, "threshold"),
        ({"threshold": 1.1}, "threshold"),
        ({"threshold": "0.5"}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"model": 7}, "model"),
        ({"model": "x" * 111}, "model"),
    ],
)
def test_wrong_fields_are_named(serving: TestClient, fields: dict[str, Any], field: str) -> None:
    response = serving.post("/predict", json={"texts": ["x"], "model": "fruit", **fields})
    assert error_of(response, 422, "request_invalid")["details"][0]["field"] == field


@pytest.mark.parametrize("option", ["model", "top_k", "threshold", "treshold"])
def test_an_option_beside_the_body_is_not_ignored(serving: TestClient, option: str) -> None:
    response = serving.post("/predict", params={option: 1}, json={"texts": ["x"], "model": "fruit"})
    error = error_of(response, 422, "request_invalid")
    assert [detail["field"] for detail in error["details"]] == [option]
    assert "the options model, top_k, threshold are keys of it" in error["message"]


@pytest.mark.parametrize(("text", "words"), [("", "is empty"), (" \n", "is empty"), ("ä" * 1001, "longer than 2000")])
def test_a_text_that_cannot_be_answered_is_named_by_its_row(serving: TestClient, text: str, words: str) -> None:
    response = serving.post("/predict", json={"texts": ["x", text, text], "model": "fruit"})
    error = error_of(response, 422, "request_invalid")
    assert [(detail["row"], detail["field"]) for detail in error["details"]] == [(1, "texts"), (2, "texts")]
    assert words in error["message"]


def test_there_may_be_as_many_texts_as_the_limit_says(serving: TestClient) -> None:
    assert len(ask(serving, ["x"] * 40, "fruit")["predictions"]) == 40
    error = error_of(serving.post("/predict", json={"texts": ["x"] * 41, "model": "fruit"}), 413, "too_large")
    assert "the most here is 40" in error["message"]


def test_a_large_answer_says_the_same_and_is_not_written_on_the_event_loop(
    serving: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def read(*arguments: Any) -> list[Prediction]:
        threads.append(threading.current_thread().name)
        return read_predictions(*arguments)

    monkeypatch.setattr(predict, "read_predictions", read)
    small = serving.post("/predict", json={"texts": TEXTS, "model": "fruit"})
    monkeypatch.setattr(predict, "FEW", 3 * len(TEXTS) - 1)
    large = serving.post("/predict", json={"texts": TEXTS, "model": "fruit"})
    assert (large.json(), large.headers["content-type"]) == (small.json(), small.headers["content-type"])
    assert [name.startswith("AnyIO worker") for name in threads] == [False, True]


# -- which model answers ------------------------------------------------------------------------------


def test_the_model_is_needed_where_several_names_exist(serving: TestClient) -> None:
    error = error_of(serving.post("/predict", json={"texts": ["x"]}), 422, "model_required")
    assert '"model"' in error["message"]


def test_an_unknown_model_is_not_found(serving: TestClient) -> None:
    response = serving.post("/predict", json={"texts": ["x"], "model": "zebra"})
    error_of(response, 404, "model_not_found")
    assert "zebra" not in response.text


def test_without_any_model_nothing_is_answered(client: TestClient) -> None:
    error = error_of(client.post("/predict", json={"texts": ["x"]}), 404, "model_not_found")
    assert "POST /jobs" in error["message"]


def test_a_name_answers_with_its_best_version_and_an_id_with_its_own(
    client: TestClient, put: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "FRESH", 60)  # what a request changes holds for the next one, however fresh that was
    first = put(val_loss=0.5, seed=1)
    assert ask(client, ["x"])["model"] == {"id": first.id, "name": "fruit", "version": 1}
    before = ask(client, ["x"], first.id)["predictions"]
    second = put(val_loss=0.4, seed=2)
    assert ask(client, ["x"])["model"]["id"] == second.id
    assert ask(client, ["x"], "fruit")["predictions"] != before
    assert ask(client, ["x"], first.id)["predictions"] == before
    client.post(f"/models/{first.id}/promote")
    assert ask(client, ["x"], "fruit") == ask(client, ["x"], first.id)
    assert ask(client, ["x"], "fruit:2") == ask(client, ["x"], second.id)
    client.delete(f"/models/{first.id}/promote")
    assert ask(client, ["x"], "fruit") == ask(client, ["x"], second.id)
    client.post(f"/models/{first.id}/promote")
    client.delete(f"/models/{first.id}")
    assert ask(client, ["x"], "fruit")["model"]["version"] == 2
    error_of(client.post("/predict", json={"texts": ["x"], "model": first.id}), 404, "model_not_found")


def test_a_new_best_takes_over_without_a_failed_request(client: TestClient, put: Publish) -> None:
    put(val_loss=0.5)
    ask(client, ["x"])
    stop = threading.Event()

    def keep_asking(_: int) -> list[tuple[int, int]]:
        answers = []
        while not stop.is_set():
            response = client.post("/predict", json={"texts": TEXTS[:4], "model": "fruit"})
            answers.append((response.status_code, response.json()["model"]["version"]))
        response = client.post("/predict", json={"texts": TEXTS[:4], "model": "fruit"})
        return [*answers, (response.status_code, response.json()["model"]["version"])]

    with ThreadPoolExecutor(4) as pool:
        threads = pool.map(keep_asking, range(4))
        last = put(val_loss=0.4)
        assert ask(client, ["x"], last.id)["model"]["version"] == 2
        stop.set()
        answers = list(threads)
    assert {status for thread in answers for status, _ in thread} == {200}
    for thread in answers:
        versions = [version for _, version in thread]
        assert versions == sorted(versions)
        assert versions[-1] == 2


def test_a_damaged_new_best_leaves_the_old_one_answering(client: TestClient, context: Context, put: Publish) -> None:
    put(val_loss=0.5)
    ask(client, ["x"])
    broken = put(val_loss=0.4)
    (context.artifacts.path("models", broken.id) / "model.safetensors").unlink()
    assert ask(client, ["x"], "fruit")["model"]["version"] == 1
    error_of(client.post("/predict", json={"texts": ["x"], "model": broken.id}), 500, "artifact_corrupt")


# -- too much, and nothing there ----------------------------------------------------------------------


def test_a_full_queue_is_told_at_once(client: TestClient, context: Context, put: Publish) -> None:
    put()
    context.engine.admit(context.settings.max_queued_tokens)
    response = client.post("/predict", json={"texts": ["x"]})
    error_of(response, 429, "overloaded")
    assert response.headers["retry-after"] == "1"
    context.engine.release(context.settings.max_queued_tokens)
    assert ask(client, ["x"])
    assert context.engine.queued_tokens == 0


def test_a_model_in_memory_answers_while_the_database_is_away(
    client: TestClient, context: Context, put: Publish
) -> None:
    put()
    before = ask(client, ["x"])
    context.database.close()
    (context.settings.data_dir).rename(context.settings.data_dir.with_name("away"))
    context.shelf.look_again()
    assert ask(client, ["x"]) == before
    error_of(client.post("/predict", json={"texts": ["x"], "model": "other"}), 503, "database_unavailable")
