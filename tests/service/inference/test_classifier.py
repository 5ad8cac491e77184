from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from parts.finished_models import write_model
from parts.tiny_models import FAMILIES, build_tiny_checkpoint
from service.errors import ArtifactCorrupt
from service.inference.architectures import load_encoder
from service.inference.classifier import Classifier, probabilities
from service.inference.encoding import TextEncoder
from service.inference.network import TextClassifier
from service.inference.predictions import Encoding, read_predictions
from service.models.checkpoints import read_config
from service.models.finished import ModelCard

CPU = torch.device("cpu")
TEXTS = [
    "apple",
    "the small dog runs over the green hill and sleeps",
    "it rains",
    "the wind, the sun and the snow " * 9,
]


def card(task: str) -> ModelCard:
    return ModelCard(task, ["a", "b", "c"], 64, "x", "j", "s", [0.5] * 3)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, card("choosing"))
    return folder


def test_a_text_gets_the_same_scores_alone_and_in_company(folder: Path) -> None:
    classifier = Classifier.load(folder, CPU)
    rows = classifier.encoder.encode(TEXTS)
    together = classifier.score(rows, max_tokens=10_000)
    alone = np.concatenate([classifier.forward([row]) for row in rows])
    assert np.abs(together - alone).max() < 1e-6
    assert len({tuple(row) for row in alone.round(4).tolist()}) == len(TEXTS)  # they are not all one answer


def test_the_order_asked_for_is_kept_whatever_the_batches(folder: Path) -> None:
    classifier = Classifier.load(folder, CPU)
    rows = classifier.encoder.encode(TEXTS * 5)
    assert np.abs(classifier.score(rows, 10_000) - classifier.score(rows, 40)).max() < 1e-6


def test_long_texts_are_cut_and_said_to_be(folder: Path) -> None:
    classifier = Classifier.load(folder, CPU)
    short, long = classifier.encoder.encode(["apple", "apple " * 200])
    assert (short.truncated, long.truncated) == (False, True)
    assert len(long.ids) == classifier.card.max_length


def test_special_tokens_in_a_text_are_only_letters(folder: Path) -> None:
    classifier = Classifier.load(folder, CPU)
    (row,) = classifier.encoder.encode(["<pad> </s> <mask>"])
    assert not {1, 2, classifier.model.config.vocab_size - 1} & set(row.ids[1:-1])


def test_a_special_piece_in_a_text_becomes_unknown_where_that_is_id_zero_too() -> None:
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("<pad>", -1.0), ("a", -1.0)], unk_id=0))
    tokenizer.add_special_tokens(["<unk>", "<pad>"])
    (row,) = TextEncoder(tokenizer, 8, pad_id=1).encode(["a<pad>a"])
    assert row.ids == [2, 0, 2]


@pytest.mark.parametrize("size", [1.0, 1e4, -1e4])
def test_probabilities_stay_probabilities_at_extreme_logits(size: float) -> None:
    logits = torch.tensor([[size, 0.0, -size], [size, size, size]])
    softmax, sigmoid = probabilities(logits, "choosing"), probabilities(logits, "deciding")
    assert torch.isfinite(softmax).all()
    assert torch.allclose(softmax.sum(dim=1), torch.ones(2))
    assert ((sigmoid >= 0) & (sigmoid <= 1)).all()


def test_a_model_with_a_weight_missing_is_refused_not_guessed(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["classifier.out_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtifactCorrupt, match=r"classifier\.out_proj\.weight"):
        Classifier.load(tmp_path, CPU)


ROW = [Encoding([0, 2], False)]
SCORES = np.array([[0.2, 0.5, 0.6]], dtype=np.float32)


def test_choosing_names_the_most_probable_label() -> None:
    (prediction,) = read_predictions(SCORES, ROW, card("choosing"), threshold=0.9)
    assert (prediction.label, prediction.labels) == ("c", ["c"])


@pytest.mark.parametrize(
    ("threshold", "labels"), [(None, ["b", "c"]), (0.55, ["c"]), (0.0, ["a", "b", "c"]), (1.0, [])]
)
def test_deciding_names_all_labels_at_or_above_the_threshold(threshold: float | None, labels: list[str]) -> None:
    (prediction,) = read_predictions(SCORES, ROW, card("deciding"), threshold=threshold)
    assert (prediction.label, prediction.labels) == (None, labels)


def test_each_label_has_a_threshold_of_its_own_unless_the_request_brings_one() -> None:
    own = ModelCard("deciding", ["a", "b", "c"], 64, "x", "j", "s", [0.1, 0.55, 0.7])
    scores = np.array([[0.2, 0.5, 0.75]], dtype=np.float32)
    row = [Encoding([0], False)]
    assert read_predictions(scores, row, own)[0].labels == ["a", "c"]
    assert read_predictions(scores, row, own, threshold=0.5)[0].labels == ["b", "c"]


def test_top_k_keeps_the_largest_scores_in_order() -> None:
    (prediction,) = read_predictions(SCORES, ROW, card("deciding"), top_k=2)
    assert list(prediction.scores) == ["c", "b"]
    assert prediction.labels == ["b", "c"]


@pytest.mark.parametrize("family", FAMILIES)
def test_without_key_biases_nothing_changes_but_the_rounding(family: str, tmp_path: Path) -> None:
    """Large ones, as pretrained models have: bfloat16 has eight bits for the bias and the key together."""
    network = make_network(family, tmp_path)
    for name, parameter in network.encoder.named_parameters():
        if "key.bias" in name:
            torch.nn.init.normal_(parameter, std=10)
        if "query.weight" in name:
            parameter.data *= 20  # attention that looks at one token rather than another
    exact, before = features(network), off(network)
    network.drop_key_biases()
    assert torch.allclose(features(network), exact, atol=1e-4)
    assert off(network) < 0.7 * before


@pytest.mark.parametrize("family", FAMILIES)
def test_rounded_weights_are_nearly_the_same_and_bring_bfloat16_nearer_to_them(family: str, tmp_path: Path) -> None:
    network = make_network(family, tmp_path)
    exact, before = features(network), off(network)
    network.round_weights()
    assert torch.allclose(features(network), exact, atol=0.05)
    assert off(network) < 0.9 * before
    assert all(
        torch.equal(module.weight, module.weight.bfloat16().float())
        for module in network.encoder.modules()
        if isinstance(module, torch.nn.Linear)
    )


def make_network(family: str, folder: Path) -> TextClassifier:
    checkpoint = build_tiny_checkpoint(family, folder)
    return TextClassifier(load_encoder(checkpoint, read_config(checkpoint)["model_type"]), 3).eval()


def features(network: TextClassifier) -> torch.Tensor:
    """Of eight rows of tokens, always the same ones."""
    ids = torch.randint(5, 200, (8, 20), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return network.features(ids, torch.ones_like(ids))


def off(network: TextClassifier) -> float:
    """By how much bfloat16 misses float32, root mean square."""
    with torch.autocast("cpu", torch.bfloat16):
        rounded = features(network)
    return float((rounded - features(network)).square().mean().sqrt())
