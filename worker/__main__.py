"""`python -m worker`, which `classiglot worker` and `classiglot up` start by this name."""

import sys

from service.errors import ClassiglotError
from service.imports import without_collector
from service.settings import read_settings

with without_collector():
    from worker.app import run_worker


def main() -> int:
    try:
        run_worker(read_settings())
    except ClassiglotError as error:
        print(f"classiglot worker: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
