"""Models to serve that nobody trained: for time and memory only their shape counts."""

from pathlib import Path

import torch
from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification, XLMRobertaModel

from service.inference.network import TextClassifier
from service.inference.published import save_published
from service.models.base_models import locate
from service.models.bundled import MULTILINGUAL_SMALL
from service.models.finished import ModelCard, write_card
from service.settings import Settings
from service.store import models
from service.store.artifacts import ArtifactStore
from service.store.database import Database
from service.store.ids import new_id
from service.store.migrate import migrate
from service.store.records import DEFAULT_PROJECT
from worker.training.model import Network, load_network, save_tokenizer

LABELS = ["a", "b", "c", "d"]
SHAPES = ("base", "small")  # of xlm-roberta-base, with random weights; the bundled model itself
NAME = "shape"


def make_network(shape: str, folder: Path) -> Network:
    """Under a random head. `folder` is for the bundled model, whose tokenizer and vocabulary both have."""
    network = load_network(locate(MULTILINGUAL_SMALL, Settings(data_dir=folder)), len(LABELS))
    torch.manual_seed(0)
    model = network.model
    if shape == "base":
        config = XLMRobertaConfig(
            vocab_size=len(network.tokenizer), max_position_embeddings=514, type_vocab_size=1, pad_token_id=1
        )
        model = TextClassifier(XLMRobertaModel(config, add_pooling_layer=False), len(LABELS))
    torch.nn.init.normal_(model.head.weight, std=0.3)
    return Network(model.eval(), network.tokenizer)


def publish(network: Network, data_dir: Path) -> None:
    """As a finished job does, under `NAME`."""
    settings, model_id = Settings(data_dir=data_dir), new_id("mdl")
    card = ModelCard("choosing", LABELS, 512, "shape", "job_0", "0" * 64, [])
    database = Database(settings.sql_url)
    migrate(database)
    artifacts = ArtifactStore(settings.artifacts_dir)
    with artifacts.staging() as folder:
        save_published(network.model, LABELS, "choosing", folder)
        save_tokenizer(network.tokenizer, 512, folder)
        write_card(card, folder)
        manifest = artifacts.publish(folder, "models", model_id)
    row = {
        "id": model_id,
        "project": DEFAULT_PROJECT,
        "name": NAME,
        "task": "choosing",
        "labels": LABELS,
        "base_model": "shape",
        "metrics": {},
    }
    with database.write() as tx:
        models.add(
            tx,
            row
            | {
                "job_id": "job_0",
                "dataset_id": "ds_0",
                "val_sha256": "0" * 64,
                "val_loss": 0.0,
                "manifest_sha256": manifest,
            },
        )
    database.close()


def write_stock(network: Network, folder: Path) -> None:
    """What others serve: the same encoder under the stock head, without our pooling layer."""
    config = type(network.model.config).from_dict(network.model.config.to_dict())
    config.num_labels = len(LABELS)
    model = XLMRobertaForSequenceClassification(config)
    model.roberta.load_state_dict(network.model.encoder.state_dict())
    model.save_pretrained(folder)
    save_tokenizer(network.tokenizer, 512, folder)
