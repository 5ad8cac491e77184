"""The compose file and the Dockerfile, read as data, and what a container of ours sees by them."""

import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
COMPOSE_FILE = ROOT / "docker-compose.yml"
COMPOSE_TEXT = COMPOSE_FILE.read_text(encoding="utf-8")
PASSWORD = "6f1d0c"

Service = dict[str, Any]


def interpolate(node: Any, variables: Mapping[str, str]) -> Any:
    """Puts variables into every text below `node`, as compose does. Raises: LookupError with the file's complaint."""
    if isinstance(node, dict):
        return {key: interpolate(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate(value, variables) for value in node]
    if not isinstance(node, str):
        return node
    return re.sub(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}", lambda match: _value(variables, *match.groups()), node)


def _value(variables: Mapping[str, str], name: str, operator: str | None, text: str | None) -> str:
    if operator == ":?" and not variables.get(name):
        raise LookupError(text)
    return variables.get(name) or text or ""


COMPOSE: dict[str, Any] = interpolate(yaml.safe_load(COMPOSE_TEXT), {"POSTGRES_PASSWORD": PASSWORD})
SERVICES: dict[str, Service] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def mounts(service: Service) -> dict[str, str]:
    """Folder in the container → volume, or folder of the machine."""
    return {target: source for source, target, *_ in (volume.split(":") for volume in service.get("volumes", ()))}


def read_dockerfile() -> list[tuple[str, str]]:
    """(keyword, the rest of its line), continued lines joined."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))
    split = (line.partition(" ") for line in text.replace("\\\n", "").splitlines())
    return [(keyword, rest.strip()) for keyword, _, rest in split]


DOCKERFILE = read_dockerfile()


def rests(keyword: str) -> list[str]:
    return [rest for found, rest in DOCKERFILE if found == keyword]


def variables_of_image() -> dict[str, str]:
    pairs = (pair.partition("=") for rest in rests("ENV") for pair in shlex.split(rest))
    return {name: value for name, _, value in pairs}


def environment(name: str) -> dict[str, str]:
    """What a container of ours sees."""
    variables: dict[str, str] = SERVICES[name]["environment"]
    return variables_of_image() | variables
