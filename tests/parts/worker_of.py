"""The worker as it is, but for the program of its runs: `python -m parts.worker_of parts.light_run`."""

import sys

import worker.process
from worker.__main__ import main

worker.process.PROGRAM = sys.argv[1]

if __name__ == "__main__":
    sys.exit(main())
