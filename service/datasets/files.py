"""A data set as files: one JSON line a row, one file a split."""

import hashlib
import json
from pathlib import Path

from service.datasets.dataset import SPLITS, Dataset, Example
from service.store.records import Json, Task


def write_dataset(dataset: Dataset, folder: Path) -> dict[str, str]:
    """Writes `train.jsonl`, `val.jsonl`, `test.jsonl`. Returns the SHA-256 of each split's content.

    Where a row stood when it was sent is no content: the same texts and labels have the same sum.
    """
    sums = {}
    for name in SPLITS:
        digest = hashlib.sha256(f"{dataset.task}\n".encode())
        with (folder / f"{name}.jsonl").open("wb") as file:
            for row in dataset.splits[name]:
                content = _content(row)
                digest.update(_line(content))
                file.write(_line(content | _origin(row)))
        sums[name] = digest.hexdigest()
    return sums


def read_dataset(folder: Path, task: Task, labels: list[str]) -> Dataset:
    """The inverse of `write_dataset`."""
    return Dataset(task, labels, {name: _read_split(folder / f"{name}.jsonl") for name in SPLITS})


def _content(row: Example) -> Json:
    return {"text": row.text, "labels": row.labels} | ({"extra": dict(row.extra)} if row.extra else {})


def _origin(row: Example) -> Json:
    if row.sent_row is None:
        return {}
    return {"sent_row": row.sent_row} | ({} if row.sent_split == "train" else {"sent_split": row.sent_split})


def _line(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _read_split(path: Path) -> list[Example]:
    with path.open("rb") as file:
        values = [json.loads(line) for line in file]
    return [_example(value) for value in values]


def _example(value: Json) -> Example:
    origin = {name: value[name] for name in ("sent_row", "sent_split") if name in value}
    return Example(value["text"], tuple(value["labels"]), value.get("extra", {}), **origin)
