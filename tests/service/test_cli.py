"""What the commands say and take, beside what `tests/end_to_end` has them do."""

from pathlib import Path

import pytest
from sqlalchemy import text

from service.cli import build_parser, main
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


def test_a_base_model_is_fetched_for_a_data_dir(tmp_path: Path) -> None:
    """There its converted weights are kept."""
    assert build_parser().parse_args(["fetch", "roberta-base", "--data-dir", str(tmp_path)]).data_dir == tmp_path
