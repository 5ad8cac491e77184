"""The compose file agrees with the Dockerfile and with the program, as far as that shows without an engine."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import torch
import yaml
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from parts.containers import (
    COMPOSE,
    COMPOSE_FILE,
    COMPOSE_TEXT,
    OURS,
    PASSWORD,
    PROJECT,
    SERVICES,
    Service,
    environment,
    interpolate,
    mounts,
    rests,
)
from parts.ports import free_port
from service import processes
from service.app import create_app
from service.cli import build_parser
from service.jobs.embedded_broker import find_server, start_broker
from service.models.base_models import HUB_IDS
from service.settings import Settings, read_settings
from service.up import GRACE_SECONDS

READY_SECONDS = 60.0
# Variables that our containers have and `Settings` does not, with who reads them.
OTHER_VARIABLES = {"HF_HOME": "huggingface_hub: where `classiglot fetch` puts base models"}

every_one_of_ours = pytest.mark.parametrize("name", OURS)


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def enabled(profile: str) -> dict[str, Service]:
    return {name: service for name, service in SERVICES.items() if profile in service.get("profiles", [profile])}


# -- settings and commands ----------------------------------------------------------------------------------


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without the settings of whoever runs the tests."""
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    return monkeypatch


@every_one_of_ours
def test_every_variable_is_one_that_something_reads(name: str) -> None:
    known = {field.upper() for field in Settings.model_fields} | OTHER_VARIABLES.keys()
    assert environment(name).keys() <= known


@every_one_of_ours
def test_the_settings_are_accepted_and_lead_to_the_other_services(name: str, clean: pytest.MonkeyPatch) -> None:
    for variable, value in environment(name).items():
        clean.setenv(variable, value)
    settings, postgres = read_settings(), SERVICES["postgres"]["environment"]
    database, broker = urlsplit(settings.sql_url), urlsplit(settings.queue_url)
    assert (database.hostname, broker.hostname) == ("postgres", "valkey")
    assert {"postgres", "valkey"} <= SERVICES[name]["depends_on"].keys()
    assert (database.username, database.password) == (postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"])
    assert database.path == f"/{postgres['POSTGRES_DB']}"
    folders = [settings.artifacts_dir, settings.data_dir, settings.base_models_dir]
    assert {str(folder) for folder in folders} | {environment(name)["HF_HOME"]} == mounts(SERVICES[name]).keys()


def test_there_is_no_password_but_the_operators() -> None:
    with pytest.raises(LookupError, match=r"\.env"):
        interpolate(yaml.safe_load(COMPOSE_TEXT), {})


def test_the_example_of_env_has_what_the_file_reads_and_no_password() -> None:
    text = COMPOSE_FILE.with_name(".env.example").read_text(encoding="utf-8")
    example = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert example.keys() == {"COMPOSE_PROFILES", *re.findall(r"\$\{(\w+)", COMPOSE_TEXT)}
    assert example["POSTGRES_PASSWORD"] == ""
    assert enabled(example["COMPOSE_PROFILES"]).keys() - enabled("").keys() == {"worker"}
    filled_in = interpolate(yaml.safe_load(COMPOSE_TEXT), example | {"POSTGRES_PASSWORD": PASSWORD})
    assert filled_in == COMPOSE  # each other line is the default


@pytest.mark.parametrize("command", [SERVICES[name]["command"] for name in OURS] + [yaml.safe_load(rests("CMD")[0])])
def test_the_command_line_accepts_every_command(command: list[str]) -> None:
    assert command[0] in PROJECT["scripts"]
    assert build_parser().parse_args(command[1:]).run


def test_the_commands_in_the_comments_can_be_run() -> None:
    documented = re.findall(r"^# +docker compose run --rm (\S+) (.+)$", COMPOSE_TEXT, re.MULTILINE)
    assert documented
    for name, line in documented:
        program, *arguments = shlex.split(line)
        assert program in PROJECT["scripts"]
        assert name in OURS
        assert "profiles" not in SERVICES[name]
        parsed = build_parser().parse_args(arguments)
        assert parsed.name in HUB_IDS if arguments[0] == "fetch" else arguments[:2] == ["keys", "create"]


# -- services, volumes, profiles ----------------------------------------------------------------------------


def test_whatever_is_waited_for_exists_and_can_become_healthy() -> None:
    for service in SERVICES.values():
        for other, terms in service.get("depends_on", {}).items():
            assert terms == {"condition": "service_healthy"}
            assert SERVICES[other]["healthcheck"]["test"][0] == "CMD"


def test_named_volumes_are_declared_used_and_shared() -> None:
    sources = {source for service in SERVICES.values() for source in mounts(service).values()}
    assert {source for source in sources if not source.startswith((".", "/"))} == COMPOSE["volumes"].keys()
    assert OURS == ["service", "worker", "worker-gpu"]
    assert all(mounts(SERVICES[name]) == mounts(SERVICES["service"]) for name in OURS)


def test_postgres_keeps_its_data_where_its_version_does() -> None:
    version = int(SERVICES["postgres"]["image"].removeprefix("postgres:"))
    folder = "/var/lib/postgresql" if version >= 18 else "/var/lib/postgresql/data"
    assert mounts(SERVICES["postgres"]) == {folder: "postgres"}


def test_each_profile_has_one_worker_and_is_documented() -> None:
    profiles = {profile for service in SERVICES.values() for profile in service.get("profiles", ())}
    assert profiles == {"cpu", "gpu"} == set(re.findall(r"^#.* --profile (\w+) up ", COMPOSE_TEXT, re.MULTILINE))
    for profile in profiles:
        commands = [service.get("command") for service in enabled(profile).values()]
        assert commands.count(["classiglot", "worker"]) == commands.count(["classiglot", "api"]) == 1
        assert {"postgres", "valkey"} <= enabled(profile).keys()


def test_only_the_gpu_worker_reserves_a_gpu_and_insists_on_it() -> None:
    reserving = {name: service["deploy"]["resources"] for name, service in SERVICES.items() if "deploy" in service}
    devices = [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert reserving == {"worker-gpu": {"reservations": {"devices": devices}}}
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]
    on_gpu = {name for name in OURS if environment(name).get("DEVICE") == "cuda"}
    assert on_gpu == {"worker-gpu"}  # which then never trains on the processor in silence


def test_only_this_machine_reaches_the_service_and_only_the_service() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"service"}
    port = Settings.model_fields["port"].default
    assert SERVICES["service"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert environment("service")["HOST"] == "0.0.0.0"
    assert "PORT" not in environment("service")
    assert rests("EXPOSE") == [str(port)]


@every_one_of_ours
def test_there_is_time_to_stop(name: str) -> None:
    assert seconds(SERVICES[name]["stop_grace_period"]) > GRACE_SECONDS
    assert SERVICES[name]["init"] is True


# -- healthchecks, run for real -----------------------------------------------------------------------------


def probe(name: str, port: int = 0) -> int:
    """Status of a healthcheck that is a Python program; `port` in place of the container's."""
    kind, program, *arguments = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program, arguments[0]) == ("CMD", "python", "-c")
    code = arguments[1].replace(f":{Settings.model_fields['port'].default}/", f":{port}/")
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, timeout=60, check=False).returncode


@contextmanager
def running_service(port: int, data_dir: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The compose file's own command, on SQLite and another port."""
    variables = {"PORT": str(port), "DATA_DIR": str(data_dir), "LOG_LEVEL": "error"}
    program = Path(sys.executable).with_name(SERVICES["service"]["command"][0])
    process = subprocess.Popen([program, *SERVICES["service"]["command"][1:]], env=os.environ | variables)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_services_healthcheck_asks_a_route_that_exists(settings: Settings) -> None:
    code = SERVICES["service"]["healthcheck"]["test"][-1]
    (url,) = map(urlsplit, re.findall(r"http://[^']+", code))
    assert (url.hostname, url.port) == ("127.0.0.1", Settings.model_fields["port"].default)
    # Not `routes`: FastAPI keeps those of an included router behind one object without a path.
    assert "get" in create_app(settings).openapi()["paths"][url.path]


def test_the_head_makes_a_key_before_it_starts_a_service_that_others_can_reach() -> None:
    head = COMPOSE_TEXT.split("name: classiglot")[0]
    assert 0 < head.index("classiglot keys create") < head.index("--profile cpu up")
    assert not read_settings(host=environment("service")["HOST"]).is_loopback


def test_the_service_becomes_healthy_and_stops_in_time(tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    port = free_port()
    clean.delenv("no_proxy", raising=False)
    clean.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")  # for what the containers download; nobody is there
    assert probe("service", port) != 0
    with running_service(port, tmp_path) as process:
        deadline = time.monotonic() + READY_SECONDS
        while (status := probe("service", port)) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
        assert status == 0
        process.terminate()
        # uvicorn ends itself by the signal once everything is closed.
        assert process.wait(seconds(SERVICES["service"]["stop_grace_period"])) in (0, -signal.SIGTERM)


def test_the_gpu_workers_healthcheck_tells_whether_torch_has_a_gpu() -> None:
    assert (probe("worker-gpu") == 0) == torch.cuda.is_available()


# -- Valkey -------------------------------------------------------------------------------------------------


def policy(socket_path: Path) -> dict[str, str]:
    retry = Retry(ConstantBackoff(0.05), retries=200)
    with redis.Redis(unix_socket_path=str(socket_path), retry=retry, decode_responses=True) as client:
        found: Any = client.config_get("save", "appendonly", "maxmemory-policy")
    return dict(found)


@contextmanager
def running(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        processes.end(process, grace_seconds=5)


@pytest.mark.usefixtures("clean")
def test_the_broker_is_set_up_like_the_embedded_one() -> None:
    program, *options = SERVICES["valkey"]["command"]
    assert program == "valkey-server"
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        ours, theirs = read_settings(data_dir=Path(folder, "data")), Path(folder, "s")
        private = ["--port", "0", "--unixsocket", str(theirs), "--dir", folder, "--loglevel", "warning"]
        with running(start_broker(ours)), running(processes.start([find_server(), *options, *private])):
            assert policy(theirs) == policy(ours.broker_socket)


# -- compose itself, where it is ----------------------------------------------------------------------------


def compose(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """`docker compose` on our file, with nothing of this machine's settings. Needs no engine."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--env-file", os.devnull, *arguments]
    return subprocess.run(command, env=kept | variables, capture_output=True, text=True, timeout=60, check=False)


def has_compose() -> bool:
    return shutil.which("docker") is not None and compose("version").returncode == 0


needs_compose = pytest.mark.skipif(
    not has_compose(), reason="`docker compose version` does not work here: compose itself has not read the file"
)


def _only(keys: Sequence[str], services: Mapping[str, Service]) -> dict[str, Service]:
    return {name: {key: service.get(key) for key in keys} for name, service in services.items()}


@needs_compose
def test_compose_reads_the_file_as_these_tests_do() -> None:
    profiles = [word for profile in ("cpu", "gpu") for word in ("--profile", profile)]
    result = compose(*profiles, "config", POSTGRES_PASSWORD=PASSWORD)
    assert result.returncode == 0, result.stderr
    read, compared = yaml.safe_load(result.stdout)["services"], ("environment", "command", "profiles")
    assert _only(compared, read) == _only(compared, SERVICES)


@needs_compose
def test_compose_asks_for_the_password() -> None:
    result = compose("config", "--quiet")
    assert result.returncode != 0
    assert "POSTGRES_PASSWORD is missing a value: choose one" in result.stderr
