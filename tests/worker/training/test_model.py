import json
from pathlib import Path

from transformers import AutoTokenizer

from parts.tiny_models import build_tiny_checkpoint
from service.models.base_models import describe_checkpoint
from service.models.bundled import MULTILINGUAL_SMALL, bundled_checkpoint
from worker.training.model import load_network, save_tokenizer


def test_a_saved_tokenizer_is_the_base_models_and_the_encoder_keeps_its_limit(tmp_path: Path) -> None:
    folder = build_tiny_checkpoint("roberta-base", tmp_path / "base")
    untouched = load_network(describe_checkpoint("roberta-base", folder), 2)
    save_tokenizer(untouched.tokenizer, 9, tmp_path / "untouched")
    used = load_network(describe_checkpoint("roberta-base", folder), 2)
    encoder = used.encoder(9)
    (before,) = encoder.encode(["the red apple is ripe and the dog is small, but it will rain"])
    assert (len(before.ids), before.truncated) == (9, True)
    save_tokenizer(used.tokenizer, 9, tmp_path / "used")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "used" / name).read_text() == (tmp_path / "untouched" / name).read_text()
    assert json.loads((tmp_path / "used" / "tokenizer.json").read_text())["truncation"] is None
    (after,) = encoder.encode(["the red apple is ripe and the dog is small, but it will rain"])
    assert after == before


def test_its_class_is_named_as_transformers_4_names_it_too(tmp_path: Path) -> None:
    network = load_network(describe_checkpoint("xlm-roberta-base", bundled_checkpoint(MULTILINGUAL_SMALL, tmp_path)), 2)
    save_tokenizer(network.tokenizer, 64, tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is type(network.tokenizer)
