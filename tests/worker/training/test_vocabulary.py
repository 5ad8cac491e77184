from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from parts.tiny_models import FAMILIES, build_tiny_checkpoint
from service.inference.architectures import load_encoder
from service.models.base_models import describe_checkpoint
from worker.training.model import load_network
from worker.training.vocabulary import grow_back, shrink


def embeddings(model: PreTrainedModel) -> nn.Embedding:
    found = model.get_input_embeddings()
    assert isinstance(found, nn.Embedding)
    return found


def table(model: PreTrainedModel) -> Tensor:
    return embeddings(model).weight.detach().clone()


TEXTS = ["the red apple is ripe", "a small dog", "it will rain tomorrow, and the wind will blow"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_small_table_gives_the_same_answers_as_the_full_one(family: str, tmp_path: Path) -> None:
    network = load_network(describe_checkpoint(family, build_tiny_checkpoint(family, tmp_path)), 2)
    model = network.model.eval()
    torch.nn.init.normal_(model.head.weight)
    encoder_model = model.encoder
    encoder = network.encoder(64)
    rows = encoder.encode(TEXTS)
    with torch.no_grad():
        full = model(**encoder.pad(rows, torch.device("cpu")))
    before = table(encoder_model)
    vocabulary = shrink(encoder_model, {token for row in rows for token in row.ids})
    short = encoder.for_rows(vocabulary.row_of_id)
    with torch.no_grad():
        small = model(**short.pad(rows, torch.device("cpu")))
    assert len(table(encoder_model)) < len(before)
    assert torch.equal(full, small)
    grow_back(encoder_model, vocabulary, before.clone())
    assert torch.equal(table(encoder_model), before)


def test_trained_rows_come_back_and_others_stay(tmp_path: Path) -> None:
    folder = build_tiny_checkpoint("xlm-roberta-base", tmp_path)
    model = load_encoder(folder, "xlm-roberta")
    before = table(model)
    vocabulary = shrink(model, [7, 9])
    with torch.no_grad():
        embeddings(model).weight.add_(1)
    grow_back(model, vocabulary, before.clone())
    after = table(model)
    kept = vocabulary.kept.tolist()
    assert kept == [0, 1, 7, 9]  # up to the padding id, by which positions are counted
    assert torch.equal(after[kept], before[kept] + 1)
    others = [row for row in range(len(before)) if row not in kept]
    assert torch.equal(after[others], before[others])
