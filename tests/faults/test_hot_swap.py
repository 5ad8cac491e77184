"""New versions that take over while they are asked for, sound ones and broken ones."""

import itertools
from typing import Any

from faults.conftest import Deploy
from parts.clients import Clients
from parts.deployment import Deployment, wait_until
from parts.finished_models import publish, withdraw_all
from parts.wire import far_apart
from service.store.records import ModelRecord

TEXTS = ["a dog that sleeps", "an apple and a pear", "rain"]


def scores_of(answer: Any) -> list[dict[str, float]]:
    return [prediction["scores"] for prediction in answer["predictions"]]


def ask_for(deployment: Deployment, version: ModelRecord) -> Any:
    answer = deployment.client.post("/predict", json={"texts": TEXTS, "model": version.id})
    assert answer.status_code == 200, answer.text
    return answer.json()


class Answers(Clients):
    """Asks by name; `given` are the answers."""

    def __init__(self, deployment: Deployment, name: str) -> None:
        self.given: list[Any] = []

        def ask() -> int:
            answer = deployment.client.post("/predict", json={"texts": TEXTS, "model": name})
            if answer.status_code == 200:
                self.given.append(answer.json())
            return answer.status_code

        super().__init__(ask, 4)

    def wait_for(self, version: int) -> None:
        """Until that version has answered."""
        wait_until(lambda: self.given and self.given[-1]["model"]["version"] == version, 30, lambda: self.given[-1])


def test_versions_that_take_over_under_load_fail_no_request_and_answer_under_their_own_name(
    deploy: Deploy, long: bool
) -> None:
    """B30: 200 versions (20 in the suite), each with other scores; every fourth is corrupt."""
    number = 200 if long else 20
    deployment = deploy(model_memory_bytes=2_000_000)  # a few versions at once: the others leave in passing
    deployment.start_api()
    deployment.wait_for_api()
    database, artifacts = deployment.database, deployment.artifacts
    versions = [publish(database, artifacts, val_loss=1.0, seed=0)]
    assert deployment.client.post("/predict", json={"texts": TEXTS}).status_code == 200
    load, corrupt = Answers(deployment, versions[0].name), set[str]()
    for count in range(1, number + 1):
        spoilt, loss = count % 4 == 3, 1 - count / 1000
        versions.append(publish(database, artifacts, val_loss=loss, seed=count, spoilt=spoilt))
        if spoilt:
            corrupt.add(versions[-1].id)
        else:
            load.wait_for(versions[-1].version)
    assert load.end() == {200}
    right = {version.id: ask_for(deployment, version) for version in versions if version.id not in corrupt}
    for answer in load.given:
        expected = right[answer["model"]["id"]]
        assert answer["model"] == expected["model"]
        assert far_apart(scores_of(answer), scores_of(expected)) < 1e-5
    seen = {answer["model"]["id"] for answer in load.given}
    assert seen == set(right)
    for one, other in itertools.pairwise(right.values()):
        assert far_apart(scores_of(one), scores_of(other)) > 1e-3  # else a mix-up would not be seen
    print(f"B30: {len(load.given)} answers of {len(seen)} versions, all right; {len(corrupt)} corrupt ones never asked")
    withdraw_all(deployment.database)
