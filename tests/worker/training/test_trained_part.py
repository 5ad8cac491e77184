"""What is cut out for training says what the whole says, and comes back into it."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from torch import Tensor, nn

from parts.tiny_models import FAMILIES, build_tiny_checkpoint
from service.inference.classifier import embed
from service.inference.encoding import TextEncoder
from service.inference.network import TextClassifier
from service.inference.predictions import Encoding
from service.models.base_models import BaseCheckpoint, describe_checkpoint
from worker.training.frozen_layers import UpperLayers, freeze, layers_of
from worker.training.model import load_model, load_network
from worker.training.trained_part import TrainedPart, cut_out
from worker.training.vocabulary import Vocabulary

CPU = torch.device("cpu")
TEXTS = {
    "train": ["the red apple is ripe", "a small dog", "it will rain tomorrow, and the wind will blow"],
    "val": ["rain", "the small dog is ripe"],
}
FROZEN = {0.0: Vocabulary, 0.4: Vocabulary, 0.5: UpperLayers, 0.99: UpperLayers}  # of two layers


@pytest.fixture
def scratch() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


def checkpoint(family: str, folder: Path) -> BaseCheckpoint:
    return describe_checkpoint(family, build_tiny_checkpoint(family, folder))


def with_a_head(base: BaseCheckpoint) -> tuple[TextClassifier, TextEncoder]:
    network = load_network(base, 2)
    torch.manual_seed(0)
    torch.nn.init.normal_(network.model.head.weight)
    return network.model.eval(), network.encoder(64)


def encode(encoder: TextEncoder) -> dict[str, list[Encoding]]:
    return {split: encoder.encode(texts) for split, texts in TEXTS.items()}


def logits(model: TextClassifier, encoder: TextEncoder, rows: list[Encoding]) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**encoder.pad(rows, CPU))
    return found


def words(model: TextClassifier) -> Tensor:
    embeddings = model.encoder.get_input_embeddings()
    assert isinstance(embeddings, nn.Embedding)
    return embeddings.weight.detach()


def cut(model: TextClassifier, encoder: TextEncoder, share: float, scratch: IO[bytes]) -> TrainedPart:
    return cut_out(model, encode(encoder), share, encoder, CPU, 16, scratch)  # 16 tokens: several batches


@pytest.mark.parametrize("share", FROZEN)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_part_says_what_the_whole_says(
    family: str, share: float, tmp_path: Path, scratch: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.training.frozen_layers.autocast", lambda _: nullcontext())  # bfloat16 rounds states
    base = checkpoint(family, tmp_path)
    model, encoder = with_a_head(base)
    whole = {split: logits(model, encoder, rows) for split, rows in encode(encoder).items()}
    weights = sum(parameter.numel() for parameter in model.parameters())
    part = cut(model, encoder, share, scratch)
    assert isinstance(part, FROZEN[share])
    assert sum(parameter.numel() for parameter in model.parameters()) < weights
    for split, expected in whole.items():
        found = logits(model, encoder, part.rows[split])
        assert torch.allclose(found, expected, atol=1e-5)
        assert isinstance(part, UpperLayers) or torch.equal(found, expected)  # frozen layers met other batches
    part.put_back(model, load_model(base, 2))
    for split, rows in encode(encoder).items():
        assert torch.equal(logits(model, encoder, rows), whole[split])


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_what_was_trained_comes_back_and_the_rest_is_the_base_models(
    implementation: str, tmp_path: Path, scratch: IO[bytes]
) -> None:
    base = checkpoint("xlm-roberta-base", tmp_path)
    model, encoder = with_a_head(base)
    before = {name: value.clone() for name, value in load_model(base, 2).state_dict().items()}
    part = cut(model, encoder, 0.5, scratch)
    model.encoder.set_attn_implementation(implementation)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    part.put_back(model, load_model(base, 2))
    after = model.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        changed = ".layer.1." in name or name.startswith("head.")
        assert torch.equal(after[name], value) != changed, name
    layers: Any = layers_of(model)
    assert {layer.attention.self.config._attn_implementation for layer in layers} == {implementation}


def test_trained_words_come_back_and_others_stay(tmp_path: Path, scratch: IO[bytes]) -> None:
    base = checkpoint("xlm-roberta-base", tmp_path)
    model, encoder = with_a_head(base)
    part = cut(model, encoder, 0.0, scratch)
    assert isinstance(part, Vocabulary)
    with torch.no_grad():
        words(model).add_(1)
    part.put_back(model, load_model(base, 2))
    before, after = words(load_model(base, 2)), words(model)
    used = {token for rows in encode(encoder).values() for row in rows for token in row.ids}
    assert part.kept.tolist() == sorted({0, 1, *used})  # up to the padding id, by which positions are counted
    assert torch.equal(after[part.kept], before[part.kept] + 1)
    others = [row for row in range(len(before)) if row not in part.kept]
    assert torch.equal(after[others], before[others])


def test_frozen_layers_have_no_gradient_and_no_dropout(tmp_path: Path, scratch: IO[bytes]) -> None:
    model, encoder = with_a_head(checkpoint("camembert-base", tmp_path))
    part = cut(model, encoder, 0.5, scratch)
    model.train()
    rows = encoder.pad(part.rows["train"], CPU)
    states: Any = model.encoder.embeddings
    first, second = states(rows["input_ids"]), states(rows["input_ids"])
    assert torch.equal(first, second)
    model(**rows).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert len(layers_of(model)) == 1


def test_a_full_disk_is_an_error_before_anything_is_looked_up(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    model, encoder = with_a_head(checkpoint("xlm-roberta-base", tmp_path))
    with pytest.raises(OSError, match="No space left"):
        freeze(model, encode(encoder), 1, encoder, CPU, 64, Full())


@pytest.mark.parametrize("share", FROZEN)
def test_nothing_moves_to_its_device_in_inference_mode(
    share: float, tmp_path: Path, scratch: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, parameters that moved there in that mode cannot be trained (seen on one). Here a move copies nothing,
    so the mode itself is looked at."""
    base = checkpoint("xlm-roberta-base", tmp_path)
    model, encoder = with_a_head(base)
    moved: list[bool] = []
    move = TextClassifier.to

    def to(self: TextClassifier, *where: Any) -> TextClassifier:
        moved.append(torch.is_inference_mode_enabled())
        return move(self, *where)

    monkeypatch.setattr(TextClassifier, "to", to)
    part = cut(model, encoder, share, scratch)
    embed(model, encoder, part.rows["val"], CPU, 64)
    assert moved
    assert not any(moved)
