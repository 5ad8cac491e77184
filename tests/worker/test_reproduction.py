import subprocess
from pathlib import Path

import pytest

from parts.finished_models import BASE
from parts.tiny_models import build_tiny_checkpoint
from service.jobs.spec import Hyperparameters, resolve
from service.models.base_models import BaseCheckpoint, describe_checkpoint
from service.settings import Settings
from worker.channel import Order
from worker.reproduction import checkpoint_sha256, fingerprint, hub_commit


@pytest.fixture
def base(tmp_path: Path) -> BaseCheckpoint:
    return describe_checkpoint(BASE, build_tiny_checkpoint(BASE, tmp_path))


def order_of(settings: Settings) -> Order:
    return Order(
        job_id="job_1",
        model_id="mdl_1",
        attempt=1,
        dataset_id="ds_1",
        dataset_sha256="0" * 64,
        task="choosing",
        labels=["a", "b"],
        base_model=BASE,
        hyperparameters=resolve(Hyperparameters(), train_rows=10, base_model=BASE),
        settings=settings,
    )


def test_the_sum_of_a_base_model_is_what_a_shell_says(base: BaseCheckpoint) -> None:
    names = sorted(path.name for path in base.folder.iterdir() if path.suffix in (".json", ".safetensors"))
    command = f"sha256sum {' '.join(names)} | sha256sum"
    told = subprocess.run(["sh", "-c", command], cwd=base.folder, capture_output=True, text=True, check=True).stdout
    assert checkpoint_sha256(base.folder) == told.split()[0]


def test_other_weights_under_the_same_name_are_another_run(base: BaseCheckpoint, settings: Settings) -> None:
    """Else a run would go on from a checkpoint of other weights. Times do not count: on another machine they differ."""
    order, weights = order_of(settings), base.folder / "model.safetensors"
    before, summed = fingerprint(order, base), checkpoint_sha256(base.folder)
    content = weights.read_bytes()
    weights.write_bytes(content)
    assert fingerprint(order, base) == before
    weights.write_bytes(content[:-64] + bytes(64))
    assert fingerprint(order, base) != before
    assert checkpoint_sha256(base.folder) != summed
    weights.write_bytes(content)
    (base.folder / "pytorch_model.bin").write_bytes(b"never read")
    assert fingerprint(order, base) == before
    assert checkpoint_sha256(base.folder) == summed


def test_the_commit_is_told_where_the_files_are_from_the_hubs_cache(tmp_path: Path) -> None:
    assert hub_commit(tmp_path / "models--x" / "snapshots" / "e73636d") == "e73636d"
    assert hub_commit(tmp_path / "xlm-roberta-base") is None
