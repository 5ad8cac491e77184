"""`/datasets` as the contract has it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.toy_text import choosing, columns, deciding
from parts.wire import MARK, RFC3339, error_of, fruit, moods
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


def send_files(client: TestClient, files: Mapping[str, tuple[str, str | bytes]], **fields: str) -> Any:
    return client.post("/datasets", files=files, data={"name": "fruit", **fields})


# -- created ------------------------------------------------------------------------------------------


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


# -- refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "-x"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"name": None}, "name"),
        ({"task": "guessing"}, "task"),
        ({"language": "<b>"}, "language"),
        ({"language": ""}, "language"),
        ({"train": None}, "train"),
        ({"train": []}, "train"),
        ({"val": "x"}, "val"),
        ({"split": {"val": 0}}, "split.val"),
        ({"split": {"val": 0.51}}, "split.val"),
        ({"split": {"test": "0.2"}}, "split.test"),
        ({"split": {"seed": -1}}, "split.seed"),
        ({"split": {"seed": 2**32}}, "split.seed"),
        ({"split": {"seed": True}}, "split.seed"),
        ({"split": {"train": 0.5}}, "split.train"),
        ({"split": [0.2]}, "split"),
        ({"validation": {}}, "validation"),
    ],
)
def test_wrong_fields_are_named(shared: TestClient, fields: dict[str, Any], field: str) -> None:
    error = error_of(shared.post("/datasets", json=fruit(**fields)), 422, "request_invalid")
    assert [detail["field"] for detail in error["details"]] == [field]


def test_missing_fields_are_named_all_at_once(shared: TestClient) -> None:
    error = error_of(shared.post("/datasets", json={}), 422, "request_invalid")
    assert [(detail["field"], detail["message"]) for detail in error["details"]] == [
        ("name", "is missing"),
        ("train", "is missing"),
    ]


def test_a_cut_must_leave_something_to_train_on(shared: TestClient) -> None:
    error = error_of(shared.post("/datasets", json=fruit(30, split={"val": 0.5, "test": 0.5})), 422, "request_invalid")
    assert error["details"][0]["field"] == "split"


@pytest.mark.parametrize(
    ("body", "split", "row", "field", "words"),
    [
        (fruit(val={"Text": ["x"], "Labels": ["zebra"]}), "val", 0, "Labels", "label 'zebra' does not occur in train"),
        (fruit(train={"Text": ["x", ""], "Labels": ["a", "b"]}), "train", 1, "Text", "is empty"),
        (fruit(train={"Text": ["x", 7], "Labels": ["a", "b"]}), "train", 1, "Text", "must be a string"),
        (fruit(train={"Text": ["x", "y\0"], "Labels": ["a", "b"]}), "train", 1, "Text", "NUL"),
        (fruit(train={"Text": ["x", "y"], "Labels": ["a", None]}), "train", 1, "Labels", "must be one string"),
        (fruit(train={"Text": ["x", "y"], "Labels": ["a", ["b"]]}), "train", 0, "Labels", "must be a list of strings"),
        (fruit(task="choosing", train={"Text": ["x"], "Labels": [["a"]]}), "train", 0, "Labels", "must be one string"),
        (fruit(task="deciding", train={"Text": ["x"], "Labels": ["a"]}), "train", 0, "Labels", "must be a list"),
        (fruit(train={"Text": ["x", "y"], "Labels": ["a"]}), "train", None, "Labels", "all lists must have one length"),
        (fruit(train={}), "train", None, "Text", "exactly one column `Text`"),
        (fruit(test={"Text": [], "Labels": []}), "test", None, None, "has no rows"),
        (fruit(val=columns(TEXTS, LABELS), split={"val": 0.2}), "val", None, None, "was sent, so it cannot be cut"),
        (fruit(3), "val", None, None, "too small to cut val"),
    ],
)
def test_a_fault_in_the_rows_is_placed(
    shared: TestClient, body: dict[str, Any], split: str, row: int | None, field: str | None, words: str
) -> None:
    detail = error_of(shared.post("/datasets", json=body), 422, "dataset_invalid")["details"][0]
    assert (detail["split"], detail.get("row"), detail.get("field")) == (split, row, field)
    assert words in detail["message"]


@pytest.mark.parametrize(
    ("filename", "data", "row", "words"),
    [
        ("a.csv", f'text,label\nx,a\n"{MARK} open,b\n', 1, "is a quotation mark left open?"),
        ("a.csv", f"text,label\nx,a\n{MARK}\0,b\n", 1, "NUL"),
        ("a.csv", f"text,label\n{MARK},a\n".encode("utf-16"), None, "save it as UTF-8"),
        ("a.csv", f"{MARK},a\nx,b\n", None, "needs exactly one column `Text`"),
        ("a.csv", f"text,label\nx,a\n{MARK},b,c\n", 1, "has 3 cells where the header has 2"),
        ("a.csv", "", None, "needs exactly one column `Text`"),
        ("a.csv", "text,label\n", None, "has no rows"),
        ("a.jsonl", f'{{"text": "x", "label": "a"}}\n{{"text": "{MARK}", \n', 1, "line 2 is not JSON"),
        ("a.jsonl", f'{{"text": "x", "label": "a"}}\n{{"text": "{MARK}"}}\n', 1, "needs exactly one column `Labels`"),
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": "\\ud800", "label": "b"}\n', 1, "half a surrogate pair"),
        ("a.json", "{}", None, "needs exactly one column `Text`"),
        ("a.json", "[]", None, "must be an object"),
    ],
)
def test_a_fault_in_a_file_is_placed(
    shared: TestClient, filename: str, data: str | bytes, row: int | None, words: str
) -> None:
    response = send_files(shared, {"train": (filename, data)})
    detail = error_of(response, 422, "dataset_invalid")["details"][0]
    assert (detail["split"], detail.get("row")) == ("train", row)
    assert words in detail["message"]
    assert MARK not in response.text


def test_a_broken_json_file_is_unreadable(shared: TestClient) -> None:
    error_of(send_files(shared, {"train": ("a.json", f'{{"{MARK}"')}), 400, "body_unreadable")


@pytest.mark.parametrize("filename", ["fruit.xlsx", "fruit", "fruit.csv.gz"])
def test_files_of_other_kinds_are_refused(shared: TestClient, filename: str) -> None:
    error = error_of(send_files(shared, {"train": (filename, b"PK\x03\x04")}), 415, "media_type_unsupported")
    assert ".csv" in error["message"]


@pytest.mark.parametrize(
    ("files", "fields", "field"),
    [
        ({"train": ("a.csv", "text,label\n"), "validation": ("b.csv", "")}, {}, "validation"),
        ({"train": ("a.csv", "text,label\n")}, {"colour": "red"}, "colour"),
        ({"train": ("a.csv", "text,label\n")}, {"task": "guessing"}, "task"),
        ({"train": ("a.csv", "text,label\n")}, {"split": '{"val": 2}'}, "split.val"),
        ({"train": ("a.csv", "text,label\n")}, {"name": ""}, "name"),
        ({"val": ("a.csv", "text,label\n")}, {}, "train"),
        ({"val": ("a.csv", "text,label\n")}, {"train": "text,label\n"}, "train"),
    ],
)
def test_wrong_parts_of_a_form_are_named(shared: TestClient, files: Any, fields: dict[str, str], field: str) -> None:
    error = error_of(send_files(shared, files, **fields), 422, "request_invalid")
    assert [detail["field"] for detail in error["details"]] == [field]


def test_a_form_that_names_a_field_twice_is_refused(shared: TestClient) -> None:
    files = [("train", (name, FILES[name])) for name in ("train.csv", "train.jsonl")]
    error = error_of(shared.post("/datasets", files=files, data={"name": "x"}), 422, "request_invalid")
    assert "twice" in error["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"--x\r\n", b"no form at all", b'--x\r\nContent-Disposition: form-data; name="train"; filename="a.csv"\r\n'],
)
def test_a_broken_form_is_unreadable(shared: TestClient, body: bytes) -> None:
    response = shared.post("/datasets", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert response.status_code in (400, 422)


def test_a_form_without_a_boundary_is_unreadable(shared: TestClient) -> None:
    response = shared.post("/datasets", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert "Missing boundary" in error_of(response, 400, "body_unreadable")["message"]


def test_a_form_of_too_much_says_of_what(shared: TestClient) -> None:
    four = [(name, ("a.csv", "text,label\n")) for name in ("train", "val", "test", "more")]
    error = error_of(shared.post("/datasets", files=four, data={"name": "x"}), 400, "body_unreadable")
    assert "Too many files" in error["message"]
    assert "train, val and test" in error["message"]
    error = error_of(shared.post("/datasets", files=four[:1], data={"name": "x" * 2**21}), 400, "body_unreadable")
    assert "exceeded maximum size" in error["message"]


def test_a_refused_upload_is_not_listed(client: TestClient) -> None:
    error_of(client.post("/datasets", json=fruit(3)), 422, "dataset_invalid")
    assert client.get("/datasets").json() == {"data": [], "has_more": False}


# -- limits -------------------------------------------------------------------------------------------


def chunks(body: bytes) -> Iterator[bytes]:
    """Sent without a Content-Length."""
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


@pytest.mark.parametrize("send", [lambda body: body, chunks], ids=["declared", "chunked"])
def test_an_upload_may_be_as_large_as_the_limit_and_no_byte_more(
    make_client: Callable[..., TestClient], send: Callable[[bytes], Any]
) -> None:
    body = json.dumps(fruit()).encode()
    client = make_client(max_upload_bytes=len(body), max_request_bytes=10)
    headers = {"Content-Type": "application/json"}
    assert client.post("/datasets", content=send(body), headers=headers).status_code == 201
    error = error_of(client.post("/datasets", content=send(body + b" "), headers=headers), 413, "too_large")
    assert "GET /info lists the limits" in error["message"]


@pytest.mark.parametrize("send", [lambda body: body, chunks], ids=["declared", "chunked"])
def test_a_form_is_limited_too(make_client: Callable[..., TestClient], send: Callable[[bytes], Any]) -> None:
    client = make_client(max_upload_bytes=1000)
    part = b'--x\r\nContent-Disposition: form-data; name="train"; filename="a.csv"\r\n\r\n' + b"x" * 1000
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    error_of(client.post("/datasets", content=send(part), headers=headers), 413, "too_large")


@pytest.mark.parametrize(
    ("limit", "enough", "words"),
    [
        ("max_rows", 30, "the most here is 29"),
        ("max_labels", 3, "the most here is 2"),
        ("max_text_bytes", max(map(len, TEXTS)), "is longer than"),
    ],
)
def test_rows_labels_and_texts_may_reach_their_limit(
    make_client: Callable[..., TestClient], limit: str, enough: int, words: str
) -> None:
    assert make_client(**{limit: enough}).post("/datasets", json=fruit(30)).status_code == 201
    response = make_client(**{limit: enough - 1}).post("/datasets", json=fruit(30))
    assert words in error_of(response, 422, "dataset_invalid")["message"]


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
