"""Text sets as folders of `{"Text": […], "Labels": […]}`, and the seeded, stratified samples that are compared on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service.datasets.splitting import iterative_stratification
from service.store.records import Task

LEAST_VALIDATION = 50
TEST_SEED = 0  # every seed is measured on the same test texts


@dataclass(frozen=True, slots=True)
class Rows:
    """Texts and, in the same order, the labels of each: exactly one for choosing, any number for deciding."""

    texts: list[str]
    labels: list[list[str]]


@dataclass(frozen=True, slots=True)
class TextSet:
    name: str
    task: Task
    train: Rows
    val: Rows
    test: Rows

    @property
    def labels(self) -> list[str]:
        """Those of train, sorted."""
        return sorted({label for own in self.train.labels for label in own})

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"labels": self.labels}

    def as_body(self) -> dict[str, Any]:
        """Of `POST /datasets`."""
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return {"name": self.name, "task": self.task} | {
            split: {
                "Text": rows.texts,
                "Labels": [own[0] for own in rows.labels] if self.task == "choosing" else rows.labels,
            }
            for split, rows in splits.items()
        }


def set_names(data: Path) -> list[str]:
    """Of all sets in a folder of sets."""
    return sorted(path.parent.name for path in data.glob("*/train.json"))


def read_set(folder: Path) -> TextSet:
    """Raises: OSError, KeyError or ValueError where the folder holds no set."""
    columns = {split: json.loads((folder / f"{split}.json").read_text("utf-8")) for split in ("train", "val", "test")}
    task: Task = "choosing" if isinstance(columns["train"]["Labels"][0], str) else "deciding"
    splits = {split: Rows(own["Text"], [_as_list(label) for label in own["Labels"]]) for split, own in columns.items()}
    return TextSet(folder.name, task, **splits)


def _as_list(label: str | list[str]) -> list[str]:
    return [label] if isinstance(label, str) else label


def draw(whole: TextSet, size: int, seed: int, test_rows: int) -> TextSet:
    """About `size` training texts, half as many (50 at least) for validation, and the test texts of every seed.

    Each label of the set gets a row in train, so a set of many labels may give more rows than were asked for.
    """
    return TextSet(
        whole.name,
        whole.task,
        train=sample(whole.train, size, seed),
        val=sample(whole.val, max(LEAST_VALIDATION, size // 2), seed),
        test=sample(whole.test, test_rows, TEST_SEED),
    )


def sample(rows: Rows, size: int, seed: int) -> Rows:
    """About `size` rows, labels in their proportions, in the order of the set; all rows where there are no more."""
    if size >= len(rows.texts):
        return rows
    share = size / len(rows.texts)
    parts = iterative_stratification(rows.labels, {"taken": share, "left": 1 - share}, seed)
    return _pick(rows, [number for number, part in enumerate(parts) if part == "taken"])


def _pick(rows: Rows, numbers: Sequence[int]) -> Rows:
    return Rows([rows.texts[number] for number in numbers], [rows.labels[number] for number in numbers])
