"""The test report of a job: what was measured, once, on texts that neither training nor selection saw."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from service.store.records import Task

REPORT_JSON, REPORT_TEXT = "report.json", "report.txt"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ConfusionMatrix(_Part):
    """`counts[i][j]`: texts of label i that were given label j."""

    labels: list[str]
    counts: list[list[int]]


class LabelCounts(_Part):
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int


class Misclassified(_Part):
    """A text of the test split whose labels were not all right. `row` counts from 0; a long text is cut."""

    row: int
    text: str
    true_labels: list[str]
    predicted_labels: list[str]
    scores: dict[str, float]


class TestResult(_Part):
    """`classification_report` is scikit-learn's, as a dictionary. `confusion_matrix` for choosing,
    `label_counts` for deciding. `misclassified`: the surest mistakes first, `misclassified_rows` of them in all."""

    rows: int
    loss: float
    accuracy: float
    macro_f1: float
    micro_f1: float
    truncated_rows: int
    classification_report: dict[str, Any]
    confusion_matrix: ConfusionMatrix | None
    label_counts: dict[str, LabelCounts] | None
    misclassified_rows: int
    misclassified: list[Misclassified]


class Validation(_Part):
    """`history`: one entry an epoch; `best`: the one whose weights were kept, chosen by `val_loss` alone."""

    best: dict[str, Any]
    history: list[dict[str, Any]]


class Reproduction(_Part):
    """Everything needed to run it again."""

    dataset_sha256: str
    base_model: str
    hyperparameters: dict[str, Any]
    seed: int
    device: str
    versions: dict[str, str]


class Report(_Part):
    job_id: str
    model_id: str
    dataset_id: str
    task: Task
    labels: list[str]
    test: TestResult
    validation: Validation
    reproduction: Reproduction
