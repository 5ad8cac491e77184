"""A data set as files: one JSON line a row, one file a split."""

import hashlib
import json
from pathlib import Path

from service.datasets.dataset import SPLITS, Dataset, Example
from service.store.records import Task


def write_dataset(dataset: Dataset, folder: Path) -> dict[str, str]:
    """Writes `train.jsonl`, `val.jsonl`, `test.jsonl`. Returns the SHA-256 of each split's content."""
    sums = {}
    for name in SPLITS:
        digest = hashlib.sha256(f"{dataset.task}\n".encode())
        with (folder / f"{name}.jsonl").open("wb") as file:
            for row in dataset.splits[name]:
                line = _line(row)
                digest.update(line)
                file.write(line)
        sums[name] = digest.hexdigest()
    return sums


def read_dataset(folder: Path, task: Task, labels: list[str]) -> Dataset:
    """The inverse of `write_dataset`."""
    return Dataset(task, labels, {name: _read_split(folder / f"{name}.jsonl") for name in SPLITS})


def _line(row: Example) -> bytes:
    value = {"text": row.text, "labels": row.labels} | ({"extra": dict(row.extra)} if row.extra else {})
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _read_split(path: Path) -> list[Example]:
    with path.open("rb") as file:
        values = [json.loads(line) for line in file]
    return [Example(value["text"], tuple(value["labels"]), value.get("extra", {})) for value in values]
