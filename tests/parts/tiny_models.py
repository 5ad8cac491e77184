"""Tiny but real base models: two layers, a trained tokenizer, saved as the hub's own checkpoints are.

Real in all that the code under test can see: architecture, names of the weights, special tokens and their ids, padding,
position offset and file layout. Only size and knowledge are missing.
"""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    CamembertTokenizer,
    PreTrainedTokenizerBase,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from parts.toy_text import PROSE, sentences

USABLE_POSITIONS = 128
VOCABULARY_SIZE = 1000
MASK = "<mask>"
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
# CamemBERT's own order: fairseq's four come first, out of use, and the SentencePiece ones after them.
CAMEMBERT_SPECIALS = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]


def build_tiny_checkpoint(name: str, folder: Path) -> Path:
    """Write the tiny twin of base model `name` (one of `FAMILIES`) into `folder` and return `folder`.

    Holds config.json, model.safetensors, tokenizer.json and tokenizer_config.json. Weights, tokens and files are the
    same each time. The global random state is left as it was.
    """
    build_tokenizer, model_type = _FAMILIES[name]
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    config = AutoConfig.for_model(model_type, **_shape(tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # The hub's checkpoints are masked language models too: their head is in the file and has to be left aside.
        model = AutoModelForMaskedLM.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    return folder


def build_base_models_dir(folder: Path) -> Path:
    """Write all families under `folder`, each under its own name, as BASE_MODELS_DIR wants them; return `folder`."""
    for name in FAMILIES:
        build_tiny_checkpoint(name, folder / name)
    return folder


def build_hub_cache(folder: Path, repo_id: str, checkpoint: Path) -> Path:
    """Lay `checkpoint` out in the Hugging Face cache `folder` as if downloaded from `repo_id`'s main branch.

    Returns the snapshot's folder, the one that `snapshot_download(repo_id, cache_dir=folder)` answers with.
    """
    storage = folder / f"models--{repo_id.replace('/', '--')}"
    files = {path.name: path.read_bytes() for path in sorted(checkpoint.iterdir())}
    tree = {name: _tree_entry(name, content) for name, content in files.items()}
    commit = hashlib.sha1(json.dumps([repo_id, tree]).encode()).hexdigest()
    snapshot = storage / "snapshots" / commit
    for part in (storage / "blobs", storage / "refs", storage / "trees", snapshot):
        part.mkdir(parents=True)
    for name, content in files.items():
        blob = tree[name].get("lfs_sha256", tree[name]["blob_id"])
        (storage / "blobs" / blob).write_bytes(content)
        (snapshot / name).symlink_to(os.path.join("..", "..", "blobs", blob))
    (storage / "refs" / "main").write_text(commit)
    (storage / "trees" / f"{commit}.json").write_text(json.dumps({"format_version": 1, "files": tree}, indent=1))
    return snapshot


def _tree_entry(name: str, content: bytes) -> dict[str, Any]:
    """How the hub lists a file: the blob's name is git's SHA-1, or the SHA-256 where LFS keeps the content."""
    entry: dict[str, Any] = {"size": len(content), "blob_id": _git_blob_id(content)}
    if name.endswith(".safetensors"):
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"
        entry |= {"blob_id": _git_blob_id(pointer.encode()), "lfs_sha256": sha256, "lfs_size": len(content)}
    return entry


def _git_blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\x00" % len(content) + content).hexdigest()


def _shape(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        # RoBERTa counts positions from the pad id + 1, so that two rows of the table are never used.
        "max_position_embeddings": USABLE_POSITIONS + 2,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        # The real 0.02 scaled from 768 dimensions to 32, as 0.02 * sqrt(768 / 32): with less, some seeds never start
        # to learn.
        "initializer_range": 0.1,
        "bos_token_id": tokenizer.bos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _roberta_tokenizer() -> PreTrainedTokenizerBase:
    return _byte_level_tokenizer(sentences("english"))


def _wechsel_german_tokenizer() -> PreTrainedTokenizerBase:
    return _byte_level_tokenizer(sentences("german"))


def _camembert_tokenizer() -> PreTrainedTokenizerBase:
    vocabulary = _unigram_vocabulary(sentences("french"), CAMEMBERT_SPECIALS)
    return CamembertTokenizer(vocab=vocabulary, model_max_length=USABLE_POSITIONS)


def _xlm_roberta_tokenizer() -> PreTrainedTokenizerBase:
    corpus = [text for language in PROSE for text in sentences(language)]
    return XLMRobertaTokenizer(vocab=_unigram_vocabulary(corpus, SPECIALS), model_max_length=USABLE_POSITIONS)


def _byte_level_tokenizer(corpus: list[str]) -> PreTrainedTokenizerBase:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(corpus, _merging(SPECIALS, pre_tokenizers.ByteLevel.alphabet()))
    trained = json.loads(tokenizer.to_str())["model"]
    vocabulary = {**trained["vocab"], MASK: len(trained["vocab"])}
    merges: list[Any] = [tuple(pair) for pair in trained["merges"]]  # pairs, whatever the signature says
    return RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=USABLE_POSITIONS)


def _unigram_vocabulary(corpus: list[str], specials: list[str]) -> list[tuple[str, float]]:
    """Pieces that byte-pair merging finds, with the logarithm of their frequency in `corpus`.

    The library's own Unigram trainer serves small corpora badly: it looks for pieces among different words, each
    counted once, so that hardly any whole word becomes a piece, and its scores and their order vary from run to run.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.train_from_iterator(corpus, _merging(specials))
    counts = Counter(token for text in corpus for token in tokenizer.encode(text).tokens)
    # A piece that was only a step towards a longer one is not in use; half a sighting keeps its score finite.
    scores = {
        piece: round(math.log((counts[piece] or 0.5) / counts.total()), 4)
        for piece in tokenizer.get_vocab()
        if piece not in specials
    }
    ranked = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [*((special, 0.0) for special in specials), *ranked, (MASK, 0.0)]


def _merging(specials: list[str], alphabet: Sequence[str] = ()) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - 1,  # the mask follows
        special_tokens=specials,
        initial_alphabet=list(alphabet),
        show_progress=False,
    )


_FAMILIES: dict[str, tuple[Callable[[], PreTrainedTokenizerBase], str]] = {
    "roberta-base": (_roberta_tokenizer, "roberta"),
    "benjamin/roberta-base-wechsel-german": (_wechsel_german_tokenizer, "roberta"),
    "camembert-base": (_camembert_tokenizer, "camembert"),
    "xlm-roberta-base": (_xlm_roberta_tokenizer, "xlm-roberta"),
}
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
