"""How users train without us, for time and memory: the tutorial's loop, and Hugging Face's Trainer in its defaults."""

import tempfile
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from benchmarks.training_request import Meter, Outcome, Request

RHO = 0.05  # the tutorial's, for ASAM too
ASAM = True


def tutorial(request: Request) -> Outcome:
    """float32, every text padded to the longest, both passes of ASAM at each step, all parameters in AdamW, dropout
    left off, all of validation after each epoch: what the notebook does, without its faults in the schedule."""
    meter = Meter()
    model, tokenizer = _load(request)
    columns = tokenizer(request.train.texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
    rows = list(zip(columns["input_ids"], columns["attention_mask"], request.train.targets, strict=True))
    torch.manual_seed(request.seed)
    loader: DataLoader[Any] = DataLoader(rows, batch_size=request.batch_size, shuffle=True)  # type: ignore[arg-type]
    optimizer = TutorialSAM(model, request.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer.base, len(loader) * request.epochs)
    load = meter.read()
    for _ in range(request.epochs):
        for ids, mask, targets in loader:
            inputs = {"input_ids": ids, "attention_mask": mask, "labels": targets}
            model(**inputs).loss.backward()
            optimizer.climb()
            model(**inputs).loss.backward()
            optimizer.descend()
            schedule.step()
        logits = _padded_logits(model, tokenizer, request)
    return Outcome(load, meter.read(), len(loader) * request.epochs, logits.tolist())


class TutorialSAM:
    """As in davda54/sam, which the tutorial takes: parameter by parameter, old weights kept, AdamW as its base."""

    def __init__(self, model: nn.Module, learning_rate: float) -> None:
        self.parameters = list(model.parameters())
        self.base = torch.optim.AdamW(self.parameters, lr=learning_rate)
        self.old: dict[nn.Parameter, Tensor] = {}

    @torch.no_grad()
    def climb(self) -> None:
        moved = [(p, p.grad) for p in self.parameters if p.grad is not None]
        norm = torch.stack([((p.abs() if ASAM else 1.0) * grad).norm() for p, grad in moved]).norm()
        for p, grad in moved:
            self.old[p] = p.clone()
            p.add_((p.pow(2) if ASAM else 1.0) * grad * (RHO / (norm + 1e-12)))
        self.base.zero_grad()

    @torch.no_grad()
    def descend(self) -> None:
        for p, old in self.old.items():
            p.copy_(old)
        self.base.step()
        self.base.zero_grad()


def trainer(request: Request) -> Outcome:
    """Every default of `TrainingArguments` but epochs and batch size, which are those of the others."""
    from transformers import Trainer, TrainingArguments  # they need a package that the product does without

    meter = Meter()
    model, tokenizer = _load(request)
    encoded = tokenizer(request.train.texts, truncation=True, max_length=512)["input_ids"]
    rows = [{"input_ids": ids, "labels": target} for ids, target in zip(encoded, request.train.targets, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        quiet: dict[str, Any] = {"save_strategy": "no", "report_to": "none", "disable_tqdm": True}
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=request.epochs,
            per_device_train_batch_size=request.batch_size,
            seed=request.seed,
            **quiet,
        )
        collate = DataCollatorWithPadding(tokenizer)
        training = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)
        load = meter.read()
        training.train()
    train, logits = meter.read(), _padded_logits(model, tokenizer, request)
    return Outcome(load, train, training.state.global_step, logits.tolist())


def _load(request: Request) -> tuple[Any, Any]:
    torch.manual_seed(request.seed)  # of the head
    tokenizer = AutoTokenizer.from_pretrained(request.checkpoint)
    model = AutoModelForSequenceClassification.from_pretrained(
        request.checkpoint, num_labels=len(request.labels), dtype=torch.float32
    )
    return model, tokenizer


@torch.inference_mode()
def _padded_logits(model: Any, tokenizer: Any, request: Request) -> Tensor:
    """Of the validation texts, in batches as they come; shape (rows, labels)."""
    was_training = model.training
    model.eval()
    found = []
    for first in range(0, len(request.val.texts), request.batch_size):
        texts = request.val.texts[first : first + request.batch_size]
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
        found.append(model(**inputs).logits)
    model.train(was_training)
    return torch.cat(found)
