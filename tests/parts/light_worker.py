"""The worker as it is, but for the program of its runs: `python -m parts.light_worker`."""

import sys

import worker.process
from worker.__main__ import main

worker.process.PROGRAM = "parts.light_run"

if __name__ == "__main__":
    sys.exit(main())
