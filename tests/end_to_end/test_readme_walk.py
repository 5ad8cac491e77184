"""The README's walk with curl, run as it stands there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parts.system import Up

README = Path(__file__).parents[2] / "README.md"


def commands(name: str, port: int) -> str:
    block = re.search(rf"<!-- {name}:.*?-->\n```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    here = block[1].replace("localhost:8000", f"127.0.0.1:{port}")
    return here.replace(".venv/bin/classiglot", f"{sys.executable} -m service.cli")


def run_commands(name: str, port: int, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = ["bash", "-euo", "pipefail", "-c", commands(name, port)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.skipif(shutil.which("curl") is None, reason="the walk is made with curl, which is not installed here")
def test_the_walk_works_as_written(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    try:
        walked = run_commands("walk", up.port, tmp_path)
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["test"]["macro_f1"] > 0.6
        answer = json.loads(walked.stdout.splitlines()[-1])
        assert [prediction["label"] for prediction in answer["predictions"]] == ["sports", "literature"]
        assert "weighted avg" in walked.stdout
        assert '"type":"metrics"' in walked.stdout
        (tmp_path / "texts.jsonl").write_text('{"text": "Who won the match?"}\n{"label": 1}\n')
        (tmp_path / "texts.csv").write_text("text\nWho wrote this novel?\n")
        rows = [json.loads(line) for line in run_commands("lines", up.port, tmp_path).stdout.splitlines()]
        assert [row["row"] for row in rows] == [0, 1, 0]
        assert [row.get("label") for row in rows] == ["sports", None, "literature"]
        assert rows[1]["error"]["code"] == "text_invalid"
    finally:
        assert up.stop() == 0
