"""Folders of base models and of finished ones that are hostile, or do not fit; each made of a good one."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.models.finished import CARD

# To a folder, and with a canary that is not its own. Code that runs leaves `ran` beside the canary.
Spoil = Callable[[Path, Path], object]
CANARY_TEXT = "<s>\n<pad>\nsecret\n"
GIANT = {"hidden_size": 16_000, "num_hidden_layers": 96, "intermediate_size": 64_000, "num_attention_heads": 100}
# No folder may be looked for under these names.
NAMES = ["gpt2", "../secret", "/etc", "https://evil.example/x", "roberta-base/../x", ""]


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | values))


def mark_of_code(canary: Path) -> Path:
    return canary.with_name("ran")


class Bomb:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return Path.touch, (self.mark,)


def only_pickle(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark_of_code(canary))))


def shards_elsewhere(folder: Path, canary: Path) -> None:
    os.rename(folder / "model.safetensors", folder / "model-1.safetensors")
    names = {"a": "model-1.safetensors", "b": f"../../{canary.name}"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def shards_of_pickle(folder: Path, canary: Path) -> None:
    only_pickle(folder, canary)
    (folder / "model-1.safetensors").write_bytes(b"")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))


def code_beside(folder: Path, canary: Path) -> None:
    for name in ("modeling_evil.py", "tokenization_evil.py", "configuration_evil.py"):
        (folder / name).write_text(f"open({str(mark_of_code(canary))!r}, 'w')\n")


def with_code(where: str) -> Spoil:
    def spoil(folder: Path, canary: Path) -> None:
        code_beside(folder, canary)
        classes = {"AutoConfig": "configuration_evil.C", "AutoModel": "modeling_evil.M", "AutoTokenizer": [None, "t.T"]}
        change(folder / where, auto_map=classes)

    return spoil


def in_config(**values: object) -> Spoil:
    return lambda folder, _: change(folder / "config.json", **values)


def in_tokenizer(*names: str, **values: object) -> Spoil:
    return lambda folder, canary: change(
        folder / "tokenizer_config.json", **{name: str(canary) for name in names}, **values
    )


def in_card(**values: object) -> Spoil:
    return lambda folder, _: change(folder / CARD, **values)


def garbage(folder: Path, _: Path) -> None:
    (folder / "tokenizer.json").write_bytes(b"{}")


def more_tokens(folder: Path, _: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"].append(["zebra", -1.0])
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def giant_header(folder: Path, _: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(struct.pack("<Q", 2**62) + weights.read_bytes()[8:])


# what is done to a good folder, and words of the refusal
HOSTILE: dict[str, tuple[Spoil, str]] = {
    "only pickled weights": (only_pickle, "safetensors"),
    "shards elsewhere": (shards_elsewhere, "not safetensors in its folder"),
    "shards that are pickled": (shards_of_pickle, "not safetensors in its folder"),
    "code of its own": (with_code("config.json"), "auto_map"),
    "code of its own for the tokenizer": (with_code("tokenizer_config.json"), "auto_map"),
    "a vocabulary elsewhere": (in_tokenizer("vocab_file"), "elsewhere"),
    "merges elsewhere": (in_tokenizer("merges_file"), "elsewhere"),
    "a tokenizer elsewhere": (in_tokenizer("tokenizer_file"), "elsewhere"),
    "a relative path": (in_tokenizer(vocab_file="../canary.txt"), "elsewhere"),
    "a list of files": (in_tokenizer(fast_tokenizer_files=["../tokenizer.1.json"]), "elsewhere"),
    "arguments of a tokenizer": (in_tokenizer(init_inputs=["/etc/passwd"]), "elsewhere"),
    "another tokenizer's class": (in_tokenizer(tokenizer_class="RagTokenizer"), "tokenizer_class"),
    "no class at all": (in_tokenizer(tokenizer_class=["os.system"]), "tokenizer_class"),
    "a kernel from the hub": (in_config(_attn_implementation="evil/kernel"), "kernel"),
    "a kernel, inside": (in_config(_attn_implementation_internal="evil/kernel:attention"), "kernel"),
    "a kernel in an object": (in_config(attn_implementation={"": "evil/kernel"}), "kernel"),
    "300 GB of weights": (in_config(**GIANT), "more weights than its files hold"),
    "a giant vocabulary": (in_config(vocab_size=3_999_999), "more weights than its files hold"),
    "endless layers": (in_config(num_hidden_layers=10**18), "num_hidden_layers"),
    "no layers": (in_config(num_hidden_layers=-1), "num_hidden_layers"),
    "a width that is text": (in_config(hidden_size="768"), "hidden_size"),
    "a width that is true": (in_config(hidden_size=True), "hidden_size"),
    "a padding id beyond": (in_config(pad_token_id=10**9), "pad_token_id"),
    "a fraction that is none": (in_config(hidden_dropout_prob=float("nan")), "hidden_dropout_prob"),
    "a fraction that is text": (in_config(layer_norm_eps="1e-5"), "layer_norm_eps"),
    "an id that is a list": (in_config(eos_token_id=[2]), "eos_token_id"),
    "another kind of model": (in_config(model_type="gpt2"), "no other kind of model"),
    "no kind of model": (in_config(model_type=["roberta"]), "no other kind of model"),
    "40,000 lists": (lambda folder, _: (folder / "config.json").write_text("[" * 40_000), "config.json"),
}
# Nothing in these is a lure, but a library has to open them to see that they do not fit.
UNFIT: dict[str, tuple[Spoil, str]] = {
    "a tokenizer that is none": (garbage, "tokenizer"),
    "a header without end": (giant_header, "header"),
}
# Of a finished model only: a base model has no card, and gets a tokenizer that fits where it was made.
UNFIT_FINISHED: dict[str, tuple[Spoil, str]] = UNFIT | {
    "tokens without an embedding": (more_tokens, "embeddings"),
    "a task that is none": (in_card(task="guessing"), CARD),
    "no labels": (in_card(labels=[]), CARD),
    "a label that is a number": (in_card(labels=["a", 7]), CARD),
    "labels that are text": (in_card(labels="abc"), CARD),
    "labels of another head": (in_card(labels=[f"l{number}" for number in range(10_000)]), "cannot be loaded"),
    "an endless length": (in_card(max_length=10**9), "tokens"),
    "a token too many": (in_card(max_length=129), "tokens"),
    "a negative length": (in_card(max_length=-1), CARD),
    "a length that is text": (in_card(max_length="64"), CARD),
    "too few thresholds": (in_card(task="deciding", thresholds=[0.5]), CARD),
    "a threshold beyond": (in_card(task="deciding", thresholds=[0.5, 2.0, 0.5]), CARD),
    "a threshold that is none": (in_card(task="deciding", thresholds=[0.5, None, 0.5]), CARD),
    "a base model that is a number": (in_card(base_model=7), CARD),
}
