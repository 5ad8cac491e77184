"""What the processes of a deployment have logged."""

import json
import re
from typing import Any

BROKER = re.compile(r"\d+:[MCSX] ")  # how its lines begin


def lines_of(log: str) -> list[dict[str, Any]]:
    """Raises: ValueError for a line of ours that is no JSON."""
    return [json.loads(line) for line in log.splitlines() if line and not BROKER.match(line)]


def crashes(log: str) -> list[dict[str, Any]]:
    """Lines about requests that failed as none should."""
    return [line for line in lines_of(log) if line.get("status") == 500 or line["event"] == "request_crashed"]
