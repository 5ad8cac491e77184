"""What a training in a process of its own is asked, and what it answers; known to the peers' environment too."""

import resource
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Texts:
    """`targets`: the number of each text's label."""

    texts: list[str]
    targets: list[int]


@dataclass(frozen=True, slots=True)
class Request:
    """Where choosing is trained; `base_model` is the name of `checkpoint` to the product."""

    method: str
    base_model: str
    checkpoint: str
    labels: list[str]
    train: Texts
    val: Texts
    test: Texts
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    threads: int

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Request":
        return cls(**content | {split: Texts(**content[split]) for split in ("train", "val", "test")})


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the clock; seconds of all processor threads, which hang less on what else the machine does; the most
    memory that the process ever had until then, in bytes (its resident set)."""

    seconds: float
    processor_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """`load`: from texts and checkpoint to the first step; `train`: from there to the last weights; `publish`: all
    that follows, which only the product has. `val_logits` of the validation texts, of shape (rows, labels)."""

    load: Cost
    train: Cost
    steps: int
    val_logits: list[list[float]]
    publish: Cost | None = None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Outcome":
        costs = {part: Cost(**content[part]) for part in ("load", "train", "publish") if content[part]}
        return cls(**content | costs)


class Meter:
    """What passed since it was made or last read."""

    def __init__(self) -> None:
        self._last = self._now()

    def read(self) -> Cost:
        last, self._last = self._last, self._now()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
        return Cost(self._last[0] - last[0], self._last[1] - last[1], peak)

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()
