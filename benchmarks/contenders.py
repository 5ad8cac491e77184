"""One training in a process of its own: `python -m benchmarks.contenders`, request on standard input as JSON."""

import json
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict

import torch

from benchmarks.training_request import Outcome, Request


def classiglot(request: Request) -> Outcome:
    from benchmarks.product_training import train_as_a_job_does

    return train_as_a_job_does(request)


def tutorial(request: Request) -> Outcome:
    from benchmarks import stock

    return stock.tutorial(request)


def trainer(request: Request) -> Outcome:
    from benchmarks import stock

    return stock.trainer(request)


CONTENDERS: dict[str, Callable[[Request], Outcome]] = {own.__name__: own for own in (tutorial, trainer, classiglot)}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print; the answer must stand alone
    warnings.simplefilter("ignore")
    request = Request.from_json(json.load(sys.stdin))
    torch.set_num_threads(request.threads)
    json.dump(asdict(CONTENDERS[request.method](request)), answers)


if __name__ == "__main__":
    main()
