"""What the commands say and take, beside what `tests/end_to_end` has them do."""

import json
import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from sqlalchemy import text

from service.cli import build_parser, main
from service.demo import sample
from service.settings import Settings
from service.store.database import Database


@pytest.mark.parametrize("command", ["up", "api", "worker", "demo", "migrate", "keys list", "keys create"])
def test_a_data_dir_that_cannot_be_had_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "file").write_text("")
    needed = ["--name", "a", "--scopes", "read"] if command == "keys create" else []
    assert main([*command.split(), *needed, "--data-dir", str(tmp_path / "file" / "data")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "choose another folder with --data-dir" in error


def test_a_data_dir_may_be_migrated_by_its_name(settings: Settings) -> None:
    assert main(["migrate", "--data-dir", str(settings.data_dir)]) == 0
    database = Database(settings.sql_url)
    with database.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
    database.close()


def run(command: str, stdout: int = subprocess.PIPE, **env: str) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-m", "service.cli", *shlex.split(command)[1:]]
    return subprocess.run(words, env=os.environ | env, stdout=stdout, stderr=subprocess.PIPE, timeout=60)


def test_whoever_reads_may_have_enough() -> None:
    """`classiglot sample | head -1`, with a `head` that has gone before a line comes."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run("classiglot sample", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_the_sample_is_utf_8_whatever_the_terminal_is(encoding: str) -> None:
    done = run("classiglot sample", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not done.stdout.isascii()
    assert json.loads(done.stdout.decode()) == sample()


def test_a_name_that_the_terminal_cannot_show_is_shown_otherwise(settings: Settings) -> None:
    where = f"--data-dir {shlex.quote(str(settings.data_dir))}"
    assert run(f"classiglot keys create --name 水果 --scopes read {where}").returncode == 0
    done = run(f"classiglot keys list {where}", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u6c34\\u679c" in done.stdout


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"classiglot {version('classiglot')}\n")


def test_a_base_model_is_fetched_for_a_data_dir(tmp_path: Path) -> None:
    """There its converted weights are kept."""
    assert build_parser().parse_args(["fetch", "roberta-base", "--data-dir", str(tmp_path)]).data_dir == tmp_path
