"""JSON as the standard has it: no NaN, no key twice, nothing deep enough to hurt."""

import json
import math
from typing import Any

from service.errors import Unreadable


def parse_json(data: bytes, what: str = "the body") -> Any:
    """Parses UTF-8 JSON (a byte order mark is let pass).

    Raises: Unreadable with the place of the fault.
    """
    try:
        return _decoder.decode(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable(f"{what} is not UTF-8 (byte {error.start}); save it as UTF-8 and send it again") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"{what} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Unreadable(f"{what} is nested too deeply") from None
    except ValueError as error:  # our own hooks, and integers of thousands of digits
        raise Unreadable(f"{what} is not acceptable JSON: {str(error)[:200]}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
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
