"""Schemathesis over the whole OpenAPI document, by single requests and by chains of them, against a real service with
keys, on both databases. Each of its checks is on; `schemathesis.toml` has the one exception, with its reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.conftest import Deploy
from parts.finished_models import publish
from parts.key_ring import bearer
from parts.routes import routes
from service.access.scopes import SCOPES

HERE = Path(__file__).parent
EXAMPLES, MANY = 10, 200  # an operation; the second with `--long-faults`
UNLIMITED = dict.fromkeys(
    ("rate_limit_read", "rate_limit_train", "rate_limit_predict", "rate_limit_wrong_keys", "quota_jobs"), "none"
)


@pytest.mark.timeout(1800)
def test_schemathesis_has_no_finding(each_database: str | None, deploy: Deploy, tmp_path: Path, long: bool) -> None:
    deployment = deploy(each_database, **UNLIMITED)
    deployment.start_api()
    deployment.wait_for_api()
    finished = deployment.submit()
    deployment.submit(name="waits")
    worker = deployment.start_light_worker()
    deployment.wait_for_status(finished, "succeeded")
    worker.stop()  # what it asks for is its own from here on
    publish(deployment.database, deployment.artifacts, task="deciding", name="moods")
    headers = bearer(deployment.database, *SCOPES)
    options = {
        "--header": f"Authorization: {headers['Authorization']}",
        "--checks": "all",
        "--seed": "1",
        "--max-examples": str(MANY if long else EXAMPLES),
        "--generation-database": "none",
        "--request-timeout": "30",
    }
    words = [word for option in options.items() for word in option]
    script = Path(sys.executable).with_name("schemathesis")
    document = f"http://127.0.0.1:{deployment.api_port}/openapi.json"
    ran = subprocess.run(
        [
            script,
            "--config-file",
            HERE / "schemathesis.toml",
            "run",
            document,
            "--no-color",
            "--continue-on-failure",
            *words,
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("SCHEMATHESIS")}
        | {"SCHEMATHESIS_HOOKS": str(HERE / "media_types.py")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
    count = len(routes(deployment.client.get("/openapi.json").json()))
    assert f"Selected: {count}/{count}" in ran.stdout
    print(ran.stdout[ran.stdout.index("= SUMMARY =") :])
    log = deployment.log.read_text()
    assert "request_crashed" not in log
