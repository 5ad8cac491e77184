"""A run that trains nothing: it waits, says so, and ends. For what is about queues: `python -m benchmarks.idle_run`."""

import os
import time

from worker.channel import Channel


def main() -> None:
    channel = Channel()
    channel.receive_order()
    channel.send("phase", phase="training")
    time.sleep(float(os.environ["IDLE_SECONDS"]))
    channel.send("failed", code="idle", message="this run trains nothing")


if __name__ == "__main__":
    main()
