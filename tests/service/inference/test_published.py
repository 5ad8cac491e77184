"""Our network as a stock checkpoint: what transformers answers elsewhere is what is served here."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from parts.tiny_models import FAMILIES, build_tiny_checkpoint
from service.inference.architectures import load_encoder
from service.inference.network import TextClassifier
from service.inference.published import load_published, save_published
from service.models.bundled import ENGLISH_SMALL, bundled_checkpoint
from service.store.records import Task

LABELS = ["animal", "fruit", "weather"]


def base_folder(name: str, tmp_path: Path) -> Path:
    if name == ENGLISH_SMALL:
        return bundled_checkpoint(name, tmp_path)  # the BERT family, real
    return build_tiny_checkpoint(name, tmp_path / "base")


def model_type(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text())["model_type"])


def make_network(folder: Path) -> TextClassifier:
    network = TextClassifier(load_encoder(folder, model_type(folder)), len(LABELS)).eval()
    generator = torch.Generator().manual_seed(0)
    spread = 3 / network.config.hidden_size**0.5  # logits of a few units, as trained ones are
    torch.nn.init.normal_(network.head.weight, std=spread, generator=generator)
    torch.nn.init.normal_(network.head.bias, generator=generator)
    return network


def padded_batch(pad_id: int) -> tuple[Tensor, Tensor]:
    ids = torch.randint(8, 300, (5, 24), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    for row, length in enumerate((24, 3, 17, 1, 9)):
        mask[row, length:] = 0
        ids[row, length:] = pad_id
    return ids, mask


@pytest.mark.parametrize("task", ["choosing", "deciding"])
@pytest.mark.parametrize("name", [*FAMILIES, ENGLISH_SMALL])
def test_stock_transformers_gives_our_probabilities(name: str, task: Task, tmp_path: Path) -> None:
    network = make_network(base_folder(name, tmp_path))
    save_published(network, LABELS, task, tmp_path / "out")
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    ids, mask = padded_batch(network.config.pad_token_id)
    with torch.inference_mode():
        ours, theirs = network(ids, mask), stock(input_ids=ids, attention_mask=mask).logits
    activate = torch.sigmoid if task == "deciding" else lambda logits: torch.softmax(logits, -1)
    assert torch.allclose(activate(ours), activate(theirs), atol=1e-5)
    assert (ours.max() - ours.min()) > 1  # they do say something
    assert stock.config.id2label == dict(enumerate(LABELS))
    assert stock.config.label2id == {label: index for index, label in enumerate(LABELS)}
    assert stock.config.problem_type.startswith("multi" if task == "deciding" else "single")


@pytest.mark.parametrize("name", [*FAMILIES, ENGLISH_SMALL])
def test_read_back_it_is_the_same_network_bit_for_bit(name: str, tmp_path: Path) -> None:
    folder = base_folder(name, tmp_path)
    network = make_network(folder)
    save_published(network, LABELS, "choosing", tmp_path / "out")
    again = load_published(tmp_path / "out", model_type(folder), len(LABELS)).eval()
    assert again.config.num_hidden_layers == network.config.num_hidden_layers
    ids, mask = padded_batch(network.config.pad_token_id)
    with torch.inference_mode():
        assert torch.equal(network(ids, mask), again(ids, mask))


def test_missing_weights_are_not_drawn_at_random(tmp_path: Path) -> None:
    network = make_network(build_tiny_checkpoint("xlm-roberta-base", tmp_path / "base"))
    save_published(network, LABELS, "choosing", tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    tensors = load_file(path)
    del tensors["roberta.encoder.layer.1.output.dense.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights are missing.*layer\.1\.output\.dense"):
        load_published(tmp_path / "out", "xlm-roberta", len(LABELS))


def test_a_scaling_in_the_weights_divides_and_shifts_the_logits(tmp_path: Path) -> None:
    network = make_network(build_tiny_checkpoint("xlm-roberta-base", tmp_path / "base"))
    ids, mask = padded_batch(1)
    with torch.inference_mode():
        before = network(ids, mask)
        shift = torch.arange(len(LABELS), dtype=torch.float64)
        network.scale_logits(2.5, shift)
        assert torch.allclose(network(ids, mask), before / 2.5 + shift.float(), atol=1e-6)
