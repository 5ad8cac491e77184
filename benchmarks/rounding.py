"""How far the fast engine's rounding moves what trained models say: jobs of the default recipe, each model's answers to
test texts as they are served, beside float32's."""

import argparse
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.in_process import Product
from benchmarks.sets import draw, read_set, set_names
from service.inference.classifier import Classifier, probabilities
from service.inference.predictions import Scores, read_predictions

MAX_TOKENS = 8_192
BOUND = 0.01  # what no probability should be off by


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounding", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of sets")
    parser.add_argument("--sets", help="names, separated by commas; default: all")
    parser.add_argument("--size", type=int, default=200, help="training texts, default 200")
    parser.add_argument("--seed", type=int, default=0, help="of the samples, default 0")
    parser.add_argument("--test-rows", type=int, default=750, help="texts compared in each set, default 750")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    options = parser.parse_args()
    found: list[Rounding] = []
    with closing(Product(options.threads, "cpu")) as product:
        for name in options.sets.split(",") if options.sets else set_names(options.data):
            contest = draw(read_set(options.data / name), options.size, options.seed, options.test_rows)
            with product.trained(contest, {}) as trained:
                found.append(compare(trained.classifier, contest.test.texts))
            print(f"{name}: {found[-1]}", flush=True)
    alike, over = np.concatenate([own.alike for own in found]), sum(own.over for own in found)
    print(f"all: {len(alike)} texts, labels equal {alike.mean():.3%}, {over} with a probability off by over {BOUND}")


@dataclass(frozen=True, slots=True)
class Rounding:
    """`logits`: differences of shape (texts, labels); `probabilities`: the largest of each text, shape (texts,);
    `alike`: whether a text's labels are the same."""

    logits: Scores
    probabilities: Scores
    alike: NDArray[np.bool_]

    @property
    def over(self) -> int:
        """How many texts have a probability that is off by more than `BOUND`."""
        return int((self.probabilities > BOUND).sum())

    def __str__(self) -> str:
        most, usual = self.probabilities.max(), np.quantile(self.probabilities, 0.99)
        logits = np.sqrt((self.logits**2).mean())
        return (
            f"{len(self.alike)} texts, labels equal {self.alike.mean():.3%}; probabilities differ by {most:.4f} at "
            f"most, {usual:.4f} in 99 %, {self.over} by over {BOUND}; logits by {logits:.4f} (root mean square)"
        )


def compare(classifier: Classifier, texts: list[str]) -> Rounding:
    rows = classifier.encoder.encode(texts)
    task = classifier.card.task

    def answers() -> tuple[Scores, Scores, list[list[str]]]:
        logits = classifier.logits(rows, MAX_TOKENS)
        scores = probabilities(torch.from_numpy(logits), task).numpy()
        return logits, scores, [prediction.labels for prediction in read_predictions(scores, rows, classifier.card)]

    served = answers()
    classifier.engine = None  # the network itself, in float32
    exact = answers()
    alike = np.array([one == other for one, other in zip(served[2], exact[2], strict=True)])
    return Rounding(served[0] - exact[0], np.abs(served[1] - exact[1]).max(axis=1), alike)


if __name__ == "__main__":
    main()
