"""Texts a second and milliseconds a text of `/predict`, beside what a user could run instead, in one run."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import httpx
import numpy as np
import torch

from benchmarks import load, shape
from benchmarks.beside import measure_beside_training
from benchmarks.product import BenchmarkFailed, running_product
from benchmarks.sets import draw, read_set, set_names
from benchmarks.steady import measure_memory, measure_overhead
from service import processes
from service.inference.architectures import quieten
from service.inference.classifier import Classifier
from service.inference.engines import make_engine
from service.models.finished import ModelCard
from service.serve import listen
from worker.training.model import Network

CPU = torch.device("cpu")
READY_SECONDS = 300
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("data", type=Path, help="folder of sets, whose test texts are sent")
    parser.add_argument("--texts", type=int, default=512, help="default 512")
    parser.add_argument("--shape", choices=shape.SHAPES, default="base", help="default base: that of xlm-roberta-base")
    parser.add_argument("--threads", type=int, default=2, help="processor threads of each, default 2")
    parser.add_argument("--infinity-python", type=Path, help="infinity-emb's Python; see benchmarks/README.md")
    parser.add_argument("--beside-training", metavar="SET", help="only: one text beside a job that trains on that set")
    parser.add_argument("--requests", type=int, help="only: the service's memory over so many requests")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    torch.set_num_threads(options.threads)
    quieten()
    texts = mixed_texts(options.data, options.texts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = shape.make_network(options.shape, folder / "cache")
        print(f"{len(texts)} texts, {np.mean([len(text) for text in texts]):.0f} characters on average")
        if options.beside_training or options.requests:
            measure_product(network, texts, options)
        else:
            measure_all(network, texts, options, folder)


def measure_product(network: Network, texts: list[str], options: argparse.Namespace) -> None:
    """What hangs on a running product alone."""
    with running_product(options.threads, prepare=lambda data_dir: shape.publish(network, data_dir)) as client:
        service = predictions(client)
        service.ask(service.connect(), texts[:8])
        if options.requests:
            measure_memory(client, service, texts, options.requests)
        if options.beside_training:
            contest = draw(read_set(options.data / options.beside_training), 200, 0, 100)
            measure_beside_training(client, service, usual(texts), contest)


def measure_all(network: Network, texts: list[str], options: argparse.Namespace, folder: Path) -> None:
    """The engine, the product and its peers."""
    shape.write_stock(network, folder / "stock")
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    served = measure_engine(network, texts, options.threads)
    measure_pipeline(folder, options.threads)
    with running_product(options.threads, prepare=lambda data_dir: shape.publish(network, data_dir)) as client:
        service = predictions(client)
        measure_service("classiglot", service, texts, 10_000)
        measure_overhead(client, service, texts, options.threads)
        measure_one(served, service, usual(texts))
    if options.infinity_python:
        with running_infinity(options.infinity_python, folder / "stock", options.threads) as url:
            service = load.Service(url, lambda own: {"model": "stock", "input": own})
            measure_service("infinity-emb", service, texts, 2_048)


def predictions(client: httpx.Client) -> load.Service:
    """By name, because a job that runs may publish another model."""
    url = f"{str(client.base_url).rstrip('/')}/predict"
    return load.Service(url, lambda own: {"texts": own, "model": shape.NAME})


def mixed_texts(data: Path, count: int) -> list[str]:
    """As many test texts of each set in turn, whatever their language and length."""
    columns = [read_set(data / name).test.texts for name in set_names(data)]
    if not columns:
        raise SystemExit(f"{data} holds no sets")
    return list(islice((text for row in zip(*columns, strict=False) for text in row), count))


def measure_engine(network: Network, texts: list[str], threads: int) -> Classifier:
    """The forward pass alone: how near the processor's limit, and the same pass in float32. Returns what serves."""
    encoder = network.encoder(512)
    engine = make_engine(network.model, CPU, "auto", threads)
    ids = torch.randint(5, 1000, (32, 128))
    with torch.inference_mode():
        batch = min(load.seconds(lambda: engine.features(ids, torch.ones_like(ids)), 7))
        peak = matmul_peak()
    done = forward_operations(network, 32, 128) / batch
    print(
        f"{engine.name}, 32 x 128 tokens: {batch * 1e3:.0f} ms, {done / 1e9:.0f} GFLOP/s, {done / peak:.0%} of matmul"
    )
    card = ModelCard("choosing", shape.LABELS, 512, "shape", "job_0", "0" * 64, [])
    rows = encoder.encode(texts)
    exact = Classifier(network.model, encoder, card, CPU)
    served = Classifier(network.model, encoder, card, CPU, engine)
    began = time.perf_counter()
    expected = exact.score(rows, 8192)
    middle = time.perf_counter()
    found = served.score(rows, 8192)
    ended = time.perf_counter()
    differences = np.abs(found - expected).max(axis=1)
    print(
        f"float32 {len(rows) / (middle - began):.1f} texts/s, {engine.name} {len(rows) / (ended - middle):.1f}; "
        f"labels equal {(found.argmax(axis=1) == expected.argmax(axis=1)).mean():.2%}, "
        f"probabilities differ by {differences.max():.4f} at most, {differences.mean():.4f} on average"
    )
    return served


def usual(texts: list[str]) -> str:
    """The one of middle length."""
    return sorted(texts, key=len)[len(texts) // 2]


def matmul_peak() -> float:
    """Operations a second of a bfloat16 product of the shapes that the layers have, the best of three."""
    found = []
    for rows, inner, columns in [(4096, 768, 3072), (4096, 3072, 768), (4096, 4096, 4096)]:
        left, right = torch.randn(rows, inner).bfloat16(), torch.randn(columns, inner).bfloat16()
        best = min(load.seconds(lambda: torch.nn.functional.linear(left, right), 7))  # noqa: B023  (called here)
        found.append(2 * rows * inner * columns / best)
    return max(found)


def forward_operations(network: Network, rows: int, tokens: int) -> float:
    """Multiplications and additions of the layers' products."""
    config = network.model.config
    size, inner = config.hidden_size, config.intermediate_size
    each = 2 * tokens * (4 * size * size + 2 * size * inner) + 4 * tokens * tokens * size
    return float(rows * config.num_hidden_layers * each)


def measure_pipeline(folder: Path, threads: int) -> None:
    command = [sys.executable, "-m", "benchmarks.pipeline", str(folder / "stock"), str(folder / "texts.json")]
    done = subprocess.run([*command, str(threads)], check=True, capture_output=True, text=True)
    print(f"transformers pipeline, batches of 32: {float(done.stdout.split()[-1]):.1f} texts/s")


def measure_service(name: str, service: load.Service, texts: list[str], most: int) -> None:
    service.ask(service.connect(), texts[:8])
    large = load.large_request(service, texts, most)
    many = load.many_clients(service, texts)
    one = load.alone(service, usual(texts))
    print(
        f"{name}: {large:.1f} texts/s in one request, {many:.1f} from {load.CLIENTS} clients, "
        f"one text {one * 1e3:.1f} ms"
    )


def measure_one(classifier: Classifier, service: load.Service, text: str) -> None:
    """In turns with the bare forward pass, for the pace of a machine changes within minutes."""
    rows = classifier.encoder.encode([text])
    found = []
    for _ in range(ROUNDS):
        bare = statistics.median(load.seconds(lambda: classifier.forward(rows), 30))
        found.append((load.alone(service, text, 30), bare))
    whole, bare = (statistics.median(own) for own in zip(*found, strict=True))
    ratios = ", ".join(f"{own / pass_:.2f}" for own, pass_ in found)
    print(f"one text {whole * 1e3:.1f} ms, the forward pass alone {bare * 1e3:.1f} ms; in turns {ratios} times that")


@contextmanager
def running_infinity(python: Path, model: Path, threads: int) -> Iterator[str]:
    """Raises: BenchmarkFailed when it does not get ready."""
    with listen("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    flags = [
        "--engine",
        "torch",
        "--device",
        "cpu",
        "--no-bettertransformer",
        "--no-model-warmup",
        "--batch-size",
        "32",
    ]
    command = [str(python.parent / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "stock"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    server = processes.start([*command, "--port", str(port), *flags], environment)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(f"{url}/health"):
            if time.monotonic() > deadline or server.poll() is not None:
                raise BenchmarkFailed("infinity_emb did not become ready; its log above says why")
            time.sleep(0.5)
        yield f"{url}/classify"
    finally:
        processes.end(server, grace_seconds=10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
