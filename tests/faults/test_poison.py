"""Texts that break something, among texts that do not; and a model thread that is lost to one."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx

from faults.conftest import Deploy
from parts.deployment import Deployment, wait_until
from parts.faulty_api import DEAD, LOST, NO_MEMORY, NOT_A_NUMBER, RAISES, STUCK
from parts.finished_models import publish, withdraw_all
from parts.toy_text import choosing
from parts.wire import far_apart

GOOD = choosing(31, language="other")[0]
MARKS = "a" + "\u0301" * 50_000
POISON = {
    "surrogate": ('"\\ud800"', (400, 422)),
    "NUL": ('"a\\u0000b"', (422,)),
    "10 MB": (json.dumps("x" * 10_000_000), (422,)),
    "empty": ('""', (422,)),
    "no string": ("7", (422,)),
    "pad": ('"<pad><pad>"', (200,)),  # these two are texts like any other
    "combining marks": (json.dumps(MARKS), (200,)),
}


def ask(deployment: Deployment, *texts: str) -> httpx.Response:
    """`texts` are JSON already, for not all of them can be written by Python."""
    body = f'{{"texts": [{", ".join(texts)}]}}'.encode()
    return deployment.client.post("/predict", content=body, headers={"Content-Type": "application/json"})


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """All of them in the same instant."""
    gate = threading.Barrier(len(calls))

    def call(one: Callable[[], httpx.Response]) -> httpx.Response:
        gate.wait(30)
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def scores(answer: httpx.Response) -> dict[str, float]:
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    found: dict[str, float] = prediction["scores"]
    return found


def serve(deployment: Deployment, module: str = "parts.faulty_api") -> Any:
    part = deployment.start_python(module, "api", port=deployment.api_port)
    deployment.wait_for_api()
    publish(deployment.database, deployment.artifacts)
    return part


def test_a_poison_text_among_31_good_ones_costs_nobody_else_an_answer(deploy: Deploy) -> None:
    """B26: seven poisons, each in one of 32 concurrent requests, then as one text of a request of 32."""
    deployment = deploy()
    serve(deployment, "service.cli")
    good = [json.dumps(text) for text in GOOD]
    alone = [scores(ask(deployment, text)) for text in good]
    apart = 0.0
    for name, (poison, statuses) in POISON.items():
        *answers, poisoned = at_once([lambda text=text: ask(deployment, text) for text in [*good, poison]])  # type: ignore[misc]
        assert poisoned.status_code in statuses, (name, poisoned.text[:300])
        apart = max(apart, far_apart([scores(answer) for answer in answers], alone))
        together = ask(deployment, *good[:13], poison, *good[13:])
        assert together.status_code in statuses, (name, together.text[:300])
        if together.status_code == 422:
            (detail,) = together.json()["error"]["details"]
            assert (detail.get("row"), detail["field"]) == (13, "texts"), name
        line = "text_invalid" if 200 not in statuses else None
        assert _errors_by_line(deployment, [*good[:13], poison, *good[13:]]) == [None] * 13 + [line] + [None] * 18, name
    assert apart < 1e-5
    print(f"B26: {len(POISON)} poisons, 31 of 31 neighbours answered each time, {apart:.1e} from what they get alone")
    withdraw_all(deployment.database)


def test_a_text_that_the_model_fails_at_is_found_and_alone_in_its_failure(deploy: Deploy) -> None:
    """B27: a model that raises, runs out of memory, or gives no number for one text."""
    deployment = deploy()
    serve(deployment)
    good = [json.dumps(text) for text in GOOD]
    alone = [scores(ask(deployment, text)) for text in good]
    for fault in (RAISES, NO_MEMORY, NOT_A_NUMBER):
        poison = json.dumps(fault)
        *answers, poisoned = at_once([lambda text=text: ask(deployment, text) for text in [*good, poison]])  # type: ignore[misc]
        apart = far_apart([scores(answer) for answer in answers], alone)
        assert apart < 1e-5
        mixed = [*good[:13], poison, *good[13:]]
        for answer, row in ((poisoned, 0), (ask(deployment, *mixed), 13)):
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "inference_error"), answer.text
            assert [detail["row"] for detail in answer.json()["error"]["details"]] == [row]
        assert _errors_by_line(deployment, mixed) == [None] * 13 + ["inference_error"] + [None] * 18
        print(f"B27: {fault}: 31 of 32 answered, {apart:.1e} from what they get alone")
    withdraw_all(deployment.database)


def _errors_by_line(deployment: Deployment, texts: list[str]) -> list[str | None]:
    """The code of each line of a streamed answer; all of it is JSON without NaN."""
    lines = "".join(f'{{"text": {text}}}\n' for text in texts).encode()
    answer = deployment.client.post("/predict", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert "nan" not in answer.text.lower()
    return [json.loads(line).get("error", {}).get("code") for line in answer.text.splitlines()]


def test_a_lost_model_thread_is_told_by_readiness_and_then_by_the_end_of_the_process(deploy: Deploy) -> None:
    """B31: one service whose thread hangs, at the same time one whose thread is gone, and one that hangs at the first
    text that its model ever gets."""
    turn = threading.Lock()
    with ThreadPoolExecutor(3) as pool:
        lose = partial(_lose_the_thread, turn)
        list(pool.map(lose, [deploy(), deploy(), deploy()], [STUCK, DEAD, STUCK], [True, True, False]))


def _lose_the_thread(turn: threading.Lock, deployment: Deployment, fault: str, has_answered: bool) -> None:
    """Until readiness turns, which is timed to half a second, in turn; the wait for the end takes longer."""
    service = serve(deployment)
    with turn:
        began = _become_unready(deployment, fault, has_answered)
    service.process.wait(60)
    ended = time.monotonic() - began
    assert service.process.returncode == 75
    assert ended < 60
    deployment.start_api()
    deployment.wait_for_api()
    assert scores(ask(deployment, '"a dog"'))
    print(f"B31: {fault}, after an answer {has_answered}: ended after {ended:.0f} s")
    withdraw_all(deployment.database)


def _become_unready(deployment: Deployment, fault: str, has_answered: bool) -> float:
    """Returns when the thread was lost."""
    if has_answered:
        scores(ask(deployment, '"a dog"'))
    else:
        assert _errors_by_line(deployment, []) == ["body_unreadable"]  # the model is loaded for that
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        lost, neighbour = (pool.submit(ask, deployment, json.dumps(text)) for text in (fault, "an apple"))
        unready = wait_until(lambda: deployment.client.get("/health/ready").status_code == 503, 6, deployment.tail)
        assert deployment.client.get("/health/live").status_code == 200
        assert neighbour.result(5).status_code in (200, 503)  # it may have come first
        for answer in (lost.result(5), ask(deployment, '"a dog"')):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_stuck")
            assert answer.headers["retry-after"] == "30"
    assert unready < 5
    print(f"B31: {fault}, after an answer {has_answered}: not ready after {unready:.1f} s")
    return began


def test_a_gpu_that_is_lost_ends_the_process_once_everybody_was_told(deploy: Deploy) -> None:
    """B31: torch says that the device is gone. Nobody is left without an answer."""
    deployment = deploy()
    service = serve(deployment)
    good = [json.dumps(text) for text in GOOD]
    alone = scores(ask(deployment, good[0]))
    began = time.monotonic()
    answers = at_once([lambda text=text: ask(deployment, text) for text in [*good[:7], json.dumps(LOST)]])  # type: ignore[misc]
    assert answers[-1].status_code == 503
    for answer in answers:  # a neighbour may have come first, or shared the pass
        assert answer.status_code == 200 or answer.json()["error"]["code"] == "device_lost", answer.text
    with contextlib.suppress(httpx.TransportError):  # it has ended already
        assert deployment.client.get("/health/ready").json()["error"]["code"] == "device_lost"
    service.process.wait(10)
    ended = time.monotonic() - began
    assert service.process.returncode == 75
    deployment.start_api()
    deployment.wait_for_api()
    assert far_apart([scores(ask(deployment, good[0]))], [alone]) < 1e-5
    print(f"B31: the device is lost: refused at once, ended after {ended:.1f} s")
    withdraw_all(deployment.database)
