"""What a published model's folder says of itself, beside the usual `transformers` files."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from service.errors import ArtifactCorrupt
from service.store.records import Task

CARD = "classiglot.json"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the engine needs to answer as the model was trained.

    `labels` in the order of the model's outputs; `max_length` in tokens; `thresholds`, for deciding: one a label.
    """

    task: Task
    labels: list[str]
    max_length: int
    base_model: str
    job_id: str
    dataset_sha256: str
    thresholds: list[float] = field(default_factory=list)


def write_card(card: ModelCard, folder: Path) -> None:
    text = json.dumps(dataclasses.asdict(card), indent=1, ensure_ascii=False)
    (folder / CARD).write_text(text, encoding="utf-8")


def read_card(folder: Path) -> ModelCard:
    """Raises: ArtifactCorrupt."""
    try:
        return ModelCard(**json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise ArtifactCorrupt(f"{folder.name}: {CARD} cannot be read; restore it or delete the model") from None
