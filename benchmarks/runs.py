"""One run: a set, a size, a seed and a method in; one line of results out."""

import json
import os
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
import numpy as np

from benchmarks.peers import answer_to
from benchmarks.product import BenchmarkFailed, Served, hyperparameters_of, running_product, train_and_predict
from benchmarks.scores import best_threshold, score
from benchmarks.sets import TextSet, draw, read_set
from benchmarks.table import Line
from service.models.bundled import MULTILINGUAL_SMALL, bundled_checkpoint
from worker.evaluation.metrics import decide, to_matrix

if TYPE_CHECKING:  # it brings torch
    from benchmarks.in_process import Product

PRODUCT = ("classiglot", "classiglot-sam", "classiglot-asam", "classiglot-sam-equal-time", "classiglot-asam-equal-time")
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Conditions:
    """What figures must have in common to be compared: test texts at most, processor threads of each method, device."""

    test_rows: int
    threads: int
    device: Literal["cpu", "cuda"]
    in_process: bool

    def as_json(self) -> Line:
        about = {"test_rows_asked": self.test_rows, "threads": self.threads}
        return about | {"device": self.device, "in_process": self.in_process}


class Bench:
    """What runs share: a product and a checkpoint, made when the first run needs them. Use as a context manager."""

    def __init__(self, data: Path, peers_python: Path | None, conditions: Conditions) -> None:
        self._data, self._peers_python, self._conditions = data, peers_python, conditions
        self._open = ExitStack()
        self._client: httpx.Client | None = None
        self._here: Product | None = None
        self._read_set = cache(read_set)

    def __enter__(self) -> "Bench":
        self._cache = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def run(self, name: str, size: int, seed: int, method: str) -> Line:
        """Raises: BenchmarkFailed."""
        contest = draw(self._read_set(self._data / name), size, seed, self._conditions.test_rows)
        try:
            result = self._product(contest, method) if method in PRODUCT else self._peer(contest, seed, method)
        except Exception as error:  # whatever libraries raise, where all is done in this process
            raise BenchmarkFailed(f"{type(error).__name__}: {error}") from error
        rows = {split: len(getattr(contest, split).texts) for split in ("train", "val", "test")}
        about = {"set": name, "task": contest.task, "size": size, "seed": seed, "method": method}
        return about | result | {"rows": rows} | self._conditions.as_json()

    def _product(self, contest: TextSet, method: str) -> dict[str, Any]:
        served = self._train_and_predict(contest, hyperparameters_of(method, len(contest.train.texts)))
        truth = to_matrix(contest.test.labels, contest.labels)
        scores = score(served.probabilities, served.predicted, truth, contest.task)
        more = {"reported_macro_f1": round(served.reported, 5), "hyperparameters": served.hyperparameters}
        return scores | {"seconds": round(served.seconds, 2)} | more

    def _train_and_predict(self, contest: TextSet, hyperparameters: dict[str, Any]) -> Served:
        conditions = self._conditions
        if conditions.in_process:
            from benchmarks.in_process import Product

            if self._here is None:
                self._here = Product(conditions.threads, conditions.device)
                self._open.callback(self._here.close)
            return self._here.train_and_predict(contest, hyperparameters)
        if self._client is None:
            self._client = self._open.enter_context(running_product(conditions.threads, conditions.device))
        return train_and_predict(self._client, contest, hyperparameters)

    def _peer(self, contest: TextSet, seed: int, method: str) -> dict[str, Any]:
        """Its threshold for deciding is the one that validation texts like best."""
        answer = self._ask_peer(contest.as_json() | {"method": method, "seed": seed})
        val, test = np.array(answer["val"]), np.array(answer["test"])
        labels, threshold = contest.labels, 0.0
        if contest.task == "deciding":
            threshold = best_threshold(val, to_matrix(contest.val.labels, labels))
        scores = score(
            test, decide(test, contest.task, threshold), to_matrix(contest.test.labels, labels), contest.task
        )
        return scores | {"seconds": round(answer["seconds"], 2)}

    def _ask_peer(self, request: dict[str, Any]) -> Any:
        request["checkpoint"] = str(bundled_checkpoint(MULTILINGUAL_SMALL, self._cache))
        if self._conditions.in_process:
            return answer_to(request)
        if self._peers_python is None:
            raise BenchmarkFailed("this method needs --peers-python")
        threads = {f"{library}_NUM_THREADS": str(self._conditions.threads) for library in ("OMP", "MKL", "OPENBLAS")}
        offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        device = {"CUDA_VISIBLE_DEVICES": ""} if self._conditions.device == "cpu" else {}
        done = subprocess.run(
            [self._peers_python, "-m", "benchmarks.peers"],
            input=json.dumps(request),
            capture_output=True,
            encoding="utf-8",
            cwd=ROOT,
            env=os.environ | threads | offline | device,
            check=False,
        )
        if done.returncode:
            raise BenchmarkFailed(done.stderr[-2000:])
        return json.loads(done.stdout)
