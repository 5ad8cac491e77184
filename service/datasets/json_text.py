"""JSON as the standard has it: no NaN, no key twice, nothing deep enough or in so many pieces as to hurt."""

import json
import math
from collections.abc import Collection
from typing import Any

import numpy as np

from service.errors import TooLarge, Unreadable

# Python takes 64 bytes for an empty list, of which the text has three: 200 MB of them would be 5 GB. So many values are
# a million rows with ten columns.
MOST_VALUES = 10_000_000
# Every wrong key of an object becomes a complaint, hundreds of times as large. No table has more than 100 columns.
MOST_KEYS = 1_000
_CHUNK = 2**20
_BEFORE_VALUES = np.isin(np.arange(256), [*b",:[{"])  # by byte


def parse_json(data: bytes, what: str = "the body", most_values: int | None = None) -> Any:
    """Parses UTF-8 JSON (a byte order mark is let pass). `most_values`: default `MOST_VALUES`.

    Raises: Unreadable with the place of the fault; TooLarge.
    """
    most = MOST_VALUES if most_values is None else most_values
    if len(data) > most and count_values(data) > most:
        raise TooLarge(f"{what} holds more than {most:,} values; send its rows as lines of JSON (.jsonl) or CSV")
    try:
        return _decoder.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable(f"{what} is not UTF-8 (byte {error.start}); save it as UTF-8 and send it again") from None
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""  # of one line, the line is known
        raise Unreadable(f"{what} is not JSON: {error.msg} at {line}column {error.colno}") from None
    except RecursionError:
        raise Unreadable(f"{what} is nested too deeply") from None
    except ValueError as error:  # our own hooks, and integers of thousands of digits
        raise Unreadable(f"{what} is not acceptable JSON: {str(error)[:200]}") from None


def why_too_many(values: int) -> str | None:
    """A complaint about rows that hold so many values by now; a hundred columns may take thirty times their file."""
    if values <= MOST_VALUES:
        return None
    return f"is where more than {MOST_VALUES:,} values are reached; leave out columns or rows that training can spare"


def count_parsed(value: object) -> int:
    """Values inside of a parsed one, at any depth."""
    found, unopened = 0, [value]
    while unopened:
        own = unopened.pop()
        parts: Collection[object] = own.values() if isinstance(own, dict) else own if isinstance(own, list) else ()
        found += len(parts)
        unopened.extend(part for part in parts if isinstance(part, dict | list))
    return found


def count_values(data: bytes) -> int:
    """As many as a parser would make of it, keys included, when it is JSON; an empty list or object counts twice."""
    bare = data.replace(rb"\\", b"").replace(rb"\"", b"")  # what is left of quotes begins or ends a string
    found, inside = 1, False
    for start in range(0, len(bare), _CHUNK):
        chunk = np.frombuffer(bare, np.uint8, min(_CHUNK, len(bare) - start), start)
        within = np.bitwise_xor.accumulate(chunk == ord('"')) ^ inside
        found += int((_BEFORE_VALUES[chunk] & ~within).sum())
        inside = bool(within[-1])
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_KEYS:
        raise ValueError(f"an object has {len(pairs)} keys, and the most is {MOST_KEYS}")
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("an object names the same key twice")
    return keys


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:20]} is too large")
    return number


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_refuse_twins)
