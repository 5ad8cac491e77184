"""The peers that need torch: frozen embeddings, Hugging Face's Trainer, SetFit. In the peers' environment only."""

import tempfile
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from setfit import SetFitModel
from setfit import Trainer as SetFitTrainer
from setfit import TrainingArguments as SetFitArguments
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from benchmarks.peers import Answer, Contest
from benchmarks.scores import Probabilities

TRAINER_EPOCHS = 10
SETFIT_ITERATIONS = 5


def _mean_pooled(contest: Contest) -> Any:
    words = Transformer(contest.checkpoint)
    return SentenceTransformer(modules=[words, Pooling(words.get_embedding_dimension(), pooling_mode="mean")])


def embed(contest: Contest) -> dict[str, Any]:
    """Mean-pooled embeddings of the base model as it is, of shape (rows, width), for each split."""
    model = _mean_pooled(contest)
    return {split: model.encode(texts, show_progress_bar=False) for split, texts in contest.texts.items()}


def train_with_trainer(contest: Contest) -> Answer:
    """Every default of `TrainingArguments` but 10 epochs; the last epoch answers."""
    set_seed(contest.seed)
    tokenizer = AutoTokenizer.from_pretrained(contest.checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(
        contest.checkpoint,
        num_labels=contest.truth["train"].shape[1],
        problem_type=f"{'single' if contest.task == 'choosing' else 'multi'}_label_classification",
    )
    splits = {split: tokenizer(texts, truncation=True)["input_ids"] for split, texts in contest.texts.items()}
    rows = {split: Dataset.from_dict({"input_ids": ids}) for split, ids in splits.items()}
    targets = contest.targets if contest.task == "choosing" else contest.targets.astype(np.float32)
    train = rows["train"].add_column("labels", targets.tolist())
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=_trainer_arguments(folder, contest.seed),
            train_dataset=train,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        return {split: _probabilities(trainer.predict(rows[split]).predictions, contest) for split in ("val", "test")}


def _trainer_arguments(folder: str, seed: int) -> TrainingArguments:
    quiet: dict[str, Any] = {"save_strategy": "no", "report_to": "none", "disable_tqdm": True}
    return TrainingArguments(output_dir=folder, num_train_epochs=TRAINER_EPOCHS, seed=seed, **quiet)


def _probabilities(logits: Any, contest: Contest) -> Probabilities:
    tensor = torch.from_numpy(logits).double()
    return np.asarray(tensor.softmax(dim=1) if contest.task == "choosing" else tensor.sigmoid())


def train_with_setfit(contest: Contest) -> Answer:
    """Every default of SetFit but 5 iterations: pairs of texts first, then a logistic head."""
    deciding = contest.task == "deciding"
    set_seed(contest.seed)
    model = SetFitModel(
        model_body=_mean_pooled(contest),
        model_head=OneVsRestClassifier(LogisticRegression()) if deciding else LogisticRegression(),
        multi_target_strategy="one-vs-rest" if deciding else None,
    )
    rows = Dataset.from_dict({"text": contest.texts["train"], "label": contest.targets.tolist()})
    quiet: dict[str, Any] = {"save_strategy": "no", "report_to": "none", "show_progress_bar": False}
    with tempfile.TemporaryDirectory() as folder:
        arguments = SetFitArguments(output_dir=folder, num_iterations=SETFIT_ITERATIONS, seed=contest.seed, **quiet)
        SetFitTrainer(model=model, args=arguments, train_dataset=rows).train()
    return {split: np.asarray(model.predict_proba(contest.texts[split], as_numpy=True)) for split in ("val", "test")}
