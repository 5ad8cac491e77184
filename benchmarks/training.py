"""A job of the product beside the tutorial's loop and Hugging Face's Trainer: time, memory and validation loss, in one
run, each in a process of its own, from the same weights, over the same epochs and batches of the same size."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from benchmarks import shape
from benchmarks.sets import Rows, draw, read_set
from benchmarks.training_request import Cost, Outcome, Request, Texts
from service.inference.architectures import quieten
from service.jobs.spec import Hyperparameters, resolve
from service.models.bundled import MULTILINGUAL_SMALL, bundled_checkpoint
from worker.evaluation.metrics import row_losses
from worker.evaluation.scaling import activate, fit_temperature
from worker.process import THREADS_ENVIRONMENT
from worker.training.model import save_tokenizer

LARGE = "xlm-roberta-base"
METHODS = ("classiglot", "trainer", "tutorial")
CHARACTERS = 5_000  # of 512 tokens and more, whatever the language
MEBIBYTE = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of one set for choosing")
    parser.add_argument("--peers-python", type=Path, help="the Python of the peers' environment, for Trainer")
    parser.add_argument("--shape", choices=shape.SHAPES, default="base", help="default base: random weights")
    parser.add_argument("--rows", type=int, default=160, help="training texts, default 160")
    parser.add_argument("--epochs", type=int, default=1, help="default 1")
    parser.add_argument("--batch-size", type=int, default=16, help="default 16")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of each, default 2")
    parser.add_argument("--long", action="store_true", help="each text is repeated until it fills 512 tokens")
    parser.add_argument("--only", choices=METHODS, help="one of them; a loop that pads to 512 may need 30 GiB")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of each training, default 0")
    options = parser.parse_args()
    quieten()
    with tempfile.TemporaryDirectory() as folder:
        asked = make_request(options, Path(folder))
        rows, shaped = len(asked.train.texts), options.shape
        print(f"{options.data.name}, shape {shaped}: {rows} texts, {options.epochs} epochs of {options.batch_size}")
        found: dict[str, Outcome] = {}
        for method in methods_of(options):
            python = options.peers_python if method == "trainer" else Path(sys.executable)
            found[method] = train(replace(asked, method=method), python)
            print(line(method, found[method], asked), flush=True)
    if ours := found.pop("classiglot", None):
        for peer, theirs in sorted(found.items()):
            print(ratios(peer, ours, theirs))


def methods_of(options: argparse.Namespace) -> Sequence[str]:
    """Trainer is left out where there is no Python for it."""
    if options.only:
        return [options.only]
    return METHODS if options.peers_python else ("classiglot", "tutorial")


def make_request(options: argparse.Namespace, folder: Path) -> Request:
    contest = draw(read_set(options.data), options.rows, options.seed, test_rows=100)
    if contest.task != "choosing":
        raise SystemExit(f"{options.data} is for deciding; the tutorial's loop only chooses")
    base_model = MULTILINGUAL_SMALL if options.shape == "small" else LARGE
    train_rows = len(contest.train.texts)
    if options.long:
        contest = replace(contest, train=_long(contest.train), val=_long(contest.val), test=_long(contest.test))
    recipe = resolve(Hyperparameters(), train_rows=train_rows, base_model=base_model)
    return Request(
        method="",
        base_model=base_model,
        checkpoint=str(make_checkpoint(options.shape, folder)),
        labels=contest.labels,
        train=_numbered(contest.train, contest.labels),
        val=_numbered(contest.val, contest.labels),
        test=_numbered(contest.test, contest.labels),
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=recipe.learning_rate,
        seed=options.seed,
        threads=options.threads,
    )


def _long(rows: Rows) -> Rows:
    return replace(rows, texts=[text * (CHARACTERS // len(text) + 1) for text in rows.texts])


def _numbered(rows: Rows, labels: list[str]) -> Texts:
    return Texts(rows.texts, [labels.index(own[0]) for own in rows.labels])


def make_checkpoint(of_shape: str, folder: Path) -> Path:
    """An encoder that all start from."""
    if of_shape == "small":
        return bundled_checkpoint(MULTILINGUAL_SMALL, folder)
    network = shape.make_network(of_shape, folder / "cache")
    network.model.encoder.save_pretrained(folder / LARGE)
    save_tokenizer(network.tokenizer, 512, folder / LARGE)
    return folder / LARGE


def train(request: Request, python: Path) -> Outcome:
    """In a process of its own, with the threads of a job's process: what spins would be ruinous for peers too."""
    threads = {f"{library}_NUM_THREADS": str(request.threads) for library in ("OMP", "MKL")} | THREADS_ENVIRONMENT
    quiet = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(
        [python, "-m", "benchmarks.contenders"],
        input=json.dumps(asdict(request)),
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | threads | quiet,
        check=True,
    )
    return Outcome.from_json(json.loads(done.stdout))


def validation_losses(outcome: Outcome, truth: Texts) -> tuple[float, float]:
    """Cross-entropy on the validation texts as the model says it, and under the best temperature for them."""
    logits = np.array(outcome.val_logits)
    targets = np.eye(logits.shape[1], dtype=np.int64)[truth.targets]
    cooled = logits / fit_temperature(logits, targets, "choosing")
    plain, best = (row_losses(activate(own, "choosing"), targets, "choosing").mean() for own in (logits, cooled))
    return float(plain), float(best)


def line(method: str, outcome: Outcome, request: Request) -> str:
    plain, best = validation_losses(outcome, request.val)
    train, steps = outcome.train, outcome.steps
    words = (
        f"{method}: loaded {_told(outcome.load)}; {steps} steps {_told(train)}, {train.seconds / steps:.2f} s a step; "
        f"validation loss {plain:.3f}, {best:.3f} calibrated"
    )
    if outcome.publish:
        words += f"; measured and published {_told(outcome.publish)}"
    return f"{words}; load {os.getloadavg()[0]:.1f}"


def _told(cost: Cost) -> str:
    peak = cost.peak_bytes / MEBIBYTE
    return f"{cost.seconds:.1f} s ({cost.processor_seconds:.1f} of processors, {peak:.0f} MiB at most)"


def ratios(name: str, ours: Outcome, theirs: Outcome) -> str:
    """How many times as long the other took as we did, and our share of its memory."""
    clock = theirs.train.seconds / ours.train.seconds
    processors = theirs.train.processor_seconds / ours.train.processor_seconds
    with_load = (theirs.load.processor_seconds + theirs.train.processor_seconds) / (
        ours.load.processor_seconds + ours.train.processor_seconds
    )
    memory = ours.train.peak_bytes / theirs.train.peak_bytes
    return (
        f"{name} trains {clock:.1f} times as long ({processors:.1f} in seconds of processors, {with_load:.1f} with "
        f"loading); we take {memory:.0%} of its memory"
    )


if __name__ == "__main__":
    main()
