"""The Dockerfile agrees with the package and with the compose file, as far as that shows without an engine."""

import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from parts.containers import COMPOSE, DOCKERFILE, OURS, PROJECT, PYPROJECT, ROOT, SERVICES, mounts, rests

# Those that are in use; https://docs.docker.com/reference/dockerfile has the others.
KEYWORDS = frozenset({"ARG", "CMD", "COPY", "ENV", "EXPOSE", "FROM", "RUN", "USER", "VOLUME", "WORKDIR"})
# Options of `pip install` that take a value; what is left is what gets installed.
PIP_VALUES = frozenset({"--constraint", "--requirement", "--index-url"})


def commands_of(run: str) -> list[list[str]]:
    """The commands of a RUN, each as its words."""
    return [shlex.split(command) for command in run.split("&&")]


def commands_named(*start: str) -> list[list[str]]:
    """The words after `start` of every command that begins with it."""
    commands = [words for run in rests("RUN") for words in commands_of(run)]
    return [words[len(start) :] for words in commands if words[: len(start)] == list(start)]


class PipInstall(NamedTuple):
    options: dict[str, str]
    wanted: list[str]


def read_pip_install(words: list[str]) -> PipInstall:
    options, wanted, rest = {}, [], iter(words)
    for word in rest:
        if word.startswith("-"):
            options[word] = next(rest) if word in PIP_VALUES else ""
        else:
            wanted.append(word)
    return PipInstall(options, wanted)


PIP_INSTALLS = [read_pip_install(words) for words in commands_named("pip", "install")]


def copied() -> list[str]:
    return [source for rest in rests("COPY") for source in rest.split()[:-1]]


def test_the_dockerfile_has_the_form_of_one() -> None:
    keywords = [keyword for keyword, _ in DOCKERFILE]
    assert keywords[0] == "FROM"
    assert set(keywords) <= KEYWORDS
    assert (keywords.count("CMD"), keywords.count("ENTRYPOINT")) == (1, 0)
    assert int(rests("USER")[-1]) > 0


def test_python_is_one_that_the_package_supports() -> None:
    (image,) = rests("FROM")
    version = image.removeprefix("python:").removesuffix("-slim")
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{version}.0")


def test_what_is_copied_exists_and_is_enough_to_build_the_package() -> None:
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {"pyproject.toml", PROJECT["readme"], *packages} <= set(copied())


def test_files_are_copied_before_pip_reads_them() -> None:
    here: set[str] = set()
    for keyword, rest in DOCKERFILE:
        if keyword == "COPY":
            here |= set(rest.split()[:-1])
        for words in commands_of(rest) if keyword == "RUN" else ():
            here |= {words[words.index(">") + 1]} if ">" in words else set()
            options = read_pip_install(words).options
            assert {options[name] for name in ("--constraint", "--requirement") if name in options} <= here


def test_pip_installs_what_the_project_names() -> None:
    dependencies = {Requirement(text).name for text in PROJECT["dependencies"]}
    *earlier, last = PIP_INSTALLS
    assert Requirement("classiglot" + last.wanted[0].removeprefix(".")).extras == {"bundled"}
    assert "bundled" in PROJECT["optional-dependencies"]
    assert {name for pip in earlier for name in pip.wanted} <= dependencies
    assert all({"--no-cache-dir", "--constraint"} <= pip.options.keys() for pip in PIP_INSTALLS)


def test_torch_comes_from_the_index_that_the_builder_chose() -> None:
    first, *others = PIP_INSTALLS
    (argument,) = (rest.split("=")[0] for rest in rests("ARG"))
    assert commands_named("export") == [[f"PIP_INDEX_URL=${argument}"]]
    assert all(set(SERVICES[name]["build"]["args"]) == {argument} for name in OURS)
    assert first.wanted == ["torch"]
    assert "--no-deps" in first.options
    assert not any("--upgrade" in pip.options for pip in others)  # which would put another torch in its place


def test_the_layer_of_dependencies_holds_them_all() -> None:
    (words,) = commands_named("python")
    command = [sys.executable, *words[: words.index(">")]]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert listed.splitlines() == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["bundled"]]


def test_the_user_can_write_to_every_volume() -> None:
    volumes = yaml.safe_load(rests("VOLUME")[0])
    (owned,), (user,) = commands_named("install"), commands_named("useradd")
    assert [word for word in owned if word.startswith("/")] == volumes
    assert {f"--owner={user[-1]}", f"--group={user[-1]}"} <= set(owned)
    assert user[user.index("--uid") + 1] == rests("USER")[-1]
    named = {target for target, source in mounts(SERVICES["service"]).items() if source in COMPOSE["volumes"]}
    assert named == set(volumes)


def is_ignored(path: str) -> bool:
    """Whether the build never sees `path`: the last line that fits it, or a folder above it, decides."""
    above = [str(part) for part in (Path(path), *Path(path).parents)][:-1]
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    fitting = [line for line in patterns if any(fnmatch(part, line.lstrip("!").replace("**/", "*")) for part in above)]
    return bool(fitting) and not fitting[-1].startswith("!")


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    assert [source for source in copied() if is_ignored(source)] == []
    private = [".env", ".git", ".venv", "data", "demo-data", "tests", "base-models", "service/__pycache__/cli.pyc"]
    assert [path for path in private if not is_ignored(path)] == []
