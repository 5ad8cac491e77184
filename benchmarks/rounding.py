"""How far the fast engine's rounding moves what trained models say: jobs of the default recipe, each model's answers to
test texts as they are served, beside float32's."""

import argparse
import os
from pathlib import Path

import numpy as np

from benchmarks.in_process import Product
from benchmarks.sets import draw, read_set
from service.inference.classifier import Classifier
from service.inference.predictions import Encoding, read_predictions

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
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    names = (
        options.sets.split(",")
        if options.sets
        else sorted(path.parent.name for path in options.data.glob("*/test.json"))
    )
    product = Product(options.threads, "cpu")
    differences, alike = np.empty(0), np.empty(0, dtype=bool)
    for name in names:
        contest = draw(read_set(options.data / name), options.size, options.seed, options.test_rows)
        with product.trained(contest, {}) as trained:
            own, same = compare(trained.classifier, contest.test.texts)
        print(f"{name}: {told(own, same)}", flush=True)
        differences, alike = np.append(differences, own), np.append(alike, same)
    print(f"all: {told(differences, alike)}")
    product.close()


def compare(classifier: Classifier, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The largest difference of a text's probabilities, and whether its labels are the same; both of shape (texts,)."""
    rows = classifier.encoder.encode(texts)
    served = classifier.score(rows, MAX_TOKENS)
    classifier.engine = None  # the network itself, in float32
    exact = classifier.score(rows, MAX_TOKENS)
    same = [
        one == other
        for one, other in zip(labels(served, rows, classifier), labels(exact, rows, classifier), strict=True)
    ]
    return np.abs(served - exact).max(axis=1), np.array(same)


def labels(scores: np.ndarray, rows: list[Encoding], classifier: Classifier) -> list[list[str]]:
    return [prediction.labels for prediction in read_predictions(scores, rows, classifier.card)]


def told(differences: np.ndarray, alike: np.ndarray) -> str:
    most, usual, over = differences.max(), np.quantile(differences, 0.99), int((differences > BOUND).sum())
    return (
        f"{len(alike)} texts, labels equal {alike.mean():.3%}; probabilities differ by {most:.4f} at most, "
        f"{usual:.4f} in 99 %, {differences.mean():.4f} on average; {over} by over {BOUND}"
    )


if __name__ == "__main__":
    main()
