"""What the README says of settings, commands and files is true."""

import re
from pathlib import Path

import pytest

from service.access.scopes import SCOPES
from service.cli import build_parser
from service.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_table_as_it_is(name: str) -> None:
    field = Settings.model_fields[name]
    default = "" if field.default in (None, (), "") else f"`{field.default}` "
    assert f"| `{name.upper()}` | {default}| {field.description} |" in README


def test_the_table_names_no_setting_that_is_not() -> None:
    table = README.split("## Settings")[1].split("##")[0]
    assert set(re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)) == {name.upper() for name in Settings.model_fields}


def test_the_map_names_files_that_exist_and_every_package() -> None:
    house = README.split("## The map of the house")[1].split("```")[1]
    folder = ROOT
    for line in house.strip().splitlines():
        if line and not line.startswith(" "):
            folder = ROOT / line.split("/")[0]
            continue
        for name in line.split("   ")[0].split() or line.split()[:1]:
            if re.fullmatch(r"[\w/]+(\.py|/)", name):
                assert (folder / name).exists(), name
    for package in [path.parent for path in (ROOT / "service").glob("*/__init__.py")]:
        assert f"  {package.name}/" in house


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"classiglot ((?:up|api|worker|demo|sample|fetch|migrate)\b)", README)))
)
def test_commands_exist(command: str) -> None:
    arguments = [command, "xlm-roberta-base"] if command == "fetch" else [command]
    assert build_parser().parse_args(arguments).run


@pytest.mark.parametrize("line", re.findall(r"^classiglot (keys .+?)(?: +#.*)?$", README, re.MULTILINE))
def test_the_commands_of_keys_can_be_run(line: str) -> None:
    assert build_parser().parse_args(line.replace("<id>", "cgk_1").split()).run


def test_the_table_of_scopes_has_each() -> None:
    table = README.split("| scope | allows |")[1].split("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)) == SCOPES
