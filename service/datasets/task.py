"""Which task a data set is for, where its sender does not say."""

from collections.abc import Mapping, Sequence

from service.datasets.complaints import Complaints
from service.datasets.dataset import Place
from service.datasets.rows import SEPARATOR, RawSplit
from service.store.records import Task


def infer_task(splits: Mapping[str, RawSplit], complaints: Complaints) -> tuple[Task, list[Place]]:
    """Lists of labels mean deciding, single strings choosing; one split of each is a complaint.

    A table cannot show which it is: where all splits are tables, a separator in a cell, or a row without a label,
    means deciding; such cells are returned, where nothing but they decided it.
    """
    forms = {name: {type(row.labels) for row in split.rows} & {str, list} for name, split in splits.items()}
    strings = [name for name, split in splits.items() if not split.cells and str in forms[name]]
    if any(list in own for own in forms.values()):
        _complain_of_two_forms(
            [name for name in strings if list not in forms[name]],
            [name for name, own in forms.items() if own == {list}],
            complaints,
        )
        return "deciding", []
    if strings:
        return "choosing", []
    cells = [
        (name, number)
        for name, split in splits.items()
        for number, row in split.numbered()
        if isinstance(row.labels, str) and (SEPARATOR in row.labels or not row.labels.strip())
    ]
    return "deciding" if cells else "choosing", cells


def _complain_of_two_forms(strings: Sequence[str], lists: Sequence[str], complaints: Complaints) -> None:
    if strings and lists:
        message = (
            f"labels are strings in {' and '.join(strings)}, but lists of strings in {' and '.join(lists)}; write all "
            "as strings, for choosing, or all as lists, for deciding"
        )
        complaints.add(message, split=lists[0] if "train" in strings else strings[0], field="Labels")
