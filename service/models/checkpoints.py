"""What a checkpoint's files say, checked before a library loads anything: a folder may come from anywhere.

Of config.json only what describes the four architectures reaches transformers. The rest of it, and of
tokenizer_config.json, can name code, kernels and files elsewhere (CVE-2026-4372; transformers#46279).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ARCHITECTURES = frozenset({"roberta", "xlm-roberta", "camembert", "bert"})
# name → the most that is believed; weights of less than that are then counted against the files that are there
_SIZES = {
    "hidden_size": 16_384,
    "intermediate_size": 65_536,
    "max_position_embeddings": 131_072,
    "num_attention_heads": 1_024,
    "num_hidden_layers": 1_024,
    "vocab_size": 4_000_000,
}
_FRACTIONS = ("attention_probs_dropout_prob", "classifier_dropout", "hidden_dropout_prob", "initializer_range",
              "layer_norm_eps")  # fmt: skip
_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "type_vocab_size")
_ATTENTION = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
_TOKENIZERS = frozenset({"Bert", "Camembert", "GPT2", "PreTrained", "Roberta", "XLMRoberta", "TokenizersBackend"})

Config = dict[str, Any]


def read_config(folder: Path) -> Config:
    """`model_type` and what describes its network. Raises: ValueError that says what is wrong with the folder."""
    config = _read_object(folder / "config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        raise ValueError(f"is not one of {', '.join(sorted(ARCHITECTURES))}, and no other kind of model is loaded")
    _check_carries_no_code(config)
    _check_sizes(config)
    _check_weights(config, folder)
    _check_tokenizer(folder)
    known = ("model_type", "hidden_act", *_SIZES, *_FRACTIONS, *_IDS)
    return {name: config[name] for name in known if config.get(name) is not None}


def max_length(config: Config) -> int:
    """In tokens. RoBERTa counts positions from the padding id + 1, so a table of 514 rows serves 512 tokens."""
    positions: int = config["max_position_embeddings"]
    return positions if config["model_type"] == "bert" else positions - config.get("pad_token_id", 1) - 1


def _read_object(path: Path) -> Config:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"has no readable {path.name}; put the whole checkpoint there")
    return value


def _check_carries_no_code(config: Mapping[str, Any]) -> None:
    if "auto_map" in config:
        raise ValueError("brings code of its own (auto_map), which is never run; choose another checkpoint")
    for name in _ATTENTION:
        if config.get(name) not in (None, "eager", "sdpa"):
            raise ValueError(f"asks for a kernel by name ({name}), which could be code; remove it from its config.json")


def _check_sizes(config: Config) -> None:
    for name, most in _SIZES.items():
        value = config.get(name)
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"has a config.json whose {name} is not a whole number from 1 to {most}; restore it")
    for name in _FRACTIONS:
        value = config.get(name) or 0
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise ValueError(f"has a config.json whose {name} is not from 0 to 1; restore it")
    if any(type(config.get(name) or 0) is not int for name in _IDS) or not isinstance(
        config.get("hidden_act", ""), str
    ):
        raise ValueError(f"has a config.json whose {', '.join(_IDS)} or hidden_act is of the wrong type; restore it")
    padding = config.get("pad_token_id", 1)
    if type(padding) is not int or not 0 <= padding < min(config["vocab_size"], config["max_position_embeddings"] - 1):
        raise ValueError("has a config.json whose pad_token_id is none of its tokens; restore it")


def _check_weights(config: Config, folder: Path) -> None:
    """Safetensors in the folder itself, and not less than config.json claims: a number takes a byte or more."""
    files = list(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(
            "has no .safetensors weights; other formats can carry code and are never loaded: "
            "convert it with `classiglot fetch`"
        )
    for index in folder.glob("*.index.json"):
        shards = _read_object(index).get("weight_map")
        named = set(shards.values()) if isinstance(shards, dict) and all(map(_is_text, shards.values())) else {""}
        if not named <= {path.name for path in files}:
            raise ValueError(f"names files in {index.name} that are not safetensors in its folder; restore it")
    width, inner = config["hidden_size"], config["intermediate_size"]
    layers = config["num_hidden_layers"] * (4 * width * width + 2 * width * inner)
    claimed = (config["vocab_size"] + config["max_position_embeddings"]) * width + layers
    if claimed > sum(path.stat().st_size for path in files):
        raise ValueError("has a config.json that claims more weights than its files hold; restore both")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _check_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    if not path.exists():
        return
    config = _read_object(path)
    _check_carries_no_code(config)
    kind = config.get("tokenizer_class") or "TokenizersBackend"
    if not _is_text(kind) or kind.removesuffix("Fast").removesuffix("Tokenizer") not in _TOKENIZERS:
        raise ValueError(f"has a tokenizer_class in {path.name} that is not one of its architecture's; restore it")
    if config.get("init_inputs") or any(map(_leads_away, _files_named_in(config))):
        raise ValueError(f"names files elsewhere in {path.name}; remove what ends in _file or _files there")


def _files_named_in(config: Config) -> Iterator[object]:
    """What transformers would open; it reads `special_tokens_map_file` no more, which old checkpoints have."""
    for name, value in config.items():
        if name.endswith(("_file", "_files")) and name != "special_tokens_map_file" and value is not None:
            yield from value if isinstance(value, list) else [value]


def _leads_away(name: object) -> bool:
    return not isinstance(name, str) or Path(name).name != name or "\\" in name
