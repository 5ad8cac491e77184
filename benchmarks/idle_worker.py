"""The worker as it is, but for the program of its runs: `python -m benchmarks.idle_worker`."""

import sys

import worker.process
from worker.__main__ import main

worker.process.PROGRAM = "benchmarks.idle_run"

if __name__ == "__main__":
    sys.exit(main())
