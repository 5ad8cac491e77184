"""What is older than is safe does not start, or is warned of."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from service.errors import SettingsInvalid
from service.versions import PACKAGES, check_packages, old_server

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = {
    Requirement(line).name.lower(): Version(next(iter(Requirement(line).specifier)).version)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
}
NAMED = {Requirement(text).name: Requirement(text).specifier for text in PROJECT["dependencies"]}


@pytest.mark.parametrize("name", PACKAGES)
def test_what_make_installs_is_past_the_advisories(name: str) -> None:
    assert PINNED[name] >= Version(PACKAGES[name])


@pytest.mark.parametrize("name", sorted(PACKAGES.keys() & NAMED.keys()))
def test_what_may_be_installed_is_past_them_too(name: str) -> None:
    lowest = [Version(part.version) for part in NAMED[name] if part.operator == ">="]
    assert lowest, name
    assert max(lowest) >= Version(PACKAGES[name])


def test_what_is_installed_here_is_new_enough() -> None:
    check_packages()


def test_an_older_or_missing_package_is_named_with_what_to_install() -> None:
    with pytest.raises(SettingsInvalid, match=r"^torch, nosuch: .*pip install 'torch>=999' 'nosuch>=1'$"):
        check_packages({"torch": "999", "fastapi": "0.1", "nosuch": "1"})


@pytest.mark.parametrize("command", [["service.cli", "api"], ["worker"]])
def test_neither_service_nor_worker_starts_with_one(command: list[str], tmp_path: Path) -> None:
    old = tmp_path / "site" / "starlette-1.4.dist-info"  # found before the installed one's
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: starlette\nVersion: 1.4\n")
    environment = os.environ | {"PYTHONPATH": str(old.parent), "DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert (
        f"starlette: missing, or too old to be safe; run: pip install 'starlette>={PACKAGES['starlette']}'"
        in done.stderr
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"redis_version": "7.2.10"}, "redis 7.2.10"),
        ({"redis_version": "7.2.11"}, None),
        ({"redis_version": "7.0.15"}, "redis 7.0.15"),  # a line that got no mended release
        ({"redis_version": "8.4.0"}, None),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.3"}, "valkey 8.1.3"),
        ({"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}, None),
        ({"redis_version": "df-1.2"}, None),
        ({}, None),
    ],
)
def test_servers_with_known_holes_are_named(info: dict[str, object], told: str | None) -> None:
    assert old_server(info) == told
