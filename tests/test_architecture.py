"""The rules of the house, checked over the syntax trees: who may import whom, and which library lives where."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for package in ("service", "worker") for path in (ROOT / package).rglob("*.py"))

GROUND = [
    "service.errors",
    "service.settings",
    "service.nulls",
    "service.logs",
    "service.processes",
    "service.imports",
    "service.versions",
]
STORE = [*GROUND, "service.store"]
ACCESS = [*STORE, "service.access"]
MODELS = [*STORE, "service.models"]
INFERENCE = [*MODELS, "service.inference"]
DATASETS = [*ACCESS, "service.datasets"]
JOBS = [*INFERENCE, *DATASETS, "service.jobs"]
API = [*JOBS, "service.api"]
TOP = [*API, "service.app", "service.key_commands", "service.deadlines", "service.serve", "service.up", "service.demo",
       "service.fetch"]  # fmt: skip
TRAINING = ["service.errors", "service.logs", "service.store", "service.inference", "service.models.base_models",
            "service.jobs.spec", "worker.training"]  # fmt: skip

# a module may import from the first entry here that it is in, and from nothing else of ours
MAY_IMPORT = {
    "service.errors": [],
    "service.settings": ["service.errors"],
    "service.nulls": [],
    "service.logs": [],
    "service.processes": [],
    "service.imports": [],
    "service.versions": ["service.errors"],
    "service.store": STORE,
    "service.access": ACCESS,
    "service.datasets": DATASETS,
    "service.models": MODELS,
    "service.inference": INFERENCE,
    "service.jobs": JOBS,
    "service.api": API,
    "service": TOP,
    "worker.training": TRAINING,
    "worker": [*JOBS, "worker"],
}

# a foreign library and the only places that may import it
TORCH_IN_WORKER = ["worker.run", "worker.memory", "worker.calibrate", "worker.repeats", "worker.publish"]
ROOMS = {
    "fastapi": ["service.api", "service.app"],
    "starlette": ["service.api"],
    "uvicorn": ["service.serve", "service.deadlines"],
    "h11": ["service.deadlines"],
    "celery": ["service.jobs.queue", "worker.app", "worker.tasks"],
    "kombu": ["service.jobs.queue", "service.jobs.transport"],
    "redis": ["service.jobs.embedded_broker"],
    "sqlalchemy": ["service.store"],
    "alembic": ["service.store"],
    "obstore": ["service.store.buckets"],
    "limits": ["service.access.rates"],
    "torch": [
        "service.inference",
        "worker.training",
        *TORCH_IN_WORKER,
    ],
    "transformers": ["service.inference", "worker.training"],
    "openvino": ["service.inference.openvino_engine"],
    "sklearn": ["worker.evaluation", "worker.training.probe", "service.datasets.near_duplicates"],
    "huggingface_hub": ["service.models", "service.fetch"],
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Everything imported anywhere in the file, names of modules in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, rooms: list[str]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


def is_ours(module: str) -> bool:
    return within(module, ["service", "worker"])


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    own = name_of(path)
    allowed = next((rooms for place, rooms in MAY_IMPORT.items() if within(own, [place])), [])
    parents = {".".join(room.split(".")[:depth]) for room in allowed for depth in range(1, room.count(".") + 1)}
    wrong = [name for name in imports_of(path) if is_ours(name) and not within(name, allowed) and name not in parents]
    assert wrong == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_foreign_libraries_stay_in_their_rooms(path: Path) -> None:
    own = name_of(path)
    wrong = [
        name
        for name in imports_of(path)
        for library, rooms in ROOMS.items()
        if within(name, [library]) and not within(own, rooms)
    ]
    assert wrong == []


def test_the_service_knows_the_worker_by_name_only() -> None:
    for path in MODULES:
        if name_of(path).startswith("service"):
            assert not any(within(name, ["worker"]) for name in imports_of(path)), path


@pytest.mark.parametrize("module", ["worker.app", "service.app", "service.up"])
def test_processes_that_wait_start_without_torch(module: str) -> None:
    """The worker never loads it; the service loads it in the background, after it has begun to answer."""
    code = f"import {module}, sys; sys.exit(bool({{'torch', 'transformers'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("path", [path for path in MODULES if "versions" not in path.parts], ids=name_of)
def test_files_and_functions_stay_small_and_well_named(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "base", "manager", "misc"}
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"
