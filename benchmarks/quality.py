"""Compares Classiglot's default recipe with what a user could pick instead."""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.product import BenchmarkFailed
from benchmarks.runs import PRODUCT, Bench, Conditions
from benchmarks.sets import set_names
from benchmarks.table import Line, tables

Run = tuple[str, int, int, str]  # set, size, seed, method


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 when a run failed."""
    options = build_parser().parse_args(arguments)
    conditions = Conditions(options.test_rows, options.threads, options.device, options.in_process)
    done = read_lines(options.out)
    failures = 0
    if not options.table_only:
        refuse_other_conditions(done, conditions)
        failures = run_all(missing(wanted(options), done), options, conditions)
    print(tables(read_lines(options.out)))
    return 1 if failures else 0


def build_parser() -> argparse.ArgumentParser:
    methods = [*PEERS, *PRODUCT]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of sets")
    parser.add_argument("--sets", type=_names, help="default: all in the folder")
    parser.add_argument("--sizes", type=_numbers, default=[50, 200, 1000], help="training texts, default 50,200,1000")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="default 0,1,2")
    parser.add_argument("--methods", type=_names, default=methods, help=f"default {','.join(methods)}")
    parser.add_argument("--test-rows", type=int, default=1000, help="test texts at most, default 1000")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of each method, default 2")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of each method, default cpu")
    parser.add_argument("--in-process", action="store_true", help="all in this process; see benchmarks/README.md")
    parser.add_argument("--peers-python", type=Path, help="the peers' Python; see benchmarks/README.md")
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"), help="gets one JSON line a run")
    parser.add_argument("--table-only", action="store_true", help="print the tables of --out; run nothing")
    return parser


def _names(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def read_lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def refuse_other_conditions(done: Sequence[Line], conditions: Conditions) -> None:
    """Raises: SystemExit where `done` has figures that do not compare."""
    own = conditions.as_json()
    if any({key: line.get(key) for key in own} != own for line in done):
        raise SystemExit(
            "the --out file holds runs of another --test-rows, --threads, --device or --in-process; choose another file"
        )


def wanted(options: argparse.Namespace) -> list[Run]:
    """Methods innermost: those of one set, size and seed run one after another. Raises: SystemExit."""
    if unknown := set(options.methods) - {*PEERS, *PRODUCT}:
        raise SystemExit(f"no such method: {', '.join(sorted(unknown))}; there are {', '.join([*PEERS, *PRODUCT])}")
    if options.peers_python is None and not options.in_process and set(options.methods) & set(PEERS):
        raise SystemExit(
            f"{', '.join(PEERS)} need --peers-python (benchmarks/README.md); or leave them out with --methods"
        )
    names = options.sets or set_names(options.data)
    return list(product(names, options.sizes, options.seeds, options.methods))


def missing(runs: Sequence[Run], done: Sequence[Line]) -> list[Run]:
    known = {(line["set"], line["size"], line["seed"], line["method"]) for line in done}
    return [run for run in runs if run not in known]


def run_all(runs: Sequence[Run], options: argparse.Namespace, conditions: Conditions) -> int:
    """Adds a line for each run; says of one that fails why, and goes on. Returns how many failed."""
    failures = 0
    with Bench(options.data, options.peers_python, conditions) as bench:
        for number, run in enumerate(runs, start=1):
            told = f"[{number}/{len(runs)}] {' '.join(map(str, run))}:"
            try:
                line = bench.run(*run)
            except BenchmarkFailed as error:
                failures += 1
                print(f"{told} FAILED, {error}", file=sys.stderr)
                continue
            with options.out.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
            print(f"{told} macro-F1 {line['macro_f1']:.3f}, {line['seconds']:.1f} s", file=sys.stderr)
    return failures


if __name__ == "__main__":
    sys.exit(main())
