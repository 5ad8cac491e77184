"""Services that stop, and models that go, while they are asked."""

import itertools
import signal
import threading
import time

import httpx

from faults.conftest import Deploy
from parts.clients import Clients
from parts.deployment import Deployment, is_ready, wait_until
from parts.finished_models import publish, withdraw_all
from parts.ports import free_port
from service.jobs import sweep


def test_a_rolling_restart_under_load_fails_no_request(deploy: Deploy) -> None:
    """B16: two services behind a balancer that looks at readiness ten times a second; DRAIN_SECONDS is 2."""
    deployment = deploy(drain_seconds=2)
    ports = [deployment.api_port, free_port()]
    clients = [httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) for port in ports]
    services = [deployment.start_api(port=port) for port in ports]
    for client in clients:
        deployment.wait_for_api(client)
    model = publish(deployment.database, deployment.artifacts)
    body = {"texts": ["a dog", "an apple"], "model": model.id}
    for client in clients:
        assert client.post("/predict", json=body).status_code == 200
    ready, turns, balanced = [True, True], itertools.count(), threading.Event()

    def balance() -> None:
        while not balanced.wait(0.1):
            ready[:] = [is_ready(client) for client in clients]

    def ask() -> int:
        number = next(turns) % 2
        return clients[number if ready[number] else 1 - number].post("/predict", json=body).status_code

    balancer = threading.Thread(target=balance, daemon=True)
    balancer.start()
    load = Clients(ask)
    for number, port in enumerate(ports):
        time.sleep(1)
        services[number].signal(signal.SIGTERM)
        services[number].process.wait(30)
        deployment.start_api(port=port)
        deployment.wait_for_api(clients[number])
        wait_until(lambda number=number: ready[number], 5)  # type: ignore[misc]
    time.sleep(1)
    answers = load.end()
    balanced.set()
    balancer.join()
    assert answers == {200}
    print(f"B16: {len(load.answers)} requests over two restarts, all 200")
    for client in clients:
        client.close()
    withdraw_all(deployment.database)


def test_a_model_deleted_while_it_serves_answers_what_it_has_begun_and_then_is_not_found(deploy: Deploy) -> None:
    """B24: twenty versions in turn, each deleted under load, and swept after; some are just being loaded."""
    deployment = deploy()
    deployment.start_api()
    deployment.wait_for_api()
    kept = publish(deployment.database, deployment.artifacts, val_loss=0.9)
    current = [kept.id]

    def ask_by_id() -> int:
        return _predict(deployment, current[0])

    def ask_by_name() -> int:
        return _predict(deployment, kept.name)

    assert ask_by_name() == 200
    by_id, by_name = Clients(ask_by_id, 4), Clients(ask_by_name, 4)
    for number in range(20):
        version = publish(deployment.database, deployment.artifacts, val_loss=0.5, seed=number)
        current[0] = version.id
        time.sleep(0.02 * number)
        assert deployment.client.delete(f"/models/{version.id}").status_code == 204
        assert _predict(deployment, version.id) == 404
        assert not deployment.artifacts.path("models", version.id).exists()
        sweep.tidy(deployment.database, deployment.artifacts)
    assert {200} < by_id.end() <= {200, 404}
    assert by_name.end() == {200}
    assert list((deployment.artifacts.root / ".aside").iterdir()) == []
    print(f"B24: {len(by_id.answers)} requests by id, {len(by_name.answers)} by name")
    withdraw_all(deployment.database)


def _predict(deployment: Deployment, model: str) -> int:
    return deployment.client.post("/predict", json={"texts": ["a dog"], "model": model}).status_code
