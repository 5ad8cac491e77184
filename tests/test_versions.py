"""No version is installed, or may be, in which an advisory says that input like ours does harm. `make audit` asks the
databases of advisories themselves, where there is internet; this holds what is known without."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = {
    Requirement(line).name.lower(): Version(next(iter(Requirement(line).specifier)).version)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
}
NAMED = {Requirement(text).name: Requirement(text).specifier for text in PROJECT["dependencies"]}
# the first version that is not concerned, and by what
SAFE = {
    "celery": ("5.2.2", "CVE-2021-23727: pickled messages"),
    "python-multipart": ("0.0.31", "CVE-2026-42561, GHSA-5rvq, -6jv3, -v9pg: forms that take a processor or a disk"),
    "safetensors": ("0.8.0", "safetensors#762: zeros where a loaded file is saved again"),
    "starlette": ("1.5.1", "CVE-2026-48710, CVE-2025-62727, CVE-2025-54121: host, ranges, forms"),
    "torch": ("2.10", "CVE-2025-32434, CVE-2026-24747: code in weights read with weights_only"),
    "transformers": ("5.10", "CVE-2026-4372, CVE-2026-9856, transformers#46279: code and paths in configurations"),
}


@pytest.mark.parametrize("name", SAFE)
def test_what_is_installed_is_past_the_advisories(name: str) -> None:
    assert PINNED[name] >= Version(SAFE[name][0]), SAFE[name][1]


@pytest.mark.parametrize("name", sorted(SAFE.keys() & NAMED.keys()))
def test_what_may_be_installed_is_past_them_too(name: str) -> None:
    lowest = [Version(part.version) for part in NAMED[name] if part.operator == ">="]
    assert lowest, name
    assert max(lowest) >= Version(SAFE[name][0]), SAFE[name][1]
