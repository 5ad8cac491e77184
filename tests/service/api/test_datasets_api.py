"""`/datasets` as the contract has it: created, listed, deleted."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.toy_text import choosing, columns, deciding
from parts.wire import RFC3339, error_of, fruit, moods, send_files
from service.api.context import Context
from service.datasets.dataset import SPLITS
from service.datasets.files import read_dataset
from service.store import datasets as dataset_rows

KEYS = ["id", "name", "task", "language", "labels", "splits", "warnings", "sha256", "created_at"]
TEXTS, LABELS = choosing(30)
PAIRS = list(zip(TEXTS, LABELS, strict=True))
FILES = {
    "train.json": json.dumps(columns(TEXTS, LABELS)),
    "train.jsonl": "\n".join(json.dumps({"text": text, "label": label}) for text, label in PAIRS),
    "train.csv": "\n".join(["text,label", *(f'"{text}",{label}' for text, label in PAIRS)]),
    "train.tsv": "\n".join(["Labels\tText", *(f"{label}\t{text}" for text, label in PAIRS)]),
}


def stored(context: Context, dataset_id: str) -> Any:
    with context.database.read() as tx:
        record = dataset_rows.get(tx, "default", dataset_id)
    assert record is not None
    return read_dataset(context.artifacts.open("datasets", dataset_id), record.task, record.labels)


def test_a_json_body_becomes_a_data_set(shared: TestClient) -> None:
    response = shared.post("/datasets", json=fruit(30, language="english"))
    assert response.status_code == 201
    body = response.json()
    assert response.headers["location"] == f"/datasets/{body['id']}"
    assert list(body) == KEYS
    assert (body["name"], body["task"], body["language"]) == ("fruit", "choosing", "english")
    assert body["labels"] == ["animal", "fruit", "weather"]
    assert body["splits"] == {
        "train": {"rows": 18, "labels": {"animal": 6, "fruit": 6, "weather": 6}},
        "val": {"rows": 6, "labels": {"animal": 2, "fruit": 2, "weather": 2}},
        "test": {"rows": 6, "labels": {"animal": 2, "fruit": 2, "weather": 2}},
    }
    assert [(warning["code"], warning["rows"]) for warning in body["warnings"]] == [("few_examples", [])]  # 6 a label
    assert re.fullmatch("[0-9a-f]{64}", body["sha256"])
    assert RFC3339.fullmatch(body["created_at"])
    assert shared.get(response.headers["location"]).json() == body


@pytest.mark.parametrize("filename", FILES)
def test_a_file_of_every_form_becomes_the_same_data_set(shared: TestClient, filename: str) -> None:
    expected = shared.post("/datasets", json=fruit(30)).json()
    response = send_files(shared, {"train": (filename, FILES[filename])}, language="english", task="choosing")
    assert response.status_code == 201, response.text
    assert response.json()["sha256"] == expected["sha256"]
    assert response.json()["language"] == "english"


def test_a_list_of_rows_becomes_the_same_data_set(shared: TestClient) -> None:
    rows = [{"text": text, "label": label} for text, label in PAIRS]
    response = shared.post("/datasets", json={"name": "fruit", "train": rows})
    assert response.status_code == 201, response.text
    assert response.json()["sha256"] == shared.post("/datasets", json=fruit(30)).json()["sha256"]


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("train.json", "application/json"),
        ("train.jsonl", "application/x-ndjson"),
        ("train.csv", "text/csv; charset=utf-8"),
        ("train.tsv", "Text/Tab-Separated-Values"),
    ],
)
def test_a_file_without_an_extension_is_read_by_its_type(shared: TestClient, filename: str, kind: str) -> None:
    files = {"train": ("data", FILES[filename], kind)}
    response = shared.post("/datasets", files=files, data={"name": "fruit"})
    assert response.status_code == 201, response.text
    assert response.json()["sha256"] == shared.post("/datasets", json=fruit(30)).json()["sha256"]


def test_lists_of_labels_are_for_deciding(shared: TestClient) -> None:
    body = shared.post("/datasets", json=moods(40)).json()
    assert body["task"] == "deciding"
    assert sum(split["rows"] for split in body["splits"].values()) == 40
    texts, labels = deciding(40)
    cells = "\n".join(["text,labels", *(f'"{text}",{"|".join(row)}' for text, row in zip(texts, labels, strict=True))])
    assert send_files(shared, {"train": ("a.csv", cells)}).json()["sha256"] == body["sha256"]


def test_splits_are_kept_as_sent_and_missing_ones_cut(shared: TestClient) -> None:
    sent = {"train": ("a.json", FILES["train.json"]), "test": ("b.csv", FILES["train.csv"])}
    splits = send_files(shared, sent, split='{"val": 0.1, "seed": 3}').json()["splits"]
    assert {name: split["rows"] for name, split in splits.items()} == {"train": 27, "val": 3, "test": 30}


def test_the_seed_of_the_cut_is_the_clients(shared: TestClient) -> None:
    sums = [
        shared.post("/datasets", json=fruit(30, split={"val": 0.3, "seed": seed})).json()["sha256"]
        for seed in (0, 0, 1)
    ]
    assert sums[0] == sums[1] != sums[2]


def test_a_sheet_that_is_coded_in_part_can_be_sent_as_it_is(shared: TestClient) -> None:
    lines = [f'"{text}",{label if row % 2 else ""}' for row, (text, label) in enumerate(PAIRS)]
    table = {"train": ("a.csv", "\n".join(["text,label", *lines]))}
    body = send_files(shared, table, unlabelled="skip").json()
    assert (body["task"], sum(split["rows"] for split in body["splits"].values())) == ("choosing", 15)
    warning = body["warnings"][0]
    assert (warning["code"], warning["rows"][1]) == ("unlabelled_skipped", {"split": "train", "row": 2})
    assert send_files(shared, table, unlabelled="").json()["task"] == "deciding"
    refused = error_of(send_files(shared, table, task="choosing"), 422, "dataset_invalid")
    assert "or send unlabelled=skip to leave such rows out" in refused["message"]
    sent = columns(TEXTS, [label if row % 2 else "" for row, label in enumerate(LABELS)])
    response = shared.post("/datasets", json={"name": "fruit", "train": sent, "unlabelled": "skip"})
    assert response.json()["sha256"] == body["sha256"]


@pytest.mark.parametrize(
    "language", ["es-419", "Norwegian (Bokmål)", "N'Ko", "N’Ko", "zh_Hans", "Tiếng Việt", "日本語"]
)
def test_languages_are_named_as_they_are_written(shared: TestClient, language: str) -> None:
    body = shared.post("/datasets", json=fruit(30, language=language)).json()
    assert (body["language"], [warning["code"] for warning in body["warnings"]]) == (language, ["few_examples"])
    job = shared.post("/jobs", json={"dataset_id": body["id"], "language": language})
    assert (job.status_code, job.json()["base_model"]) == (202, "xlm-roberta-base")


def test_null_is_the_same_as_left_out(shared: TestClient) -> None:
    expected = shared.post("/datasets", json=fruit(30)).json()["sha256"]
    nulls = dict.fromkeys(("task", "language", "unlabelled", "split", "val", "test"))
    for split in (None, dict.fromkeys(("val", "test", "seed", "group"))):
        response = shared.post("/datasets", json=fruit(30, **{**nulls, "split": split}))
        assert response.status_code == 201, response.text
        assert response.json()["sha256"] == expected
    assert send_files(shared, {"train": ("a.json", FILES["train.json"])}, split="null").json()["sha256"] == expected


def test_answers_of_one_respondent_stay_in_one_split(client: TestClient, context: Context) -> None:
    who = [f"r{row // 3}" for row in range(30)]
    table = "\n".join(
        ["text,label,who", *(f'"{text}",{label},{own}' for (text, label), own in zip(PAIRS, who, strict=True))]
    )
    sent = send_files(client, {"train": ("a.csv", table)}, split='{"group": "Who"}')
    assert sent.status_code == 201, sent.text
    splits = stored(context, sent.json()["id"]).splits
    places = {(row.extra["who"], split) for split, rows in splits.items() for row in rows}
    assert len(places) == 10
    body = fruit(30, split={"group": "who"})
    body["train"]["who"] = who
    assert client.post("/datasets", json=body).json()["sha256"] == sent.json()["sha256"]


def test_extra_columns_are_kept(client: TestClient, context: Context) -> None:
    train = columns(TEXTS, LABELS) | {"Source": list(range(30))}
    dataset_id = client.post("/datasets", json={"name": "fruit", "train": train}).json()["id"]
    kept = {row.text: row.extra["Source"] for rows in stored(context, dataset_id).splits.values() for row in rows}
    assert kept == dict(zip(TEXTS, range(30), strict=True))


def test_a_split_without_some_label_gets_a_warning(shared: TestClient) -> None:
    val = {"Text": ["x", "y"], "Labels": ["fruit", "animal"]}
    (warning,) = shared.post("/datasets", json=fruit(30, val=val)).json()["warnings"]
    assert warning["code"] == "label_sets_differ"
    assert "'weather'" in warning["message"]


def test_a_text_in_two_splits_gets_a_warning(shared: TestClient) -> None:
    test = columns([TEXTS[4], "something new", "Another", "More"], [LABELS[4], *sorted(set(LABELS))])
    warnings = shared.post("/datasets", json=fruit(30, val=test, test=test)).json()["warnings"]
    (warning,) = [warning for warning in warnings if warning["code"] == "leakage"]
    assert {"split": "test", "row": 0} in warning["rows"]


@pytest.mark.parametrize("name", ["fruit", "Früchte 2", "fruit_v1.2-x", "水果", "7", "x" * 100])
def test_names_may_be_in_any_script(shared: TestClient, name: str) -> None:
    response = shared.post("/datasets", json=fruit(name=name))
    assert (response.status_code, response.json().get("name")) == (201, name)


@pytest.mark.parametrize(
    ("sent", "name"),
    [("fruit ", "fruit"), (" \u3000Früchte 2\u00a0", "Früchte 2"), ("U\u0308ni\u0308", "Ünï"), ("a  b", "a  b")],
)
def test_names_that_look_alike_are_one(shared: TestClient, sent: str, name: str) -> None:
    response = shared.post("/datasets", json=fruit(name=sent))
    assert (response.status_code, response.json().get("name")) == (201, name)
    job = shared.post("/jobs", json={"dataset_id": response.json()["id"], "name": sent})
    assert (job.status_code, job.json().get("name")) == (202, name)


# -- listed and deleted -------------------------------------------------------------------------------


def test_data_sets_are_listed_newest_first_by_pages(client: TestClient, upload: Callable[..., str]) -> None:
    newest_first = [upload(name=f"fruit {number}") for number in range(5)][::-1]
    seen: list[str] = []
    more = True
    while more:
        after = {"after": seen[-1]} if seen else {}
        page = client.get("/datasets", params={"limit": "2", **after}).json()
        assert list(page) == ["data", "has_more"]
        seen += [item["id"] for item in page["data"]]
        more = page["has_more"]
        assert len(page["data"]) == (2 if more else 1)
    assert seen == newest_first
    assert [item["id"] for item in client.get("/datasets").json()["data"]] == newest_first


def test_the_data_sets_of_one_name_are_listed_by_pages(client: TestClient, upload: Callable[..., str]) -> None:
    newest_first = [upload(name=name) for name in ("fruit", "tools", "fruit")][::-1]
    first = client.get("/datasets?name=fruit&limit=1").json()
    assert ([item["id"] for item in first["data"]], first["has_more"]) == (newest_first[:1], True)
    rest = client.get(f"/datasets?name=fruit&after={newest_first[0]}").json()
    assert ([item["id"] for item in rest["data"]], rest["has_more"]) == (newest_first[2:], False)


@pytest.mark.parametrize("path", ["/datasets", "/jobs", "/models", "/jobs/{}/events"])
def test_a_page_that_is_left_empty_is_the_first(client: TestClient, upload: Callable[..., str], path: str) -> None:
    jobs = [client.post("/jobs", json={"dataset_id": upload()}).json()["id"] for _ in range(3)]
    path = path.format(jobs[0])
    assert client.get(f"{path}?limit=&after=").json() == client.get(path).json()
    assert len(client.get(f"{path}?limit=1&after=").json()["data"]) == (path != "/models")


def test_an_empty_filter_is_not_one_that_was_left_out(client: TestClient, upload: Callable[..., str]) -> None:
    """A script that deletes what it finds by a name that it has not set would delete all."""
    upload()
    assert client.get("/datasets?name=").json() == {"data": [], "has_more": False}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=..%2F", "after=" + "a" * 61])
def test_wrong_pages_are_refused(shared: TestClient, query: str) -> None:
    error = error_of(shared.get(f"/datasets?{query}"), 422, "request_invalid")
    assert error["details"][0]["field"] == query.split("=")[0]


def test_a_deleted_data_set_is_gone(client: TestClient, context: Context, upload: Callable[..., str]) -> None:
    dataset_id = upload()
    response = client.delete(f"/datasets/{dataset_id}")
    assert (response.status_code, response.content) == (204, b"")
    assert not context.artifacts.path("datasets", dataset_id).exists()
    error_of(client.get(f"/datasets/{dataset_id}"), 404, "dataset_not_found")
    error_of(client.delete(f"/datasets/{dataset_id}"), 404, "dataset_not_found")


def test_a_data_set_in_use_stays(client: TestClient, upload: Callable[..., str]) -> None:
    dataset_id = upload()
    job = client.post("/jobs", json={"dataset_id": dataset_id}).json()
    error_of(client.delete(f"/datasets/{dataset_id}"), 409, "dataset_in_use")
    assert client.get(f"/datasets/{dataset_id}").status_code == 200
    client.post(f"/jobs/{job['id']}/cancel")
    assert client.delete(f"/datasets/{dataset_id}").status_code == 204
    assert client.get(f"/jobs/{job['id']}").json()["dataset_id"] == dataset_id


def test_every_split_is_in_the_answer(shared: TestClient) -> None:
    assert tuple(shared.post("/datasets", json=fruit()).json()["splits"]) == SPLITS
