"""The tokenizer of the multilingual bundled model: XLM-R's, with the normaliser of the file."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from parts.bundled import SENTENCES, PackageEngine
from service.models.bundled import sentencepiece_normalizer
from service.models.e5s1 import read_e5s1

UNUSUAL = ["ｆｕｌｌ  ｗｉｄｔｈ", "ﬁne～ ½ №5", "𝒳 \u200b x\ty", "ภาษาไทย", "🙂 ok", "ꙮ"]


def test_special_tokens_are_those_of_xlm_roberta(tokenizer: Any) -> None:
    assert tokenizer.is_fast
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert (tokenizer.unk_token_id, tokenizer.mask_token_id) == (3, 250001)
    assert tokenizer.added_tokens_decoder[250001].lstrip
    assert (tokenizer.cls_token, tokenizer.sep_token) == ("<s>", "</s>")
    assert (tokenizer.model_max_length, tokenizer.padding_side) == (512, "right")
    single, pair = tokenizer("one").input_ids, tokenizer("one", "two").input_ids
    prompt = ["▁que", "ry", ":"]
    assert tokenizer.convert_ids_to_tokens(single) == ["<s>", *prompt, "▁one", "</s>"]
    assert tokenizer.convert_ids_to_tokens(pair) == ["<s>", *prompt, "▁one", "</s>", "</s>", "▁two", "</s>"]
    assert tokenizer("one", "two").keys() == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("text", [text for text in SENTENCES if "？" not in text])
def test_plain_sentences_survive_encoding_and_decoding(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == f"query: {text}"


def test_normaliser_equals_the_map_of_the_file_on_every_entry(e5s1_file: Path) -> None:
    normalisation = read_e5s1(e5s1_file).normalisation
    normalizer = sentencepiece_normalizer()
    assert len(normalisation) > 4000
    assert {source: normalizer.normalize_str(source) for source in normalisation} == normalisation
    others = [chr(point) for point in range(0x3400) if chr(point) not in normalisation]
    assert [text for text in others if normalizer.normalize_str(text) != text] == []


def test_loaded_tokenizer_normalises(tokenizer: Any) -> None:
    # transformers' own XLMRobertaTokenizer would drop the normaliser and give <unk> or odd pieces here.
    assert tokenizer("ｆｕｌｌ  width\n①").input_ids == tokenizer("full width 1").input_ids
    assert tokenizer("cafe\u0301").input_ids == tokenizer("caf\u00e9").input_ids
    assert tokenizer.tokenize("そう～") != tokenizer.tokenize("そう~")


@pytest.mark.parametrize("text", [*SENTENCES, *UNUSUAL])
def test_counts_tokens_like_the_engine(tokenizer: Any, engine: PackageEngine, text: str) -> None:
    assert len(tokenizer(text).input_ids) == engine.token_count(text)


def test_tokenizer_stays_the_same_when_saved_with_a_fine_tuned_model(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    texts = [*SENTENCES, "ｆｕｌｌ ～ <mask>"]
    assert again(texts).input_ids == tokenizer(texts).input_ids
