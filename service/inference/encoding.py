"""Texts to token ids: the same code for training, evaluation and serving."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Encoding as HubEncoding
from tokenizers import Tokenizer
from torch import Tensor

from service.inference.predictions import Encoding


def read_tokenizer(path: Path, vocab_size: int) -> Tokenizer:
    """Raises: ValueError when the file is no tokenizer, or one with ids that the model has no embedding for."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no narrower one
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    check_fits(tokenizer, vocab_size)
    return tokenizer


def check_fits(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Raises: ValueError where an id would be beyond the embeddings, which fails in the middle of a batch."""
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= vocab_size:
        raise ValueError(f"its tokenizer gives ids up to {largest}, its model has embeddings for {vocab_size}")


class TextEncoder:
    """Encodes up to `max_length` tokens a text. Safe to call from several threads."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, pad_id: int) -> None:
        """`tokenizer` is its own from then on, because length limits are state of it. A copy of XLM-R's would take a
        second and 280 MB."""
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True  # a text that says "<pad>" means these five letters
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        self.max_length = max_length
        self.pad_id = pad_id
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special}
        unknown = map(self._tokenizer.token_to_id, ("<unk>", "[UNK]"))
        self._unknown = next((number for number in unknown if number is not None), pad_id)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        encodings = self._tokenizer.encode_batch(list(texts))
        return [Encoding(self._plain_ids(encoding), bool(encoding.overflowing)) for encoding in encodings]

    def _plain_ids(self, encoding: HubEncoding) -> list[int]:
        """Unigram vocabularies hold "<pad>" as a piece like any other: within a text it becomes unknown."""
        ids: list[int] = encoding.ids
        inside = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
        for place in inside:
            if ids[place] in self._special:
                ids[place] = self._unknown
        return ids

    def pad(self, rows: Sequence[Encoding], device: torch.device) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask`, both int64 of shape (rows, longest row)."""
        longest = max(len(row.ids) for row in rows)
        ids = torch.full((len(rows), longest), self.pad_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = torch.tensor(row.ids)
            mask[number, : len(row.ids)] = 1
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
