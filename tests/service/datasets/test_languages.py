"""A language that nobody knows by that name gets a warning, and the world's languages do not."""

import pytest

from service.datasets.ingest import Submission, build_dataset
from service.datasets.languages import CODES, NAMES, language_warnings
from service.datasets.warnings import dataset_warnings
from service.models.base_models import for_language
from service.settings import read_settings

CODED = [None, "de", "en-US", "zh_Hans", "pt-BR", "deu", "hau-NG", "mni", "es-419", "nqo"]
NAMED = [
    "german",
    "Français",
    " franc\u0327ais ",
    "Swahili",
    "Türkçe",
    "Haitian-Creole",
    "中文",
    "Tiếng Việt",
    "any other",
    "Norwegian (Bokmål)",
    "Portuguese (Brazil)",
    "N'Ko",
    "N’Ko",
    "O'zbek",
]


@pytest.mark.parametrize("language", [*CODED, *NAMED])
def test_languages_are_known_by_name_and_code(language: str | None) -> None:
    assert language_warnings(language) == []


@pytest.mark.parametrize(
    ("language", "meant"),
    [("Germn", "german"), ("Deutsche", "deutsch"), ("Engish", "english"), ("qq", None), ("Germn (Austria)", "german")],
)
def test_what_is_no_language_gets_a_warning_that_says_what_may_be_meant(language: str, meant: str | None) -> None:
    (warning,) = language_warnings(language)
    assert warning["code"] == "language_unknown"
    assert warning["message"].startswith(f"{language!r} is no language known here")
    assert f", as {meant!r} is" in warning["message"] if meant else ", as " not in warning["message"]
    assert for_language(language) == for_language(None)


def test_the_data_set_carries_the_warning() -> None:
    train = {"Text": [f"text {row}" for row in range(60)], "Labels": ["a", "b"] * 30}
    dataset = build_dataset(Submission("x", None, "Germn", {"train": train}), read_settings())
    assert [warning["code"] for warning in dataset_warnings(dataset)] == ["language_unknown"]


def test_whatever_has_a_base_model_of_its_own_is_known() -> None:
    own = [name for name in {*CODES, *NAMES} if for_language(name) != for_language(None)]
    assert sorted(own) == ["de", "deutsch", "en", "english", "fr", "francais", "français", "french", "german"]
