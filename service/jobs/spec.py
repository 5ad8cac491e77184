"""What a training job may ask for, every hyperparameter with its bounds, and what 'auto' comes to."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.nulls import NullIsLeftOut

Auto = Literal["auto"]
OptimizerName = Literal["sam", "asam", "adamw"]
ClassWeight = Literal["balanced", "none"]
HeadRows = Literal["train", "train_and_val"]
HEAD_SPLITS: dict[HeadRows, tuple[str, ...]] = {"train": ("train",), "train_and_val": ("train", "val")}
NEVER = 1.0  # the `sam_start` of whoever does not climb


class Hyperparameters(NullIsLeftOut):
    """As asked for: each may be left out, null or "auto"."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    batch_size: Annotated[int, Field(ge=1, le=1024)] | Auto = "auto"
    learning_rate: Annotated[float, Field(gt=0, le=1)] | Auto = "auto"
    num_epochs: Annotated[int, Field(ge=1, le=1000)] | Auto = "auto"
    patience: Annotated[int, Field(ge=1, le=1000)] | Auto = "auto"
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] | Auto = "auto"
    weight_decay: Annotated[float, Field(ge=0, le=1)] | Auto = "auto"
    max_length: Annotated[int, Field(ge=8, le=512)] | Auto = "auto"
    max_grad_norm: Annotated[float, Field(gt=0, le=1000)] | Auto = "auto"
    optimizer: OptimizerName | Auto = "auto"
    rho: Annotated[float, Field(ge=0, le=10)] | Auto = "auto"
    sam_start: Annotated[float, Field(ge=0, le=1)] | Auto = "auto"
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"
    fine_tuned_share: Annotated[float, Field(gt=0, le=1)] | Auto = "auto"
    frozen_share: Annotated[float, Field(ge=0, lt=1)] | Auto = "auto"
    head_rows: HeadRows | Auto = "auto"
    class_weight: ClassWeight | Auto = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**32)] | Auto = "auto"
    repeats: Annotated[int, Field(ge=1, le=10)] | Auto = "auto"

    @model_validator(mode="after")
    def _only_climbers_climb(self) -> Self:
        """What has no effect is refused; `sam` with a radius of 0 is a point of a sweep, and means what it says."""
        if self.optimizer == "adamw" and self.rho not in ("auto", 0):
            raise ValueError("rho is the radius of a climb, which adamw has not; leave it out, or choose sam or asam")
        if self.optimizer == "adamw" and self.sam_start not in ("auto", NEVER):
            raise ValueError("sam_start is when climbs begin, and adamw has none; leave it out, or choose sam or asam")
        return self


class ResolvedHyperparameters(BaseModel):
    """As the run uses them. `learning_rate` is the peak of the schedule; `max_length` counts tokens, special ones
    included; `patience`: so many epochs without a lower validation loss end a run, counted from where it climbs; `rho`
    is the radius of the climb (Foret et al. 2021; Kwon et al. 2021), which begins after the share `sam_start` of the
    steps; `ema_decay` that of the average of weights; `fine_tuned_share` that of these in the weights which are
    validated and kept, the rest being pretrained (Wortsman et al. 2022), 1 for all; `frozen_share` of the layers, from
    the lowest up and with the embeddings, are not trained (Lee et al. 2019); `head_rows`: with `train_and_val` the head
    is fitted anew to both once validation has chosen the weights; `repeats`: runs under as many seeds from `seed` on,
    of which the first is published and the others measured."""

    model_config = ConfigDict(extra="ignore", frozen=True)  # rows may be of a later version, in a rolling upgrade

    batch_size: int
    learning_rate: float
    num_epochs: int
    patience: int
    warmup_ratio: float
    weight_decay: float
    max_length: int
    max_grad_norm: float
    optimizer: OptimizerName
    rho: float
    sam_start: float
    ema_decay: float
    fine_tuned_share: float
    frozen_share: float
    head_rows: HeadRows
    class_weight: ClassWeight
    seed: int
    repeats: int

    @model_validator(mode="before")
    @classmethod
    def _as_it_was(cls, stored: dict[str, Any]) -> dict[str, Any]:
        """Jobs of earlier versions lack what came later, or tell of climbs that adamw never made; this is how they were
        run, in words that may be sent again."""
        climbs = {"sam_start": NEVER} if stored.get("optimizer") == "adamw" else {}
        return {"patience": stored.get("num_epochs"), "frozen_share": 0.0, "repeats": 1} | stored | climbs


# Kwon et al. 2021 find ASAM's best radius about ten times SAM's.
_RHO: dict[OptimizerName, float] = {"sam": 0.05, "asam": 0.5, "adamw": 0.0}
FEW_ROWS = 5_000
BATCH_SIZE = 16
LEAST_STEPS = 36  # that validation is waited for


def resolve(asked: Hyperparameters, *, train_rows: int, base_model: str) -> ResolvedHyperparameters:
    """The defaults behind "auto". Few examples are read more often: the steps matter, not the epochs."""
    optimizer = _optimizer(asked)
    few = train_rows <= FEW_ROWS
    num_epochs = min(20, max(5, math.ceil(2000 / train_rows))) if asked.num_epochs == "auto" else asked.num_epochs
    defaults = {
        "batch_size": BATCH_SIZE,
        "learning_rate": 1e-4 if base_model.startswith("bundled/") else 3e-5,  # small models take larger steps
        "num_epochs": num_epochs,
        "patience": _patience(train_rows, asked) if asked.num_epochs == "auto" else num_epochs,  # asked for: all made
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "max_length": 512,
        "max_grad_norm": 1.0,
        "optimizer": optimizer,
        "rho": _RHO[optimizer],
        "sam_start": 0.75,  # late climbs find as flat a minimum for a fraction of the time (Zhou et al. 2025)
        "ema_decay": 0.95,
        "fine_tuned_share": 0.5 if few else 1.0,  # many rows know better than the pretrained weights
        "frozen_share": 0.0,  # half of the layers frozen is half the time, but cost 4 points in a language (Hausa)
        "head_rows": "train_and_val" if few else "train",  # a third of all labelled texts would else teach nothing
        "class_weight": "balanced",  # macro-F1 counts every label alike, and few rows leave rare ones unseen
        "seed": 0,
        "repeats": 1,
    }
    given = {name: value for name, value in asked.model_dump().items() if value != "auto"}
    return ResolvedHyperparameters(**(defaults | given))


def _patience(train_rows: int, asked: Hyperparameters) -> int:
    """Epochs. Of a few rows three epochs are a handful of steps, which the warm-up alone may take."""
    batch_size = BATCH_SIZE if asked.batch_size == "auto" else asked.batch_size
    return max(3, math.ceil(LEAST_STEPS / math.ceil(train_rows / batch_size)))


def _optimizer(asked: Hyperparameters) -> OptimizerName:
    """AdamW: on the benchmark's sets climbs cost time and bring nothing. Who says how to climb wants to."""
    if asked.optimizer != "auto":
        return asked.optimizer
    asks_to_climb = asked.rho != "auto" or asked.sam_start != "auto"
    return "sam" if asks_to_climb and asked.rho != 0 else "adamw"
