"""What pydantic finds wrong with a request, said in our words: where it is, and what to send instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.api.fields import WORDS
from service.datasets.complaints import counted, shorten
from service.errors import Detail

Fault = Mapping[str, Any]
Location = tuple[str | int, ...]
_WHOLE, _NUMBER, _OBJECT = "must be a whole number", "must be a number", "must be an object"
_SURROGATE = "contains half a surrogate pair, which is not Unicode text"
_SAYINGS = {  # by pydantic's type of a fault; `{}` are what it tells with it
    "missing": "is missing",
    "extra_forbidden": "is not a known key; remove it or correct its spelling",
    "string_type": "must be a string",
    "string_unicode": _SURROGATE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}


def read_faults(faults: Sequence[Fault]) -> list[Detail]:
    """One for each value that is wrong, though each side of `float | "auto"` has its own complaint."""
    sides: dict[Location, list[str]] = {}
    for fault in faults:
        sides.setdefault(_place(fault["loc"]), []).append(_saying(fault))
    return [_detail(place, _either(sayings)) for place, sayings in sides.items()]


def _place(location: Location) -> Location:
    """Without what says where it was sent, or which side of a union complains."""
    return location[1:3] if location[1:2] == ("hyperparameters",) else location[1:]


def _saying(fault: Fault) -> str:
    kind, told = fault["type"], fault.get("ctx", {})
    if kind == "string_pattern_mismatch" and told["pattern"] in WORDS:
        return WORDS[told["pattern"]]
    if kind in ("too_short", "string_too_short"):
        return f"is empty; send at least {_counted(told['min_length'], told)}"
    if kind in ("too_long", "string_too_long"):
        return f"is too long; the most is {_counted(told['max_length'], told)}"
    if kind not in _SAYINGS:
        return str(fault["msg"]).removeprefix("Value error, ")
    saying = _SAYINGS[kind].format_map(told)
    quoted = saying in (_WHOLE, _NUMBER) and fault["loc"][0] == "body"
    return f"{saying} without quotation marks" if quoted else saying


def _counted(count: int, told: Mapping[str, Any]) -> str:
    """What has no other type of its own is a string that was looked at before it was measured."""
    return counted(count, "value" if told.get("field_type") in ("List", "Dictionary") else "character")


def _either(sayings: Sequence[str]) -> str:
    """`must be at least 1, or 'auto'`"""
    first, *others = sayings
    return ", or ".join([first, *(other.removeprefix("must be ") for other in others)])


def _detail(place: Location, saying: str) -> Detail:
    if place[-1:] == ("[key]",):
        return _detail(place[:-2], f"holds a key that {saying}")
    if not place and saying in (_OBJECT, _SURROGATE):
        saying = f"the body {saying}"
    if place[:1] == ("texts",) and len(place) == 2:
        return Detail(saying, row=int(place[1]), field="texts")
    return Detail(saying, field=".".join(shorten(str(part)) for part in place) or None)
