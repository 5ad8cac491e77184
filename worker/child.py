"""The program of a training run: `worker.run`, imported as quickly as can be."""

import sys

from service.imports import without_collector

with without_collector():
    from worker.run import main

if __name__ == "__main__":
    sys.exit(main())
