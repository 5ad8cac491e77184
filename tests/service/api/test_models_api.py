"""`/models` as the contract has it."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from parts.finished_models import publish
from parts.rows import add_model
from parts.wire import RFC3339, error_of
from service.api.archive import BLOCK, stream_archive
from service.api.context import Context
from service.store.artifacts import MANIFEST, ArtifactStore
from service.store.records import ModelRecord

KEYS = [
    *("id", "name", "version", "task", "labels", "base_model", "dataset_id", "job_id"),
    *("best", "pinned", "metrics", "created_at"),
]
OF_ONE = [("GET", ""), ("DELETE", ""), ("POST", "/promote"), ("DELETE", "/promote"), ("GET", "/archive")]
Add = Callable[..., ModelRecord]


@pytest.fixture
def add(context: Context) -> Add:
    """Adds the next version of `fruit`."""
    return lambda **values: add_model(context.database, **values)


def bests(client: TestClient) -> list[int]:
    """Which versions are best, in the list and one by one."""
    models = client.get("/models").json()["data"]
    assert [client.get(f"/models/{model['id']}").json() for model in models] == models
    return sorted(model["version"] for model in models if model["best"])


def test_no_models_are_an_empty_list(client: TestClient) -> None:
    assert client.get("/models").json() == {"data": [], "has_more": False}


def test_a_model_tells_where_it_comes_from(client: TestClient, add: Add) -> None:
    record = add(metrics={"test_macro_f1": 0.75})
    model = client.get(f"/models/{record.id}").json()
    assert list(model) == KEYS
    assert (model["version"], model["best"], model["metrics"]) == (1, True, {"test_macro_f1": 0.75})
    assert (model["job_id"], model["dataset_id"]) == (record.job_id, record.dataset_id)
    assert RFC3339.fullmatch(model["created_at"])


def test_models_are_listed_newest_first_by_pages(client: TestClient, add: Add) -> None:
    newest_first = [add(name=f"name {number % 2}").id for number in range(5)][::-1]
    first = client.get("/models?limit=3").json()
    assert ([model["id"] for model in first["data"]], first["has_more"]) == (newest_first[:3], True)
    rest = client.get(f"/models?limit=3&after={newest_first[2]}").json()
    assert ([model["id"] for model in rest["data"]], rest["has_more"]) == (newest_first[3:], False)
    assert [model["version"] for model in first["data"] + rest["data"]] == [3, 2, 2, 1, 1]


def test_the_versions_of_one_name_are_listed_by_pages(client: TestClient, add: Add) -> None:
    newest_first = [add(name=name).id for name in ("Früchte", "tools", "Früchte", "Früchte")][::-1]
    first = client.get("/models", params={"name": "Früchte", "limit": 2}).json()
    assert ([model["id"] for model in first["data"]], first["has_more"]) == (newest_first[:2], True)
    rest = client.get("/models", params={"name": " Fru\u0308chte", "after": newest_first[1]}).json()
    assert ([model["id"] for model in rest["data"]], rest["has_more"]) == (newest_first[3:], False)
    assert client.get("/models?name=zebra").json() == {"data": [], "has_more": False}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "after=.."])
def test_wrong_pages_are_refused(shared: TestClient, query: str) -> None:
    error_of(shared.get(f"/models?{query}"), 422, "request_invalid")


def test_the_lowest_validation_loss_is_best(client: TestClient, add: Add) -> None:
    add(val_loss=0.5)
    add(val_loss=0.3)
    add(val_loss=0.4)
    assert bests(client) == [2]
    add(val_loss=0.3)
    assert bests(client) == [4]  # of equals the newest


def test_only_versions_of_the_newest_validation_split_compete(client: TestClient, add: Add) -> None:
    add(val_loss=0.1, val_sha256="a" * 64)
    add(val_loss=0.5, val_sha256="b" * 64)
    assert bests(client) == [2]
    add(val_loss=0.6, val_sha256="b" * 64)
    assert bests(client) == [2]
    add(val_loss=0.9, val_sha256="a" * 64)
    assert bests(client) == [1]


def test_names_do_not_compete(client: TestClient, add: Add) -> None:
    add(name="fruit", val_loss=0.1)
    add(name="moods", val_loss=0.9)
    assert [model["best"] for model in client.get("/models").json()["data"]] == [True, True]


def test_a_promoted_version_stays_best_until_another_is(client: TestClient, add: Add) -> None:
    first, second = add(val_loss=0.9), add(val_loss=0.1)
    response = client.post(f"/models/{first.id}/promote")
    assert response.status_code == 200
    assert response.json() == client.get(f"/models/{first.id}").json()
    assert response.json()["best"] is True
    assert bests(client) == [1]
    add(val_loss=0.01)
    assert bests(client) == [1]
    client.post(f"/models/{second.id}/promote")
    assert bests(client) == [2]
    client.post(f"/models/{first.id}/promote")
    assert bests(client) == [1]


def test_a_deleted_version_is_gone_and_its_number_with_it(client: TestClient, context: Context) -> None:
    records = [publish(context.database, context.artifacts, val_loss=loss) for loss in (0.3, 0.1)]
    response = client.delete(f"/models/{records[1].id}")
    assert (response.status_code, response.content) == (204, b"")
    assert not context.artifacts.path("models", records[1].id).exists()
    for method, path in OF_ONE:
        error_of(client.request(method, f"/models/{records[1].id}{path}"), 404, "model_not_found")
    assert bests(client) == [1]
    assert add_model(context.database).version == 3


def test_the_version_that_was_promoted_last_is_pinned(client: TestClient, add: Add) -> None:
    first, second, third = add(val_loss=0.9), add(val_loss=0.5), add(val_loss=0.1)

    def pinned() -> list[str]:
        return [model["id"] for model in client.get("/models").json()["data"] if model["pinned"]]

    assert pinned() == []  # the best by its validation loss is not
    assert client.post(f"/models/{first.id}/promote").json()["pinned"] is True
    assert pinned() == [first.id]
    assert client.get(f"/models/{third.id}").json()["pinned"] is False
    client.post(f"/models/{second.id}/promote")
    assert pinned() == [second.id]
    client.delete(f"/models/{second.id}")
    assert pinned() == []  # the pin that was given up for it does not come back
    assert bests(client) == [3]


def test_a_promotion_can_be_taken_back(client: TestClient, add: Add) -> None:
    first, second = add(val_loss=0.9), add(val_loss=0.1)
    client.post(f"/models/{first.id}/promote")
    for _ in range(2):
        response = client.delete(f"/models/{first.id}/promote")
        assert response.status_code == 200
        assert response.json() == client.get(f"/models/{first.id}").json()
        assert (response.json()["pinned"], bests(client)) == (False, [2])
    client.post(f"/models/{first.id}/promote")
    assert client.delete(f"/models/{second.id}/promote").json()["best"] is False  # it had no pin to take
    assert bests(client) == [1]


def test_a_deleted_pin_gives_the_name_back(client: TestClient, add: Add) -> None:
    first = add(val_loss=0.9)
    add(val_loss=0.5)
    client.post(f"/models/{first.id}/promote")
    client.delete(f"/models/{first.id}")
    assert bests(client) == [2]


@pytest.mark.parametrize(("method", "path"), OF_ONE)
def test_a_model_that_is_none_is_not_found(shared: TestClient, method: str, path: str) -> None:
    error_of(shared.request(method, f"/models/mdl_none{path}"), 404, "model_not_found")


# -- the archive --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "problem_type"),
    [("choosing", "single_label_classification"), ("deciding", "multi_label_classification")],
)
def test_an_archive_loads_elsewhere_and_gives_the_same_scores(
    client: TestClient, context: Context, tmp_path: Path, task: Any, problem_type: str
) -> None:
    record = publish(context.database, context.artifacts, task=task, labels=["größe", "a b", "z"])
    response = client.get(f"/models/{record.id}/archive")
    assert response.headers["content-type"] == "application/gzip"
    assert response.headers["content-disposition"] == f'attachment; filename="{record.id}-v1.tar.gz"'
    with tarfile.open(fileobj=io.BytesIO(response.content)) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / f"{record.id}-v1"
    assert not (folder / MANIFEST).exists()

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert model.config.id2label == {0: "größe", 1: "a b", 2: "z"}
    assert model.config.problem_type == problem_type
    text = "A text of some length, and then some more of it"
    with torch.inference_mode():
        logits = model(**AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")).logits[0]
    expected = logits.softmax(-1) if task == "choosing" else logits.sigmoid()
    (prediction,) = client.post("/predict", json={"texts": [text]}).json()["predictions"]
    for index, label in model.config.id2label.items():
        assert prediction["scores"][label] == pytest.approx(expected[index].item(), abs=0.01)  # bfloat16


def test_a_damaged_model_is_not_given_out(client: TestClient, context: Context) -> None:
    record = publish(context.database, context.artifacts)
    weights = context.artifacts.path("models", record.id) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    error = error_of(client.get(f"/models/{record.id}/archive"), 500, "artifact_corrupt")
    assert "model.safetensors" in error["message"]
    error_of(client.post("/predict", json={"texts": ["x"]}), 500, "artifact_corrupt")


def test_a_model_whose_folder_is_gone_is_damaged_and_not_unknown(client: TestClient, context: Context) -> None:
    record = publish(context.database, context.artifacts)
    shutil.rmtree(context.artifacts.path("models", record.id))
    for answer in (client.get(f"/models/{record.id}/archive"), client.post("/predict", json={"texts": ["x"]})):
        assert "restore it from a backup or delete it" in error_of(answer, 500, "artifact_corrupt")["message"]
    assert client.delete(f"/models/{record.id}").status_code == 204


def test_a_model_that_is_deleted_before_it_could_be_read_is_not_found(
    client: TestClient, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [publish(context.database, context.artifacts) for _ in range(2)]
    check = ArtifactStore._checked

    def delete_and_check(store: ArtifactStore, folder: Path, *rest: Any) -> Path:
        client.delete(f"/models/{folder.name}")
        return check(store, folder, *rest)

    monkeypatch.setattr(ArtifactStore, "_checked", delete_and_check)
    error_of(client.get(f"/models/{records[0].id}/archive"), 404, "model_not_found")
    error_of(client.post("/predict", json={"texts": ["x"], "model": records[1].id}), 404, "model_not_found")


def test_an_archive_that_could_not_be_packed_whole_does_not_end_as_if_it_were(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(os.urandom(4 * BLOCK))
    (tmp_path / "tokenizer.json").write_text("{}")
    stream = stream_archive(tmp_path, "model", 0)
    next(stream)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="tokenizer"):
        list(stream)


def test_an_archive_tells_nothing_of_the_machine_and_is_the_same_wherever_its_files_are(tmp_path: Path) -> None:
    archives = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "config.json").chmod(0o600 + number)
        os.utime(folder / "config.json", (number, number))
        archives.append(b"".join(stream_archive(folder, "model", 1_700_000_000.5)))
    assert archives[0] == archives[1]
    assert archives[0][4:8] == bytes(4)  # gzip's own time
    with tarfile.open(fileobj=io.BytesIO(archives[0])) as archive:
        (entry,) = archive.getmembers()
    assert (entry.uid, entry.gid, entry.uname, entry.gname, entry.mode) == (0, 0, "", "", 0o644)
    assert entry.mtime == 1_700_000_000
