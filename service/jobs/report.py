"""The test report of a job: what was measured, once, on texts that neither training nor selection saw."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from service.store.records import Task

REPORT_JSON, REPORT_TEXT, REPORT_PAGE = "report.json", "report.txt", "report.html"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Interval(_Part):
    """A figure with its 95 % interval over `support` rows: Wilson's for shares and where all draws of the bootstrap
    agree, else the bootstrap's."""

    value: float
    low: float
    high: float
    support: int


class LabelResult(_Part):
    """`support`: rows that truly have the label. Precision is over the rows that were given it. `kappa`, for deciding:
    Cohen's, of its yes or no; null where all rows, or none, have it and were given it."""

    support: int
    precision: Interval
    recall: Interval
    f1: Interval
    kappa: Interval | None = None


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
    """A text of the test split whose labels were not all right. `row` counts from 0 in the `split` where its sender
    finds it: train, where test was cut from that; a long text is cut. `scores`: the largest, those of the true labels
    and those of the labels given."""

    split: str = "test"  # reports of earlier versions name none, and count in the test split that was cut
    row: int
    text: str
    true_labels: list[str]
    predicted_labels: list[str]
    scores: dict[str, float]


class TestResult(_Part):
    """`intervals` has every figure again with its 95 % interval; `per_label` those of each label.

    `accuracy` of deciding is the share of rows with all labels right (subset accuracy). `classification_report` is
    scikit-learn's, as a dictionary; for deciding, a row rightly given no label counts as right in its `samples avg`, as
    in `samples_f1`. `confusion_matrix` for choosing, `label_counts` for deciding. `misclassified`: the surest mistakes
    first, `misclassified_rows` of them in all.
    """

    rows: int
    loss: float
    accuracy: float
    macro_f1: float
    micro_f1: float
    samples_f1: float | None
    hamming_loss: float | None
    kappa: float | None = None
    truncated_rows: int
    intervals: dict[str, Interval]
    per_label: dict[str, LabelResult]
    classification_report: dict[str, Any]
    confusion_matrix: ConfusionMatrix | None
    label_counts: dict[str, LabelCounts] | None
    misclassified_rows: int
    misclassified: list[Misclassified]


BaselineName = Literal["majority", "tfidf_logistic_regression", "frozen_embeddings_logistic_regression"]


class Baseline(_Part):
    """Something simple, trained and measured on the same rows. `gain` is the model's macro-F1 less this one's, over
    paired bootstrap draws of the test rows; `beaten`: its whole interval is above zero, on at least 20 test rows."""

    name: BaselineName
    accuracy: Interval
    macro_f1: Interval
    gain: Interval
    beaten: bool


class UnmeasuredBaseline(_Part):
    """One that could not be trained: memory ran out. Nothing is known of how it compares."""

    name: BaselineName
    reason: Literal["out_of_memory"]


class Repeat(_Part):
    """One run of the same job: its seed, the validation loss that chose its weights, its figures on the test split."""

    seed: int
    val_loss: float
    accuracy: float
    macro_f1: float


class Repeats(_Part):
    """The same job under several seeds. The first run is the published model; the others were only measured. `sd`:
    standard deviation of a sample."""

    runs: list[Repeat]
    macro_f1_mean: float
    macro_f1_sd: float
    accuracy_mean: float
    accuracy_sd: float


class ReliabilityBin(_Part):
    """Probabilities from `low` up to `high`: their mean, and the share of them that came true."""

    low: float
    high: float
    count: int
    mean_probability: float
    share_true: float


class GivenCalibration(_Part):
    """Of the `claims` labels that were given alone. Of all that deciding claims, most is that a rare label does not
    hold, which is easy to be sure of."""

    claims: int
    ece: Interval
    ece_if_calibrated: float


class CalibrationError(_Part):
    """`ece`: expected calibration error over 15 equal bins (Guo et al. 2017); `ece_if_calibrated`: what a perfectly
    calibrated model with these probabilities would show on average on so few texts. `brier`: squared error, for
    choosing the sum over the labels (0 to 2), for deciding their mean (0 to 1). `intervals` has ECE and Brier score
    again with their 95 % intervals. `given`, for deciding."""

    ece: float
    brier: float
    intervals: dict[str, Interval]
    bins: list[ReliabilityBin]
    ece_if_calibrated: float | None = None
    given: GivenCalibration | None = None


class Calibration(_Part):
    """Of the test split's probabilities: the largest of each row for choosing, each label's for deciding. Logits were
    divided by the temperature and, for deciding, moved by `prior_share` of the log-odds of how frequent each label is
    (0: not at all). Both were fitted on validation and are part of the published weights."""

    temperature: float
    prior_share: float = 0.0
    before: CalibrationError
    after: CalibrationError


class Subset(_Part):
    """Some of the test rows."""

    rows: int
    accuracy: Interval
    macro_f1: Interval
    micro_f1: Interval
    samples_f1: Interval | None = None
    hamming_loss: Interval | None = None


class Slice(Subset):
    """The test rows whose extra column has this value. Macro-F1 is over the labels that they have; samples-F1 and
    Hamming loss are for deciding only."""

    column: str
    value: str


class Transfer(_Part):
    """Macro-F1 of a quick classifier (the frozen-embeddings baseline, for deciding from 0.5) trained on one language
    alone and tested on each: `macro_f1[i][j]` is trained in `trained_in[i]`, tested in `tested_in[j]`; null where there
    is too little to train or test on. The last row but one is the same classifier trained in all; the last is the
    published model, which is another method. `trained_on` and `tested_on`: texts of each row and column."""

    column: str
    trained_in: list[str]
    tested_in: list[str]
    macro_f1: list[list[float | None]]
    trained_on: list[int] = []
    tested_on: list[int] = []


class Suspect(_Part):
    """A training row whose label the out-of-fold baseline contradicts, as sure of another as it is of texts that have
    it (Northcutt et al. 2021): `probability` is what it gives the label in the data."""

    row: int
    text: str
    labels: list[str]
    suggested: list[str]
    probability: float


class SuspectCounts(_Part):
    """Of the training `rows`: those that could be `judged`, because others have their label; those whose label was
    `contradicted`, which hard ones are too; those that are `suspected`, of which the report lists the first."""

    rows: int
    judged: int
    contradicted: int
    suspected: int


class WithoutLeaks(_Part):
    """The test result again, without the `leaked_rows` that are (nearly) in training or validation too; its figures
    are null where no row is left. Macro-F1 is over the labels that are left, and so is `macro_f1_with`, of all test
    rows, to compare it with; samples-F1 and Hamming loss are for deciding only."""

    leaked_rows: int
    rows: int
    accuracy: Interval | None = None
    macro_f1: Interval | None = None
    macro_f1_with: Interval | None = None
    micro_f1: Interval | None = None
    samples_f1: Interval | None = None
    hamming_loss: Interval | None = None


class Selection(_Part):
    """How the weights were chosen, and how often this very test split has been scored by earlier jobs: each look at
    it that leads to another try makes its figures a little too good."""

    chosen_by: str
    test_scored_before: int


class ReportWarning(_Part):
    code: str
    message: str


class Validation(_Part):
    """`history`: one entry an epoch; `best`: the one whose weights were kept, chosen by `val_loss` alone. `val_loss` is
    of the candidate with calibrated probabilities, labels counting as often as they occur; `train_loss` of the weights
    as they are trained, with dropout and weighted labels; `val_macro_f1` of deciding gives each label from 0.5."""

    best: dict[str, Any]
    history: list[dict[str, Any]]


class Reproduction(_Part):
    """Everything needed to run it again. `base_model_sha256`: of the lines that `sha256sum` prints for its files in
    order of their names; `base_model_commit`: the hub's, where the files are from its cache."""

    dataset_sha256: str
    base_model: str
    base_model_sha256: str | None = None
    base_model_commit: str | None = None
    hyperparameters: dict[str, Any]
    seed: int
    device: str
    versions: dict[str, str]


class Report(_Part):
    """`thresholds`, for deciding: the probability from which each label holds, fitted on validation. `repeats`: null
    unless more than one was asked for. `without_leaks`: null where no test row leaked. What has a default is lacking in
    reports of earlier versions."""

    job_id: str
    model_id: str
    dataset_id: str
    task: Task
    labels: list[str]
    warnings: list[ReportWarning]
    test: TestResult
    baselines: list[Baseline]
    unmeasured_baselines: list[UnmeasuredBaseline] = []
    repeats: Repeats | None
    calibration: Calibration
    thresholds: dict[str, float] | None
    slices: list[Slice]
    transfer: Transfer | None
    without_leaks: WithoutLeaks | None
    suspects: list[Suspect]
    suspect_counts: SuspectCounts | None = None
    selection: Selection
    validation: Validation
    reproduction: Reproduction
