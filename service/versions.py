"""The oldest versions, of what reads foreign input, that are let run: those before have known holes.

`pyproject.toml` asks pip for newer ones; the tests hold it, and the pins, to these. Here they are asked of environments
that were changed afterwards, and of the broker. `make audit` asks the databases of advisories, where there is internet.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version

from service.errors import SettingsInvalid

PACKAGES = {
    "celery": "5.7",  # reconnects, credentials masked in logs; CVE-2021-23727: pickled messages
    "fastapi": "0.165",
    "kombu": "5.7",
    "python-multipart": "0.0.31",  # CVE-2026-42561, GHSA-5rvq, -6jv3, -v9pg: forms that take a processor or a disk
    "safetensors": "0.8",  # safetensors#762: zeros where a loaded file is saved again
    "starlette": "1.5.1",  # CVE-2026-48710, CVE-2025-62727, CVE-2025-54121: host, ranges, forms
    "torch": "2.10",  # CVE-2025-32434, CVE-2026-24747: code in weights read with weights_only
    "transformers": "5.10",  # CVE-2026-4372, CVE-2026-9856, transformers#46279: code and paths in configurations
}
# CVE-2025-49844 and its siblings, mended in each line of releases; a line that is not named was never mended, but for
# those after the last one, which never had it.
SERVERS = {
    "redis": ["6.2.20", "7.2.11", "7.4.6", "8.0.4", "8.2.2"],
    "valkey": ["7.2.11", "8.0.6", "8.1.4"],
}


def check_packages(oldest: Mapping[str, str] = PACKAGES) -> None:
    """At the start of every process that serves or works. Raises: SettingsInvalid that names what to install."""
    old = {name: least for name, least in oldest.items() if not _is_at_least(name, Version(least))}
    if old:
        wanted = " ".join(f"'{name}>={least}'" for name, least in old.items())
        raise SettingsInvalid(f"{', '.join(old)}: missing, or too old to be safe; run: pip install {wanted}")


def old_server(info: Mapping[str, object]) -> str | None:
    """Of what a Redis or Valkey server says of itself (`INFO server`): its name and version where that has holes."""
    kind = "valkey" if "valkey_version" in info else "redis"
    said = str(info.get(f"{kind}_version", ""))
    try:
        own = Version(said)
    except InvalidVersion:
        return None  # another server that speaks the protocol
    mended = [Version(each) for each in SERVERS[kind]]
    of_line = next((each for each in mended if each.release[:2] == own.release[:2]), mended[-1])
    return f"{kind} {said}" if own < of_line else None


def _is_at_least(name: str, least: Version) -> bool:
    try:
        return Version(version(name)) >= least
    except PackageNotFoundError:
        return False
