"""Which key opens which route, something of a project's own behind each, and what every other key gets."""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2

from parts.finished_models import publish
from parts.key_ring import Headers
from parts.rows import add_job, claim
from parts.wire import Json, Response, error_of, fruit
from service.access.scopes import SCOPES
from service.jobs.report import REPORT_JSON
from service.store import jobs as job_rows
from service.store.artifacts import ArtifactStore
from service.store.database import Database

# What each route asks for, agreed here: a change is made on purpose.
SCOPE = {
    "GET /datasets": "read",
    "POST /datasets": "train",
    "GET /datasets/{dataset_id}": "read",
    "DELETE /datasets/{dataset_id}": "train",
    "GET /jobs": "read",
    "POST /jobs": "train",
    "GET /jobs/{job_id}": "read",
    "DELETE /jobs/{job_id}": "train",
    "POST /jobs/{job_id}/cancel": "train",
    "GET /jobs/{job_id}/events": "read",
    "GET /jobs/{job_id}/report": "read",
    "GET /models": "read",
    "GET /models/{model_id}": "read",
    "DELETE /models/{model_id}/promote": "train",
    "DELETE /models/{model_id}": "train",
    "POST /models/{model_id}/promote": "train",
    "GET /models/{model_id}/archive": "read",
    "POST /predict": "predict",
    "GET /metrics": "admin",
    "GET /usage": "read",
    "GET /info": "any",
    "GET /health/live": "open",
    "GET /health/ready": "open",
}
CONFLICT = {  # where a key opens the way to a house that is full
    "POST /jobs/{job_id}/cancel": "job_final",
    "DELETE /datasets/{dataset_id}": "dataset_in_use",  # by the job that was posted before
}
GUARDED = [route for route, scope in SCOPE.items() if scope != "open"]
SCOPED = [route for route in GUARDED if SCOPE[route] != "any"]
OF_SOMEBODY = [route for route in GUARDED if "{" in route]


@dataclass
class House:
    """A service with keys, and something of each kind that belongs to the project `mine`."""

    client: httpx.Client | httpx2.Client
    database: Database
    artifacts: ArtifactStore
    keys: dict[str, Any] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def fill(self) -> None:
        """A data set, a finished job with its report, and its model. No worker may run."""
        headers = self.keys["train"]
        dataset_id = self.client.post("/datasets", json=fruit(), headers=headers).json()["id"]
        model = publish(self.database, self.artifacts, project="mine")
        job = add_job(self.database, project="mine", dataset_id=dataset_id)
        with self.artifacts.writing("reports", model.id) as folder:
            (folder / REPORT_JSON).write_text("{}")
        while (held := claim(self.database)).job_id != job.id:
            pass  # older ones, which nobody will run
        with self.database.write() as tx:
            job_rows.finish(tx, held, "succeeded", {"model_id": model.id})
        self.ids = {"dataset_id": dataset_id, "job_id": job.id, "model_id": model.id}

    def ask(self, route: str, headers: Headers, **ids: str) -> Response:
        method, path = route.split()
        body = {
            "/datasets": fruit(),
            "/jobs": {"dataset_id": self.ids["dataset_id"]},
            "/predict": {"texts": ["x"], "model": "fruit"},
        }
        json = body.get(path) if method == "POST" else None
        return self.client.request(method, path.format(**(self.ids | ids)), json=json, headers=headers)


NO_KEY: dict[str, Headers] = {
    "none": {},
    "empty": {"Authorization": "Bearer"},
}
WRONG = ["cut", "of another secret", "of nobody", "nonsense", "long", "not ASCII", "expired", "revoked"]
WRONG_PASSWORDS = {"zebra": "emVicmE6emVicmE=", "two colons": b64encode(b"x:zebra:zebra").decode()}
NO_PASSWORDS = {
    "no colon": "emVicmE=",
    "no base 64": "zebra!",
    "no password": "emVicmE6",
    "no UTF-8": "Ov8=",
    "nothing": "",
}


def without_a_good_key(good: Headers) -> dict[str, Any]:
    """All of `NO_KEY`, and of `WRONG` what never was a key; `good` are the headers of one that is."""
    whole = good["Authorization"]
    return NO_KEY | {
        "cut": {"Authorization": whole[:-1]},
        "of another secret": {"Authorization": whole[:-43] + "A" * 43},
        "of nobody": {"Authorization": f"Bearer cgk_{'0' * 26}.{'A' * 43}"},
        "nonsense": {"Authorization": "Bearer zebra"},
        "long": {"Authorization": f"Bearer {'z' * 8000}"},
        "not ASCII": {"X-API-Key": "zebraé".encode("latin-1")},
    }


def scopes_of(document: Json) -> dict[str, str]:
    """What each route asks for, as the OpenAPI document has it."""
    found = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            schemes = operation.get("security", [])
            scopes = {tuple(scopes) for scheme in schemes for scopes in scheme.values()}
            names = [name for scheme in schemes for name in scheme]
            assert names in ([], ["bearer", "header"], ["bearer", "header", "basic"])
            assert ("basic" in names) is (bool(names) and method == "get")
            found[f"{method.upper()} {path}"] = " ".join(*scopes) or "any" if schemes else "open"
            assert not schemes or {"401", "403", "429"} <= operation["responses"].keys(), path
    return found


# -- what other keys get ------------------------------------------------------------------------------


def must_ask_for_a_key(house: House, route: str, key: str) -> None:
    response = house.ask(route, house.keys[key])
    error = error_of(response, 401, "key_missing")
    assert "Authorization: Bearer" in error["message"]
    assert response.headers["www-authenticate"] == "Bearer"


def must_refuse_as_any_wrong_key(house: House, route: str, key: str) -> None:
    response = house.ask(route, house.keys[key])
    error = error_of(response, 401, "key_invalid")
    assert response.headers["www-authenticate"] == "Bearer"
    assert error == house.ask("GET /jobs", house.keys["nonsense"]).json()["error"]  # nothing tells which it was
    assert "zebra" not in response.text


def basic(credentials: str) -> Headers:
    return {"Authorization": f"Basic {credentials}".strip()}  # none ends with a space


def as_password(key: Headers, user: str = "zebra") -> Headers:
    return basic(b64encode(f"{user}:{key['Authorization'].removeprefix('Bearer ')}".encode()).decode())


def must_take_a_key_as_password_only_to_read(house: House, route: str) -> None:
    """A browser sends it by itself, also with a form that a page of another site has it send."""
    answer = house.ask(route, as_password(house.keys["browser"], "zebré"))
    if not route.startswith("GET "):
        error_of(answer, 401, "key_missing")
        return
    assert answer.is_success
    of_a_proxy = as_password({"Authorization": "Bearer the-proxys-own"})
    assert house.ask(route, of_a_proxy | {"X-API-Key": house.keys["browser"]["Authorization"].split()[1]}).is_success
    if SCOPE[route] != "any":
        error_of(house.ask(route, as_password(house.keys["predict"])), 403, "scope_missing")
    for credentials in WRONG_PASSWORDS.values():
        error_of(house.ask(route, basic(credentials)), 401, "key_invalid")
    for key in ("expired", "revoked", "of another secret"):
        error_of(house.ask(route, as_password(house.keys[key])), 401, "key_invalid")
    for credentials in NO_PASSWORDS.values():
        error_of(house.ask(route, basic(credentials)), 401, "key_missing")


def must_name_the_missing_scope(house: House, route: str) -> None:
    """To a key of every other scope."""
    for scope in set(SCOPES) - {SCOPE[route], "admin"}:
        error = error_of(house.ask(route, house.keys[scope]), 403, "scope_missing")
        assert f"`{SCOPE[route]}`" in error["message"]


def must_not_find_what_is_anothers(house: House, route: str) -> None:
    answer = house.ask(route, house.keys["foreign"])
    assert answer.status_code == 404, (route, answer.text[:500])
    nothing = dict.fromkeys(house.ids, "x_00000000000000000000000000")
    assert answer.json() == house.ask(route, house.keys["foreign"], **nothing).json()  # as if there were nothing
    assert answer.json()["error"]["code"] in ("dataset_not_found", "job_not_found", "model_not_found")
    object_itself = "GET " + route.split()[1].split("}")[0] + "}"
    assert house.ask(object_itself, house.keys["read"]).is_success, route  # and it is still there


def must_not_find_in_a_body(house: House) -> None:
    error_of(house.ask("POST /jobs", house.keys["foreign"]), 404, "dataset_not_found")
    error_of(house.ask("POST /predict", house.keys["foreign"]), 404, "model_not_found")
    by_id = {"texts": ["x"], "model": house.ids["model_id"]}
    error_of(house.client.post("/predict", json=by_id, headers=house.keys["foreign"]), 404, "model_not_found")


def must_list_what_is_ones_own(house: House, kind: str) -> None:
    theirs = house.client.get(f"/{kind}", headers=house.keys["foreign"])
    assert theirs.json() == {"data": [], "has_more": False}, theirs.text[:500]
    mine = house.client.get(f"/{kind}", headers=house.keys["read"]).json()["data"]
    assert house.ids[f"{kind[:-1]}_id"] in [item["id"] for item in mine]


def must_open(house: House, holder: str) -> None:
    """Every route, to a key of its scope, or to one of `admin`. It deletes and cancels: fill the house anew."""
    ring = house.keys | {"any": house.keys["predict"], "open": {}}
    for route in sorted(SCOPE, key=lambda route: route.startswith("DELETE")):  # what deletes comes last
        response = house.ask(route, ring["admin" if holder == "admin" else SCOPE[route]])
        if code := CONFLICT.get(route):
            error_of(response, 409, code)
        else:
            assert response.is_success, (route, response.text)
