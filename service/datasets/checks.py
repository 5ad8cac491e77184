"""From rows as they were sent to a checked data set, or to complaints that name split, row and field."""

from collections.abc import Mapping
from typing import cast

from service.datasets.complaints import Complaints, counted
from service.datasets.dataset import NOTHING, Dataset, Example, Scalar
from service.datasets.rows import SEPARATOR, RawRow, RawSplit, is_unlabelled
from service.settings import Settings
from service.store.records import Task

MAX_LABEL = 200  # characters


def check_sizes(raw: Mapping[str, RawSplit], settings: Settings, complaints: Complaints) -> None:
    """Before any row is left out: of a split with too many, no more than one over the limit was read."""
    sizes = {name: len(split.rows) for name, split in raw.items()}
    for name, rows in sizes.items():
        if not rows:
            complaints.add("has no rows", split=name)
        if rows > settings.max_rows:
            complaints.add(f"has too many rows; the most here is {settings.max_rows}", split=name)
    if max(sizes.values()) <= settings.max_rows < (total := sum(sizes.values())):
        complaints.add(f"{total} rows in all; the most here is {settings.max_rows}")


def to_examples(
    split: RawSplit, name: str, task: Task, settings: Settings, complaints: Complaints, *, numbered: bool = False
) -> list[Example]:
    """Checked examples, `numbered` where they will be cut; a row with a fault gives a complaint."""
    examples = []
    for number, row in split.numbered():
        text = _text(row, name, number, settings.max_text_bytes, complaints)
        labels = _labels(row, split, task, name, number, complaints)
        _check_extra(row, name, number, settings.max_text_bytes, complaints)
        extra = cast("Mapping[str, Scalar]", row.extra)  # as the check has found; a copy would be much memory
        sent_row = number if numbered or split.numbers else None
        examples.append(Example(text, labels, extra or NOTHING, sent_row, name))
    return examples


def why_unsafe(text: str) -> str | None:
    """What makes a string unfit to be stored and sent on: a lone surrogate or a NUL."""
    if "\0" in text:
        return "contains a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "contains half a surrogate pair, which is not Unicode text"
    return None


def _text(row: RawRow, split: str, number: int, max_bytes: int, complaints: Complaints) -> str:
    text = row.text
    if not isinstance(text, str):
        message: str | None = "must be a string"
    elif not text.strip():
        message = "is empty; remove the row"
    else:
        message = why_unsafe(text) or _why_long(text, max_bytes)
    if message:
        complaints.add(message, split=split, row=number, field="Text")
    return text if isinstance(text, str) else ""


def _why_long(text: str, max_bytes: int) -> str | None:
    too_long = len(text) > max_bytes // 4 and len(text.encode()) > max_bytes
    return f"is longer than {max_bytes} bytes; cut it" if too_long else None


def _labels(
    row: RawRow, sent: RawSplit, task: Task, split: str, number: int, complaints: Complaints
) -> tuple[str, ...]:
    def complain(message: str) -> tuple[str, ...]:
        complaints.add(message, split=split, row=number, field="Labels")
        return ()

    value = row.labels
    if is_unlabelled(row) and not (sent.cells and task == "deciding"):
        return complain(_why_unlabelled(value, task))
    if sent.cells and isinstance(value, str):
        value = (
            value.strip() if task == "choosing" else [part.strip() for part in value.split(SEPARATOR) if part.strip()]
        )
    if sent.wide and task == "choosing" and isinstance(value, list):
        if len(value) != 1:
            held = counted(len(value), "label column")
            return complain(f"has 1 in {held}; write it in exactly one of them, because the task is choosing")
        value = value[0]
    if not isinstance(value, str if task == "choosing" else list):
        return complain(_why_of_other_type(value, task))
    labels = [value] if isinstance(value, str) else list(value)
    for label in labels:
        if message := _label_fault(label):
            return complain(message)
    if len(set(labels)) != len(labels):
        return complain("names a label twice")
    return tuple(labels)


def _why_unlabelled(value: object, task: Task) -> str:
    either = ", or [] where the task is deciding and none applies" if value is None or task == "deciding" else ""
    found = "null" if value is None else "empty"
    return f"is {found}; give every row a label{either}, or send unlabelled=skip to leave such rows out"


def _why_of_other_type(value: object, task: Task) -> str:
    """Numbers first: that they are not strings is what their sender does not think of."""
    if isinstance(value, int | float):
        written = "in quotation marks" if task == "choosing" else "as a list of strings, because the task is deciding"
        return f"is {_kind(value)}; write it {written}"
    if task == "choosing":
        return "must be one string, because the task is choosing; lists of labels are for deciding"
    return "must be a list of strings, because the task is deciding; an empty list means no label"


def _kind(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else "a number"


def _label_fault(label: object) -> str | None:
    if label is None:
        return "holds null; leave it out of the list"
    if isinstance(label, int | float):
        return f"holds {_kind(label)}; write it in quotation marks"
    if not isinstance(label, str):
        return "must hold strings only"
    if not label.strip():
        return "holds an empty label; leave it out of the list"
    if len(label) > MAX_LABEL:
        return f"is longer than {MAX_LABEL} characters; is it a text in the label's place?"
    return why_unsafe(label)


def _check_extra(row: RawRow, split: str, number: int, max_bytes: int, complaints: Complaints) -> None:
    for name, value in row.extra.items():
        if not isinstance(value, Scalar):
            complaints.add("must be a string, a number, true, false or null", split=split, row=number, field=name)
        elif message := why_unsafe(name):
            complaints.add(message, split=split, row=number)
        elif isinstance(value, str) and (message := why_unsafe(value) or _why_long(value, max_bytes)):
            complaints.add(message, split=split, row=number, field=name)


def check_labels(dataset: Dataset, settings: Settings, complaints: Complaints) -> None:
    """Complaints about the label set: too few, too many, or a label that cannot be learnt."""
    known = {label for row in dataset.splits["train"] for label in row.labels}
    least, needed = (2, "2 different labels to tell apart") if dataset.task == "choosing" else (1, "1 label")
    if len(dataset.labels) < least:
        complaints.add(f"train needs at least {needed}; add examples", split="train", field="Labels")
    if len(dataset.labels) > settings.max_labels:
        complaints.add(
            f"{len(dataset.labels)} different labels; the most here is {settings.max_labels}", field="Labels"
        )
    reported: set[str] = set()
    for name in ("val", "test"):
        for number, row in enumerate(dataset.splits.get(name, [])):
            for label in set(row.labels) - known - reported:
                reported.add(label)
                split, place = row.place(name, number)
                where = f" of {name}" if split != name else ""
                message = f"label {label!r}{where} does not occur in train, so it cannot be learnt; add examples"
                complaints.add(f"{message} or remove it", split=split, row=place, field="Labels")
