"""`classiglot demo`: the whole main job over HTTP, on real text that comes from the package index."""

import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from service.access.keys import create_key, list_keys, revoke_key
from service.errors import SettingsInvalid, TrainingFailed
from service.settings import Settings
from service.store.database import Database
from service.store.records import DEFAULT_PROJECT, FINAL
from service.up import System, running_system

TOPICS = ("food", "literature", "money", "movies", "science", "sports")
TRAINED_IN = ("english", "italian", "japanese", "korean", "dutch", "ukrainian")
UNSEEN = {
    "german": "Welche Mannschaft hat gestern das Endspiel gewonnen?",
    "french": "Qui a écrit ce roman ?",
    "spanish": "¿Cuánto cuesta pedir un préstamo al banco?",
    "turkish": "Bu filmin yönetmeni kim?",
    "russian": "Почему небо голубое, и что такое гравитация?",
    "hindi": "आज रात के खाने में क्या बना है?",
}
console = Console()


def run_demo(settings: Settings) -> int:
    """Starts the system, trains on a few hundred questions, prints the report, predicts.

    Raises: ClassiglotError; KeyboardInterrupt when it is asked to stop meanwhile.
    """
    settings = settings.model_copy(update={"log_level": "warning", "port": 0, "host": "127.0.0.1"})
    console.print("[bold]Classiglot demo[/]: starting service, worker and broker on their embedded defaults …")
    with running_system(settings) as (system, asked_to_stop):
        if asked_to_stop.is_set():
            return 130
        console.print(f"The service answers at {system.address} while this demo runs.\n")
        with (
            key_where_needed(settings) as headers,
            httpx.Client(base_url=system.address, headers=headers, timeout=60, trust_env=False) as client,
        ):
            dataset = _upload(client)
            job = _train(client, dataset, system, asked_to_stop)
            _show_report(client, job)
            _predict(client)
    _say_how_to_go_on(settings)
    return 0


@contextmanager
def key_where_needed(settings: Settings) -> Iterator[dict[str, str]]:
    """Headers for its requests: a data dir that has keys has one more for the block."""
    database = Database(settings.sql_url)
    try:
        if not list_keys(database):
            yield {}
            return
        made = create_key(database, "classiglot demo", ["read", "train", "predict"], DEFAULT_PROJECT, expires_in_days=1)
        try:
            yield {"Authorization": f"Bearer {made.text}"}
        finally:
            revoke_key(database, made.record.id)
    finally:
        database.close()


def read_corpus(languages: tuple[str, ...], topics: tuple[str, ...]) -> list[dict[str, str]]:
    """First lines of conversations from the package chatterbot-corpus: text, label (the file's name), language."""
    folder = _corpus_folder()
    rows: list[dict[str, str]] = []
    for language in languages:
        for topic in topics:
            path = folder / language / f"{topic}.yml"
            texts = _first_lines(path) if path.exists() else []
            rows += [{"text": text, "label": topic, "language": language} for text in texts]
    return rows


def _corpus_folder() -> Path:
    spec = importlib.util.find_spec("chatterbot_corpus")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsInvalid(
            'the demo\'s text is not installed; run pip install ".[demo]" in the folder of the source'
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _first_lines(path: Path) -> list[str]:
    import yaml

    conversations = yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]
    texts = [str(conversation[0]).strip() for conversation in conversations if conversation]
    return list(dict.fromkeys(text for text in texts if text))


def sample() -> dict[str, Any]:
    """The demo's data set as a body for `POST /datasets`. Raises: SettingsInvalid without the text's package."""
    rows = read_corpus(TRAINED_IN, TOPICS)
    columns = {"Text": "text", "Labels": "label", "language": "language"}
    return {"name": "demo topics", "train": {name: [row[key] for row in rows] for name, key in columns.items()}}


def _upload(client: httpx.Client) -> Any:
    answer = _checked(client.post("/datasets", json=sample()))
    splits = ", ".join(f"{name} {split['rows']}" for name, split in answer["splits"].items())
    shape = f"{splits} rows, {len(answer['labels'])} labels, {len(TRAINED_IN)} languages"
    console.print(f"POST /datasets → {answer['id']}: {shape}")
    return answer


def _train(client: httpx.Client, dataset: Any, system: System, asked_to_stop: threading.Event) -> Any:
    body = {
        "dataset_id": dataset["id"],
        "base_model": "bundled/multilingual-small",
        "hyperparameters": {"optimizer": "sam", "max_length": 64},
    }
    job = _checked(client.post("/jobs", json=body))
    console.print(f"POST /jobs     → {job['id']}: bundled/multilingual-small with SAM\n")
    columns = (
        TextColumn("{task.description:<11}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        job = _follow(client, job, bar, system, asked_to_stop)
    if job["status"] != "succeeded":
        raise TrainingFailed(f"the job {job['status']}: {(job['error'] or {}).get('message', 'see its events')}")
    return job


def _follow(client: httpx.Client, job: Any, bar: Progress, system: System, asked_to_stop: threading.Event) -> Any:
    """Polls job and events until the job is final. Raises: KeyboardInterrupt when it is asked to stop."""
    task = bar.add_task("queued", total=job["progress"]["total_steps"], loss="-")
    after = None
    while job["status"] not in FINAL:
        if asked_to_stop.wait(0.5):
            raise KeyboardInterrupt
        system.keep_alive()
        try:
            events = _checked(client.get(f"/jobs/{job['id']}/events", params={"after": after} if after else {}))["data"]
            job = _checked(client.get(f"/jobs/{job['id']}"))
        except httpx.TransportError:  # the service ended, and is being started again
            continue
        for event in events:
            after = event["id"]
            _show_event(event, bar, task)
        bar.update(task, description=job["phase"] or job["status"], completed=job["progress"]["step"])
    return job


def _show_event(event: Any, bar: Progress, task: TaskID) -> None:
    data = event["data"]
    if event["type"] == "progress":
        bar.update(task, completed=data["step"], loss=f"{data['loss']:.3f}")
    elif event["type"] == "metrics":
        bar.console.print(
            f"  epoch {data['epoch']:>2}  train loss {data['train_loss']:.3f}  "
            f"val loss {data['val_loss']:.3f}  val macro-F1 {data['val_macro_f1']:.3f}"
        )


def _show_report(client: httpx.Client, job: Any) -> None:
    address = f"/jobs/{job['id']}/report"
    text = client.get(address, headers={"Accept": "text/plain"}).text
    console.print(f"\nGET {address}: the best epoch ({job['best']['epoch']}) on test texts that it never saw\n")
    console.print(text, highlight=False, markup=False)
    console.print(
        "[dim]Many files of this corpus are translations of one another, so a test question may have been "
        "trained on in another language: these figures are kinder than those of independent text.[/]\n"
    )


def _predict(client: httpx.Client) -> None:
    console.print("POST /predict, in languages that were not in training:")
    body = {"texts": list(UNSEEN.values()), "model": "demo topics", "top_k": 2}
    answer = _checked(client.post("/predict", json=body))
    table = Table.grid(padding=(0, 0, 0, 2))  # each column wraps by itself where the terminal is narrow
    for (language, text), prediction in zip(UNSEEN.items(), answer["predictions"], strict=True):
        scores = ", ".join(f"{label} {score:.2f}" for label, score in prediction["scores"].items())
        table.add_row(language, text, f"→ {scores}")
    console.print(table, highlight=False)


def _say_how_to_go_on(settings: Settings) -> None:
    command = f"{sys.argv[0]} up --data-dir {settings.data_dir}"
    console.print(
        f"\nEverything was kept in {settings.data_dir}. To run the service, with this model in it:", highlight=False
    )
    console.print(f"  {command}", highlight=False, soft_wrap=True)  # to be copied whole
    words = f"It then answers at http://{settings.host}:8000 (documentation: /docs). The README walks on with curl."
    console.print(words, highlight=False)


def _checked(response: httpx.Response) -> Any:
    if response.is_error:
        raise TrainingFailed(f"{response.request.method} {response.request.url.path}: {response.text[:500]}")
    return response.json()
