"""The README's walk with curl, run as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

from parts.system import Up

README = Path(__file__).parents[2] / "README.md"


def the_walk(port: int) -> str:
    walk = re.search(r"<!-- walk:.*?-->\n```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert walk is not None
    here = walk[1].replace("localhost:8000", f"127.0.0.1:{port}")
    return here.replace(".venv/bin/classiglot", f"{sys.executable} -m service.cli")


def test_the_walk_works_as_written(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    try:
        command = ["bash", "-euo", "pipefail", "-c", the_walk(up.port)]
        walked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=540, check=False)
        assert walked.returncode == 0, walked.stderr
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["test"]["macro_f1"] > 0.6
        answer = json.loads(walked.stdout.splitlines()[-1])
        assert [prediction["label"] for prediction in answer["predictions"]] == ["sports", "literature"]
        assert "weighted avg" in walked.stdout
        assert '"type":"metrics"' in walked.stdout
    finally:
        assert up.stop() == 0
