"""A run that trains nothing, without the seconds that torch takes to load: `python -m parts.light_run`.

It speaks to its supervisor as `worker.run` does, writes checkpoints, heeds a wish to stop, resumes, and publishes a
real model that was made before (`LIGHT_MODEL`). A job's name may ask for a bad end: `abort`, `bomb`, `bomb once`.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from service.jobs.report import REPORT_JSON
from service.store.artifacts import ArtifactStore
from worker.channel import Channel, Order
from worker.pulse import start_pulse

EPOCH_SECONDS = float(os.environ.get("LIGHT_EPOCH_SECONDS", "0.05"))
LARGEST_BATCH = 8  # that `bomb once` has memory for


def train(order: Order, channel: Channel, artifacts: ArtifactStore) -> bool:
    """Returns whether it came to the end; else it was stopped."""
    epochs = order.hyperparameters.num_epochs
    first = _newest(artifacts, order.job_id)
    if first:
        channel.send("note", message=f"resumed after step {first} of {epochs}")
    channel.send("phase", phase="training")
    for epoch in range(first + 1, epochs + 1):
        time.sleep(EPOCH_SECONDS)
        place = {"epoch": epoch, "num_epochs": epochs, "step": epoch, "total_steps": epochs}
        channel.send("progress", **place, seconds_left=(epochs - epoch) * EPOCH_SECONDS, loss=1 / epoch)
        channel.send("epoch", **_entry(epoch))
        with artifacts.writing("checkpoints", f"{order.job_id}/{epoch:09d}-{order.attempt}") as folder:
            (folder / "progress.json").write_text(json.dumps({"step": epoch}))
        if channel.stop_asked.is_set():
            return False
    return True


def publish(order: Order, channel: Channel, artifacts: ArtifactStore) -> None:
    channel.send("phase", phase="publishing")
    with artifacts.writing("reports", order.model_id) as folder:
        (folder / REPORT_JSON).write_text("{}")
    with artifacts.staging() as staged:
        shutil.copytree(os.environ["LIGHT_MODEL"], staged, dirs_exist_ok=True)
        (staged / "MANIFEST.json").unlink()
        manifest = artifacts.publish(staged, "models", order.model_id)
    entry = _entry(order.hyperparameters.num_epochs)
    channel.send("succeeded", model_id=order.model_id, manifest_sha256=manifest, best=entry, metrics={}, warnings=[])


def _entry(epoch: int) -> dict[str, float]:
    return {
        "epoch": epoch, "step": epoch, "train_loss": 1 / epoch, "val_loss": 1 / epoch, "val_macro_f1": 1 - 1 / epoch,
        "learning_rate": 1e-3,
    }  # fmt: skip


def _newest(artifacts: ArtifactStore, job_id: str) -> int:
    folder = artifacts.path("checkpoints", job_id)
    return max((int(path.name.split("-")[0]) for path in folder.glob("*")), default=0)


def _take_all_memory() -> None:
    """In pieces that the kernel has to give at once, because they are written to."""
    taken = []
    while True:
        taken.append(b"x" * 2**24)


def main() -> int:
    channel = Channel()
    Path("/proc/self/oom_score_adj").write_text("500")
    order = channel.receive_order()
    start_pulse(channel)
    if order.name == "abort":
        print("this run is poison", file=sys.stderr, flush=True)
        os.abort()
    if order.name == "bomb" or (order.name == "bomb once" and order.hyperparameters.batch_size > LARGEST_BATCH):
        _take_all_memory()
    artifacts = ArtifactStore(order.settings.artifacts_dir)
    if train(order, channel, artifacts):
        publish(order, channel, artifacts)
    else:
        channel.send("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
