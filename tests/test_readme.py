"""What README and docs say of settings, commands, routes, hyperparameters, codes and files is true.

Every list that a test loops over is found by its form in the text: `found` says when there is none, or else a section
that moves, or is written otherwise, would take its tests with it in silence.
"""

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from service import errors
from service.access.scopes import SCOPES
from service.cli import build_parser
from service.jobs.spec import Hyperparameters, resolve
from service.settings import Settings

T = TypeVar("T", bound=Collection[object])
ROOT = Path(__file__).parent.parent
PATHS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = [ROOT / "benchmarks/README.md", ROOT / "benchmarks/RESULTS.md", ROOT / "tests/faults/README.md"]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in [*PATHS, *ELSEWHERE]}
README, DOCS = TEXTS["README.md"], "\n".join(TEXTS[path.relative_to(ROOT).as_posix()] for path in PATHS)
NOT_SENT = {"settings_invalid", "training_failed", "lease_lost", "client_left", "base_model_unavailable"}


def found(least: int, several: T) -> T:
    assert len(several) >= least, f"only {len(several)} found: where have the others gone?"
    return several


def table(name: str, head: str) -> list[list[str]]:
    """The cells of the rows of a table, whose head begins so."""
    _, _, body = TEXTS[name].partition(f"\n{head}")[2].partition("\n|---")
    rows = body.split("\n\n")[0].splitlines()[1:]
    return found(3, [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows])


# -- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_table_as_it_is(name: str) -> None:
    field = Settings.model_fields[name]
    default = "" if field.default in (None, (), "") else f"`{field.default}` "
    assert f"| `{name.upper()}` | {default}| {field.description} |" in README


def test_the_table_names_no_setting_that_is_not() -> None:
    own = {row[0].strip("`") for row in table("README.md", "| variable | default | meaning |")}
    assert own == {name.upper() for name in Settings.model_fields}


# -- commands and keys --------------------------------------------------------------------------------------

COMMANDS = found(7, set(re.findall(r"classiglot ((?:up|api|worker|demo|sample|fetch|migrate)\b)", DOCS)))
KEY_COMMANDS = found(4, re.findall(r"^classiglot (keys .+?)(?: +#.*)?$", DOCS, re.MULTILINE))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_commands_exist(command: str) -> None:
    arguments = [command, "xlm-roberta-base"] if command == "fetch" else [command]
    assert build_parser().parse_args(arguments).run


@pytest.mark.parametrize("line", KEY_COMMANDS)
def test_the_commands_of_keys_can_be_run(line: str) -> None:
    assert build_parser().parse_args(line.replace("<id>", "cgk_1").split()).run


def test_the_table_of_scopes_has_each() -> None:
    assert tuple(row[0].strip("`") for row in table("docs/security.md", "| scope | allows |")) == SCOPES


# -- the map, and links -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_the_map_names_files_that_exist_and_every_package(name: str) -> None:
    house = TEXTS[name].split("## The map of the house")[1].split("```")[1]
    assert [path for path in found(15, list(paths_in(house))) if not path.exists()] == []
    for package in found(7, [path.parent for path in (ROOT / "service").glob("*/__init__.py")]):
        assert f"  {package.name}/" in house


def paths_in(house: str) -> Iterator[Path]:
    """Of a line such as `  up.py serve.py    all parts under one parent`, below the folder that was named last."""
    folder = ROOT
    for line in house.strip().splitlines():
        if line and not line.startswith(" "):
            folder = ROOT / line.split("/")[0]
            yield folder
            continue
        names = line.split("   ")[0].split() or line.split()[:1]
        yield from (folder / name for name in names if re.fullmatch(r"[\w/]+(\.py|/)", name))


def test_the_whole_map_has_every_file_of_the_worker() -> None:
    house = TEXTS["docs/architecture.md"].split("## The map of the house")[1].split("```")[1]
    files = [path.name for path in (ROOT / "worker").glob("*.py") if not path.name.startswith("__")]
    assert [name for name in found(15, files) if name not in house] == []


def anchors(text: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    bare = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", bare, re.MULTILINE)
    }


def links() -> Iterator[tuple[str, str]]:
    for name, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in target:
                yield name, target


@pytest.mark.parametrize(("name", "target"), found(60, sorted(set(links()))))
def test_links_lead_somewhere(name: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (ROOT / name).parent / path if path else ROOT / name
    assert file.exists()
    assert not anchor or anchor in anchors(file.read_text(encoding="utf-8"))


def test_the_readme_ends_with_every_document() -> None:
    index = README.split("## All documents")[1]
    assert [name for name in found(13, TEXTS) if name != "README.md" and f"({name})" not in index] == []


# -- hyperparameters, routes, codes -------------------------------------------------------------------------

DEFAULTS = resolve(Hyperparameters(), train_rows=200, base_model="bundled/multilingual-small").model_dump()


def test_the_table_of_hyperparameters_has_each_with_its_default_and_bounds() -> None:
    rows = {row[0].strip("`"): row for row in table("docs/training.md", "| name | default | allowed | meaning |")}
    assert rows.keys() == DEFAULTS.keys() == Hyperparameters.model_fields.keys()
    for name, (_, default, allowed, _) in rows.items():
        assert f"`{DEFAULTS[name]}`" in default, name
        assert numbers(allowed) == bounds_of(name), name


def numbers(cell: str) -> list[float]:
    plain = cell.replace("2³² − 1", "4294967295")
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", plain)]


def bounds_of(name: str) -> list[float]:
    """What the first side of `float | "auto"` asks for; nothing where it is one of some words."""
    first, *_ = Hyperparameters.model_json_schema()["properties"][name]["anyOf"]
    if "enum" in first:
        return []
    low, high = first.get("minimum", first.get("exclusiveMinimum")), first.get("maximum", first.get("exclusiveMaximum"))
    return [low, high - 1 if name == "seed" else high]


def test_the_table_of_routes_has_each_with_its_scope() -> None:
    document = json.loads((ROOT / "tests/service/api/openapi.json").read_text(encoding="utf-8"))
    routes = {
        f"{method.upper()} {path}": scope_of(operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    rows = {row[0].strip("`"): row[1].strip("`") for row in table("docs/api.md", "| route | scope |")}
    assert rows == found(20, routes)


def scope_of(operation: dict[str, object]) -> str:
    security = operation.get("security")
    if not isinstance(security, list):
        return "none"
    (scopes,) = {tuple(scopes) for way in security for scopes in way.values()}
    return scopes[0] if scopes else "any key"


def error_codes(kind: type[errors.ClassiglotError]) -> set[str]:
    return {kind.code} | {code for own in kind.__subclasses__() for code in error_codes(own)}


def codes_in_source() -> set[str]:
    """Those that a place gives to an error of its own."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "service").rglob("*.py")]
    return {code for source in sources for code in re.findall(r'code="(\w+)"', source)} - {"broker_unavailable"}


def test_the_table_of_errors_has_every_code_that_is_sent() -> None:
    listed = {code for row in table("docs/api.md", "| status | codes |") for code in re.findall(r"`(\w+)`", row[1])}
    assert found(20, error_codes(errors.ClassiglotError)) - NOT_SENT <= listed
    assert found(10, codes_in_source()) <= listed


@pytest.mark.parametrize(
    ("folder", "pattern", "document", "least"),
    [
        ("service/datasets", r'\bwarning\("(\w+)"', "docs/data.md", 14),
        ("worker/evaluation", r'ReportWarning\(code="(\w+)"', "docs/report.md", 5),
    ],
)
def test_warnings_are_explained(folder: str, pattern: str, document: str, least: int) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / folder).glob("*.py")]
    codes = {code for source in sources for code in re.findall(pattern, source)}
    listed = {row[0].strip("`") for row in table(document, "| code | meaning |")}
    assert found(least, codes) <= listed
