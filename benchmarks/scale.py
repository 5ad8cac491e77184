"""Whether answers stay as fast with many jobs in the table, and what a second service and worker bring."""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.full_tables import BASE_MODEL, add_dataset, empty_database, fill
from benchmarks.parts import ask, running_broker, running_idle_worker, running_service
from benchmarks.percentiles import percentile
from benchmarks.product import BenchmarkFailed
from service.errors import ClassiglotError
from service.store import jobs as job_rows
from service.store.database import Database

LEASE_SECONDS = 60.0
Times = dict[str, dict[int, list[float]]]  # what was done → jobs in the table → seconds of each time


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--postgres", help="URL of a PostgreSQL server, in which databases may be made; also SQLite")
    parser.add_argument("--sizes", default="10,1000,100000", help="jobs in the table, default 10,1000,100000")
    parser.add_argument("--requests", type=int, default=200, help="of each kind and size, default 200")
    parser.add_argument("--idle-jobs", type=int, default=24, help="for the second worker, default 24; 0: none")
    parser.add_argument("--idle-seconds", type=float, default=2.0, help="that such a job waits, default 2")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    servers = [None, options.postgres] if options.postgres else [None]
    for server in servers:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{'PostgreSQL' if server else 'SQLite'}, load {os.getloadavg()[0]:.1f}")
            for what, by_size in measure_tables(server, Path(folder), sizes, options.requests).items():
                print(table_line(what, by_size), flush=True)
    if options.postgres and options.idle_jobs:
        with tempfile.TemporaryDirectory() as folder:
            measure_second(options.postgres, Path(folder), options.idle_jobs, options.idle_seconds)


def table_line(what: str, by_size: dict[int, list[float]]) -> str:
    """Median and p95 at each size, and how many times the smallest table's p95 the largest's is."""
    told = [
        f"{size}: {statistics.median(times) * 1e3:.1f} / {percentile(times, 0.95) * 1e3:.1f} ms"
        for size, times in by_size.items()
    ]
    smallest, largest = (percentile(by_size[size], 0.95) for size in (min(by_size), max(by_size)))
    return f"  {what}, median / p95 with so many jobs: {', '.join(told)}; p95 × {largest / smallest:.2f}"


# -- many jobs ----------------------------------------------------------------------------------------------


def measure_tables(server: str | None, folder: Path, sizes: Sequence[int], requests: int) -> Times:
    """All sizes in turn, so that whatever else the machine does meets them alike."""
    found: Times = {what: {size: [] for size in sizes} for what in ("POST /jobs", "GET /jobs", "claim of the oldest")}
    with ExitStack() as stack:
        broker = stack.enter_context(running_broker(folder))
        clients, claims = {}, {}
        for size in sizes:
            database = stack.enter_context(empty_database(server, folder, f"finished_{size}"))
            dataset_id = add_dataset(database)
            fill(database, dataset_id, size, "succeeded")
            queued = stack.enter_context(empty_database(server, folder, f"queued_{size}"))
            fill(queued, add_dataset(queued), size + requests, "queued")
            clients[size] = (stack.enter_context(running_service(database, folder, broker)), dataset_id)
            claims[size] = queued
        for _ in range(requests):
            for size, (client, dataset_id) in clients.items():
                body = {"dataset_id": dataset_id, "base_model": BASE_MODEL}
                found["POST /jobs"][size].append(_seconds(lambda: ask(client, "POST", "/jobs", body)))  # noqa: B023
                found["GET /jobs"][size].append(_seconds(lambda: ask(client, "GET", "/jobs")))  # noqa: B023
                found["claim of the oldest"][size].append(_seconds(lambda: claim(claims[size])))  # noqa: B023
    return found


def claim(database: Database) -> None:
    with database.write() as tx:
        if job_rows.claim_next(tx, "benchmark", LEASE_SECONDS) is None:
            raise BenchmarkFailed("no job was left to claim")


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


# -- a second service and a second worker ------------------------------------------------------------------------


def measure_second(server: str, folder: Path, jobs: int, idle_seconds: float) -> None:
    """Jobs a minute from the first claim to the last end; their runs only wait, for two cores cannot train twice."""
    rates = []
    for count in (1, 2):
        with ExitStack() as stack:
            broker = stack.enter_context(running_broker(folder))
            database = stack.enter_context(empty_database(server, folder, f"pairs_{count}"))
            dataset_id = add_dataset(database)
            clients = [stack.enter_context(running_service(database, folder, broker)) for _ in range(count)]
            for number in range(jobs):
                ask(clients[number % count], "POST", "/jobs", {"dataset_id": dataset_id, "base_model": BASE_MODEL})
            for _ in range(count):
                stack.enter_context(running_idle_worker(database, folder, broker, idle_seconds))
            rates.append(jobs / seconds_of_work(database, jobs) * 60)
    first, second = rates
    print(
        f"one service and worker: {first:.0f} jobs a minute, two of each: {second:.0f}, × {second / first:.2f}; "
        f"runs that wait {idle_seconds:g} s; load {os.getloadavg()[0]:.1f}"
    )


def seconds_of_work(database: Database, jobs: int) -> float:
    """From the first start to the last end, by the database's clock. Raises: BenchmarkFailed when none ends."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        with database.read() as tx:
            ended = [job for job in job_rows.page(tx, "default", jobs, None).data if job.finished_at]
        if len(ended) == jobs:
            return max(job.finished_at or 0 for job in ended) - min(job.started_at or 0 for job in ended)
        time.sleep(0.2)
    raise BenchmarkFailed("the jobs did not end; the worker's log above says why")


if __name__ == "__main__":
    try:
        main()
    except ClassiglotError as error:
        sys.exit(error.message)
