"""The command `classiglot`."""

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from service import processes
from service.errors import ClassiglotError
from service.imports import without_collector
from service.key_commands import add_key_commands
from service.settings import Settings, make_data_dir, read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to end
    options = build_parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except ClassiglotError as error:
        print(f"classiglot: {error.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads what is printed has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains of it at its own end
        return 141


def build_parser() -> argparse.ArgumentParser:
    """Every command and its options; the deployment's files are checked against it."""
    parser = argparse.ArgumentParser(
        prog="classiglot",
        description="Fine-tune and serve text classifiers over HTTP.",
        epilog="Settings are environment variables; README.md lists them all.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('classiglot')}")
    commands = parser.add_subparsers(required=True, metavar="command")
    data_dir = argparse.ArgumentParser(add_help=False)
    data_dir.add_argument("--data-dir", type=Path, help="folder of everything kept (DATA_DIR, default ./data)")
    up = _add(commands, "up", _up, "service, worker and broker on this machine, under one parent", data_dir)
    api = _add(commands, "api", _api, "the HTTP service alone, for a deployment", data_dir)
    for command in (up, api):
        command.add_argument("--host", help="address to listen on (HOST, default 127.0.0.1)")
        command.add_argument("--port", type=int, help="port to listen on (PORT, default 8000)")
    _add(commands, "worker", _worker, "a worker alone, for a deployment", data_dir)
    _add(commands, "demo", _demo, "run the whole job once on real text: upload, train, report, predict", data_dir)
    _add(commands, "sample", _sample, "print the demo's data set, a body for POST /datasets")
    fetch = _add(commands, "fetch", _fetch, "download a base model to this machine, for jobs to start from", data_dir)
    fetch.add_argument("name", help="such as xlm-roberta-base; GET /info lists them")
    add_key_commands(_add(commands, "keys", None, "make, list, revoke and reset API keys"), data_dir)
    _add(commands, "migrate", _migrate, "bring the database to this version's schema", data_dir)
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: object,
    text: str,
    *parents: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text, parents=parents)
    command.set_defaults(run=run)
    return command


def _settings(options: argparse.Namespace) -> Settings:
    given = vars(options)
    return read_settings(**{name: given.get(name) for name in ("host", "port", "data_dir")})


def _settings_and_data_dir(options: argparse.Namespace) -> Settings:
    settings = _settings(options)
    if settings.database_url is None:
        make_data_dir(settings.data_dir)
    return settings


def _up(options: argparse.Namespace) -> int:
    from service.up import run_everything

    return run_everything(_settings(options))


def _api(options: argparse.Namespace) -> int:
    with without_collector():
        from service.serve import serve

    return serve(_settings_and_data_dir(options))


def _worker(options: argparse.Namespace) -> int:
    """Becomes the worker's own program: the service knows the worker by name only."""
    settings = _settings_and_data_dir(options)
    os.environ["DATA_DIR"] = str(settings.data_dir)
    os.execv(sys.executable, processes.python("worker"))


def _demo(options: argparse.Namespace) -> int:
    from service.demo import run_demo

    return run_demo(_settings(options))


def _sample(_: argparse.Namespace) -> int:
    from service.demo import sample

    text = json.dumps(sample(), ensure_ascii=False, indent=1) + "\n"
    sys.stdout.buffer.write(text.encode())  # UTF-8, as a body must be, whatever the terminal's encoding is
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from service.fetch import fetch

    print(fetch(options.name, _settings(options)))
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from service.store.migrate import migrated

    with migrated(_settings_and_data_dir(options).sql_url):
        print("the database is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
