"""Clients that take their time, to send or to read."""

import sys
import time

from faults.conftest import Deploy
from faults.test_disk import forget
from parts.deployment import Deployment
from parts.finished_models import publish
from parts.open_loop import share
from parts.slow_sockets import HEAD, Drip

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
    forget(deployment, "fruit")
