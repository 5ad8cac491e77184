"""Near duplicates are found in every script, and texts that only look alike are let be."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parts.toy_text import PROSE
from service.datasets import near_duplicates as module
from service.datasets.near_duplicates import common_letters, letters_of, near_duplicates, near_kinds, too_many

FILLER = [text for texts in PROSE.values() for text in texts]
SAME = [
    ("Please cancel my order today", "please, cancel my order... TODAY!"),
    ("Top up 10 euros to my account", "Top up 2,500 euros to my account"),
    ("The parcel never arrived at my door", "@shop The parcel never arrived at my door https://t.co/x1"),
    ("I was charged twice for the same thing", "I was chaged twice for the same thing"),
    ("Why was the payment that I made declined?", "Why was the card payment that I made declined?"),
    ("This evening is so wonderful", "This evening is soooooooo wonderful!!!"),
    ("Der Akku ist nach drei Stunden leer", "Der Akku ist nach drei Stunden ler"),
    ("Die STRASSE ist wegen Eis gesperrt", "Die Straße ist wegen Eis gesperrt!"),
    ("Le cafe\u0301 est ferme\u0301 depuis ce matin", "Le café est fermé depuis ce matin."),
    ("Какой прекрасный вечер был вчера", "Какой прекрасный вечир был вчера!"),
    ("Τι όμορφη βραδιά, το φαγητό ήταν εξαιρετικό", "Τι όμορφη βραδιά το φαγητό ήταν εξαιρετικο"),
    ("يا لها من أمسية جميلة كان الطعام ممتازا", "يا لها من أمسية جميلة، كان الطعم ممتازا"),
    ("यह शाम बहुत सुंदर थी और खाना अच्छा था", "यह शाम बहुत सुंदर थी, और खाना अछा था।"),
    ("วันนี้อากาศดีมากเราไปเที่ยวสวนกันเถอะ", "วันนี้อากาศดีมาก เราไปเทียวสวนกันเถอะ 555"),
    ("今天的天气很好我们一起去公园散步吧", "今天的天气很好,我们一齐去公园散步吧!"),
    ("今日はとても天気がいいので公園に行きました", "今日はとても天気が良いので公園に行きました!"),
    ("오늘은 날씨가 정말 좋아서 공원에 갔습니다", "오늘은 날씨가 정말 조아서 공원에 갔습니다~"),
]
DIFFERENT = [
    ("good day", "good dad"),
    ("good day", "bad day"),
    ("room 12", "room 13"),
    ("C++", "C#"),
    ("1 + 1 = 2", "1 + 1 = 3"),
    ("😀😀😀", "😡😡😡"),
    ("很好", "很坏"),
    ("我喜欢苹果", "我喜欢香蕉"),
    ("อยากกิน", "อยากนอน"),
    ("it is a credit card", "it is a debit card"),
    ("I love this film very much", "I hate this film very much"),
    ("今天天气很好我们去公园", "今天天气很坏我们去学校"),
    ("How do I get a refund for a lost parcel?", "How do I get a receipt for a paid parcel?"),
    ("Der Zug nach Hamburg ist pünktlich", "Der Flug nach Hannover ist pünktlich"),
]


def found(later: str, earlier: str, *, thorough: bool = True) -> bool:
    """Whether `later` is found among others, and nothing else is."""
    twins = near_duplicates([later, "Something else altogether"], [*FILLER, earlier], thorough=thorough)
    assert twins in ({}, {0: len(FILLER)})
    return bool(twins)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_says_the_same_is_found(one: str, other: str) -> None:
    assert found(one, other)
    assert found(other, one)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_says_something_else_is_not(one: str, other: str) -> None:
    assert not found(one, other)
    assert not found(other, one)


def test_a_search_that_is_not_thorough_finds_what_differs_in_no_letter() -> None:
    one, changed, typo = (
        "Please cancel order 7 today",
        "@shop please cancel ORDER 12, today!",
        "Please cancl order 7 today",
    )
    assert (found(changed, one, thorough=False), found(typo, one, thorough=False)) == (True, False)


def test_what_follows_a_link_or_a_name_without_a_space_is_compared() -> None:
    assert letters_of("https://t.co/x今天天气 @shop很好") == "今天天气很好"


@pytest.mark.parametrize("texts", [([], ["a"]), (["a"], []), ([], []), (["…"], ["!"])])
def test_nothing_is_found_in_nothing(texts: tuple[list[str], list[str]]) -> None:
    assert near_duplicates(*texts, thorough=True) == {}


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    later, earlier = [one for one, _ in SAME], [other for _, other in SAME]
    whole = near_duplicates(later, earlier, thorough=True)
    assert whole == {index: index for index in range(len(SAME))}
    monkeypatch.setattr(module, "BLOCK", 1)
    assert near_duplicates(later, earlier, thorough=True) == whole


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_says_the_same_is_of_one_kind(one: str, other: str) -> None:
    kinds = near_kinds([one, *FILLER, other], thorough=True)
    assert kinds == [0, *range(1, len(FILLER) + 1), 0]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_says_something_else_is_of_another_kind(one: str, other: str) -> None:
    assert near_kinds([other, *FILLER, one], thorough=True) == list(range(len(FILLER) + 2))


def test_texts_that_are_alike_over_others_are_of_one_kind() -> None:
    text, more = "The train to the old harbour was late again, so we all waited at the station", "really quite awfully"
    chain = [" ".join([text, *more.split()[:words]]) for words in range(4)]
    assert not near_duplicates(chain[:1], chain[-1:], thorough=True)
    assert near_kinds(chain, thorough=True) == [0] * 4


def test_equal_texts_are_of_one_kind_however_short() -> None:
    texts = ["good", "bad", " GOOD", "bad!", "Please cancel order 7", "please cancel order, 8", "Please cancl order 7"]
    assert near_kinds(texts, thorough=False) == [0, 1, 0, 3, 4, 4, 6]
    assert near_kinds([], thorough=True) == []


def test_blocks_do_not_change_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for pair in SAME for text in pair]
    whole = near_kinds(texts, thorough=True)
    assert whole == [index - index % 2 for index in range(len(texts))]
    monkeypatch.setattr(module, "BLOCK", 1)
    assert near_kinds(texts, thorough=True) == whole


def test_too_many_texts_or_letters_are_not_searched() -> None:
    assert (too_many(["a"] * 3, 3), too_many(["a"] * 4, 3)) == (False, True)
    assert too_many(["a" * 10_000] * 5000) is False  # a text counts for what is compared of it
    assert too_many(["a" * 10_000] * 5001) is True


def test_long_texts_are_compared_by_what_a_model_reads() -> None:
    long = " ".join(FILLER * 3)
    assert found(long + " and so on", long.replace("battery", "batery"))
    assert not found(long, "".join(reversed(long)))


@given(st.text("abc", max_size=30), st.text("abc", max_size=30))
def test_common_letters_are_those_of_the_table(one: str, other: str) -> None:
    row = [0] * (len(other) + 1)
    for letter in one:
        above, row = row, [0]
        for place, own in enumerate(other):
            row.append(above[place] + 1 if own == letter else max(above[place + 1], row[place]))
    assert common_letters(one, other) == row[-1]


def test_five_thousand_texts_take_little_time() -> None:
    """Templates, of which each is like many others, are the hard case."""
    template = "my card payment for the {} that I ordered from {} was declined on the way to {}"
    names = [chr(97 + row % 26) * 2 + chr(97 + row // 26 % 26) * 5 + chr(97 + row // 676) * 4 for row in range(5000)]
    texts = [template.format(name, name[::-1], name[3:] + name[:3]) for name in names]
    start = time.process_time()
    near_duplicates(texts[3000:], texts[:3000], thorough=True)
    near_kinds(texts, thorough=True)
    assert time.process_time() - start < 15  # about three seconds on a busy core
