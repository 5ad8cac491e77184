"""The worker as it is, but for the program of its runs: `RUN_PROGRAM=parts.light_run python -m parts.worker_of`.

Not by an argument: by their words runs are told from other processes.
"""

import os
import sys

import worker.process
from worker.__main__ import main

worker.process.PROGRAM = os.environ["RUN_PROGRAM"]

if __name__ == "__main__":
    sys.exit(main())
