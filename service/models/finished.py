"""What a published model's folder says of itself, beside the usual `transformers` files."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from service.errors import ArtifactCorrupt
from service.store.records import Task

CARD = "classiglot.json"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the engine needs to answer as the model was trained.

    `labels` in the order of the model's outputs; `max_length` in tokens; `thresholds`, for deciding: one a label.
    """

    task: Task
    labels: Annotated[list[str], Field(min_length=1)]
    max_length: Annotated[int, Field(ge=2)]
    base_model: str
    job_id: str
    dataset_sha256: str
    thresholds: list[Annotated[float, Field(ge=0, le=1)]] = field(default_factory=list)


_CARD = TypeAdapter(ModelCard)


def write_card(card: ModelCard, folder: Path) -> None:
    text = json.dumps(dataclasses.asdict(card), indent=1, ensure_ascii=False)
    (folder / CARD).write_text(text, encoding="utf-8")


def read_card(folder: Path) -> ModelCard:
    """Raises: ArtifactCorrupt."""
    try:
        card = _CARD.validate_json((folder / CARD).read_bytes(), strict=True)
        if card.task == "deciding" and len(card.thresholds) != len(card.labels):
            raise ValueError("not one threshold a label")
        return card
    except (OSError, ValueError):
        raise ArtifactCorrupt(f"{folder.name}: {CARD} cannot be read; restore it or delete the model") from None
