"""What a service's answers cost beside the engine, and whether its memory stays as it is over many requests."""

import os
from collections.abc import Sequence
from itertools import cycle, islice

import httpx

from benchmarks import load
from benchmarks.watched import find_process, outside_engine, resident_bytes, thread_seconds

MEBIBYTE = 2**20
PARTS = 5


def measure_overhead(client: httpx.Client, service: load.Service, texts: Sequence[str], threads: int) -> None:
    """Processor seconds of `load.CLIENTS` clients' answers: what is not the engine's is HTTP, checks, tokens, JSON."""
    process = find_process(client.base_url.port or 0, "service.cli")
    load.many_clients(service, texts)  # warm
    before = thread_seconds(process)
    load.many_clients(service, texts)
    spent = {thread: seconds - before.get(thread, 0) for thread, seconds in thread_seconds(process).items()}
    print(
        f"{load.CLIENTS} clients: {sum(spent.values()) / len(texts) * 1e3:.1f} ms of processors a text, "
        f"{outside_engine(spent, process, threads):.1%} of it outside the engine "
        f"(event loop {spent[process] / len(texts) * 1e3:.1f} ms); load {os.getloadavg()[0]:.1f}"
    )


def measure_memory(client: httpx.Client, service: load.Service, texts: Sequence[str], requests: int) -> None:
    """Resident memory after each fifth of the requests, a text each, of `load.CLIENTS` clients."""
    process = find_process(client.base_url.port or 0, "service.cli")
    more = cycle(texts)
    found = []
    for _ in range(PARTS):
        load.many_clients(service, list(islice(more, requests // PARTS)))
        found.append(resident_bytes(process) // MEBIBYTE)
    print(f"memory after each {requests // PARTS} requests: {', '.join(map(str, found))} MiB")
