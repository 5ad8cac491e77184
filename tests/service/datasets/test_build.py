"""What is said of an upload whose splits cannot become a data set together."""

import pytest

from parts.toy_text import choosing, columns
from service.datasets.cutting import Cut
from service.datasets.ingest import Submission, Upload, build_dataset
from service.errors import DatasetInvalid, Detail
from service.settings import read_settings


def complaint_of(cut: Cut | None = None, /, **splits: object) -> Detail:
    with pytest.raises(DatasetInvalid) as raised:
        build_dataset(Submission("fruit", None, None, dict(splits), cut or Cut()), read_settings())
    return raised.value.details[0]


def with_label_each(rows: int) -> dict[str, list[str]]:
    """No label occurs twice."""
    return {"Text": [f"text {row}" for row in range(rows)], "Labels": [f"label {row}" for row in range(rows)]}


def test_an_empty_cell_of_a_table_beside_strings_is_the_one_that_is_named() -> None:
    detail = complaint_of(train=columns(*choosing(30)), val=Upload("val.csv", b"text,label\nx,\ny,fruit\n"))
    assert (detail.split, detail.row, detail.field) == ("val", 0, "Labels")
    assert detail.message == "is empty; give every row a label, or send unlabelled=skip to leave such rows out"


@pytest.mark.parametrize("rows", [2, 4])
def test_too_few_rows_to_cut_from_are_told_so(rows: int) -> None:
    detail = complaint_of(train=with_label_each(rows))
    assert (detail.split, detail.row) == ("val", None)
    assert detail.message == "train is too small to cut val from it; add rows or send val yourself"


def test_labels_with_too_few_examples_to_cut_from_are_told_so() -> None:
    sent = with_label_each(100)
    assert complaint_of(train=sent).message == (
        "100 of 100 labels have one example, which train needs, so none is left to cut val from; "
        "add examples of each label, merge labels, or send val yourself"
    )
    detail = complaint_of(Cut(test=0.5), train=with_label_each(4), val=with_label_each(4))
    assert detail.split == "test"
    assert detail.message.startswith("4 of 4 labels have one example")
