"""Uploads to `/datasets` that are refused, and the limits up to which they are not."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from parts.toy_text import choosing, columns
from parts.wire import MARK, error_of, fruit, send_files

TEXTS, LABELS = choosing(30)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "-x"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"name": None}, "name"),
        ({"task": "guessing"}, "task"),
        ({"language": "<b>"}, "language"),
        ({"language": ""}, "language"),
        ({"language": "419"}, "language"),
        ({"language": "'Are'are"}, "language"),
        ({"language": "de\n"}, "language"),
        ({"train": None}, "train"),
        ({"train": []}, "train"),
        ({"val": "x"}, "val"),
        ({"unlabelled": "keep"}, "unlabelled"),
        ({"unlabelled": ""}, "unlabelled"),
        ({"split": {"val": 0}}, "split.val"),
        ({"split": {"val": 0.51}}, "split.val"),
        ({"split": {"test": "0.2"}}, "split.test"),
        ({"split": {"seed": -1}}, "split.seed"),
        ({"split": {"seed": 2**32}}, "split.seed"),
        ({"split": {"seed": True}}, "split.seed"),
        ({"split": {"train": 0.5}}, "split.train"),
        ({"split": {"group": ""}}, "split.group"),
        ({"split": {"group": 7}}, "split.group"),
        ({"split": {"group": "x" * 101}}, "split.group"),
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
        (fruit(train={"Text": ["x", "y"], "Labels": ["a", None]}), "train", 1, "Labels", "is null; give every"),
        (fruit(train={"Text": ["x", "y"], "Labels": ["a", ["b"]]}), "train", 0, "Labels", "must be a list of strings"),
        (fruit(task="choosing", train={"Text": ["x"], "Labels": [["a"]]}), "train", 0, "Labels", "must be one string"),
        (fruit(task="deciding", train={"Text": ["x"], "Labels": ["a"]}), "train", 0, "Labels", "must be a list"),
        (fruit(train={"Text": ["x", "y"], "Labels": ["a"]}), "train", None, "Labels", "all lists must have one length"),
        (fruit(train={}), "train", None, "Text", "needs a column `Text`"),
        (fruit(test={"Text": [], "Labels": []}), "test", None, None, "has no rows"),
        (fruit(val=columns(TEXTS, LABELS), split={"val": 0.2}), "val", None, None, "was sent, so it cannot be cut"),
        (fruit(split={"group": "who"}), "train", None, "split.group", "is no column beside text and labels"),
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
        ("a.csv", f"text,label\n{MARK},a\n".encode("utf-16"), None, "save the file as UTF-8"),
        ("a.csv", f"{MARK},a\nx,b\n", None, "needs a column `Text`"),
        ("a.csv", f"text,label\nx,a\n{MARK},b,c\n", 1, "has 3 cells where the header has 2"),
        ("a.csv", "", None, "needs a column `Text`"),
        ("a.csv", "text,label\n", None, "has no rows"),
        ("a.jsonl", f'{{"text": "x", "label": "a"}}\n{{"text": "{MARK}", \n', 1, "the line is not JSON"),
        (
            "a.jsonl",
            f'{{"text": "x", "label": "a"}}\n{{"text": "{MARK}"}}\n',
            1,
            "needs a column `Labels` (or `label`); found: 'text'",
        ),
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": "\\ud800", "label": "b"}\n', 1, "half a surrogate pair"),
        ("a.json", "{}", None, "needs a column `Text`"),
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


def test_a_fault_in_a_file_of_lines_is_placed_in_its_lines_too(shared: TestClient) -> None:
    files = {"train": ("a.csv", "text,label\n,\n\nx,a\ny,b\n"), "val": ("b.jsonl", '\n{"text": "x", "label": "c"}')}
    error = error_of(send_files(shared, files), 422, "dataset_invalid")
    assert [(detail["split"], detail["row"], detail["line"]) for detail in error["details"]] == [("val", 0, 2)]
    assert "split val, row 0 (line 2 of the file): label 'c'" in error["message"]


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
        ({"train": ("a.csv", "text,label\n")}, {"unlabelled": "yes"}, "unlabelled"),
        ({"train": ("a.csv", "text,label\n")}, {"name": ""}, "name"),
        ({"val": ("a.csv", "text,label\n")}, {}, "train"),
        ({"val": ("a.csv", "text,label\n")}, {"train": "text,label\n"}, "train"),
    ],
)
def test_wrong_parts_of_a_form_are_named(shared: TestClient, files: Any, fields: dict[str, str], field: str) -> None:
    error = error_of(send_files(shared, files, **fields), 422, "request_invalid")
    assert [detail["field"] for detail in error["details"]] == [field]


def test_a_form_that_names_a_field_twice_is_refused(shared: TestClient) -> None:
    files = [("train", (name, "text,label\nx,a\n")) for name in ("a.csv", "b.csv")]
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
