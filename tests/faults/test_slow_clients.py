"""Clients that take their time, to send or to read."""

import socket
import sys
import time

from faults.conftest import Deploy
from parts.deployment import Deployment, wait_until
from parts.finished_models import publish, withdraw_all
from parts.memory import resident_bytes
from parts.open_loop import share
from parts.slow_sockets import HEAD, Drip
from parts.subscribers import Subscribers, is_connected, stream_request
from service.store import events

API = [sys.executable, "-m", "service.cli", "api"]


def seconds_of_answers(deployment: Deployment, number: int) -> list[float]:
    """Of honest clients' requests, one after the other. All must be answered."""
    found = []
    for _ in range(number):
        began = time.monotonic()
        assert deployment.client.post("/predict", json={"texts": ["a dog"]}).status_code == 200
        found.append(time.monotonic() - began)
    return found


def test_four_hundred_connections_that_drip_stop_nobody_and_are_closed(deploy: Deploy, long: bool) -> None:
    """B32: 200 drip their heads, 200 their bodies, with deadlines of 3 and 6 s (10 and 60 s at full length)."""
    head, body = (10, 60) if long else (3, 6)
    deployment = deploy(head_seconds=head, body_seconds=body)
    deployment.start(["prlimit", "--nofile=256:4096", *API], port=deployment.api_port)
    deployment.wait_for_api()
    publish(deployment.database, deployment.artifacts)
    seconds_of_answers(deployment, 100)
    before = seconds_of_answers(deployment, 100)
    heads = Drip(deployment.api_port, 200, HEAD, b"X-Drop: 1\r\n")
    bodies = Drip(deployment.api_port, 200, HEAD + b'Content-Length: 9999\r\n\r\n{"texts": ["', b"x")
    meanwhile = seconds_of_answers(deployment, 100)
    assert len(bodies.open) == 200  # they were there
    heads.end(head + 5)
    bodies.end(body + 5)
    assert all(b"408" in said and b"request_timeout" in said for _, said in (*heads.closed, *bodies.closed))
    slowest = [max(seconds for seconds, _ in drip.closed) for drip in (heads, bodies)]
    assert slowest[0] < head + 2
    assert slowest[1] < body + 2
    assert share(meanwhile, 0.9) < 3 * share(before, 0.9) + 0.1
    print(
        f"B32: heads closed after {slowest[0]:.1f} s, bodies after {slowest[1]:.1f} s; 90 % of honest answers within "
        f"{share(before, 0.9) * 1000:.0f} ms before, {share(meanwhile, 0.9) * 1000:.0f} ms meanwhile"
    )
    withdraw_all(deployment.database)


def test_five_hundred_idle_subscribers_and_one_that_never_reads_cost_little(deploy: Deploy, long: bool) -> None:
    """B44: 50 of them leave after each event and come back; the deadline for reading is 5 s (60 s at full length)."""
    unread = 60 if long else 5
    deployment = deploy(body_seconds=unread)
    service = deployment.start_api()
    deployment.wait_for_api()
    job_id, crowded = deployment.submit(), deployment.submit()
    note(deployment, crowded, 8_000)
    publish(deployment.database, deployment.artifacts)
    seconds_of_answers(deployment, 100)
    before, held = seconds_of_answers(deployment, 50), resident_bytes(service.pid)
    silent = socket.create_connection(("127.0.0.1", deployment.api_port))
    silent.sendall(stream_request(crowded))
    began = time.monotonic()
    subscribers = Subscribers(deployment.api_port, job_id, 500, restless=50)
    wait_until(lambda: all(subscribers.seen), 30, deployment.tail)
    for _ in range(5):
        note(deployment, job_id, 2)
        seconds_of_answers(deployment, 10)
    told = deployment.job(job_id).last_event
    wait_until(lambda: all(len(seen) >= told for seen in subscribers.seen), 30, deployment.tail)
    meanwhile = seconds_of_answers(deployment, 50)
    grown = resident_bytes(service.pid) - held
    wait_until(lambda: not is_connected(deployment.api_port, silent.getsockname()[1]), unread + 10)
    closed = time.monotonic() - began
    for each in (job_id, crowded):
        assert deployment.client.post(f"/jobs/{each}/cancel").status_code == 200
    subscribers.end(30)
    last = deployment.job(job_id).last_event
    assert subscribers.seen == [list(range(1, last + 1))] * 500
    assert grown < 100 * 2**20
    assert closed > unread
    assert share(meanwhile, 0.9) < 3 * share(before, 0.9) + 0.1
    print(
        f"B44: 500 saw each of {last} events once; {grown / 2**20:.0f} MiB more; the one that never reads is closed "
        f"after {closed:.0f} s; 90 % of /predict within {share(before, 0.9) * 1000:.0f} ms before, "
        f"{share(meanwhile, 0.9) * 1000:.0f} ms meanwhile"
    )
    silent.close()
    withdraw_all(deployment.database)


def note(deployment: Deployment, job_id: str, number: int) -> None:
    """Writes events as a worker does."""
    with deployment.database.write() as tx:
        for _ in range(number):
            events.append(tx, job_id, "a long word about how it goes " * 30)  # 8,000 fill the kernel's buffers
