"""Field types that several bodies and queries share."""

import unicodedata
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Generic, TypeVar

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.api.query import EmptyIs
from service.datasets.checks import why_unsafe
from service.nulls import NullIsLeftOut

T = TypeVar("T")


def _safe(text: str) -> str:
    if fault := why_unsafe(text):
        raise ValueError(fault)
    return text


def _ids(kind: str) -> str:
    """The pattern of ids that begin so: one of another kind would be older or newer than all, in silence."""
    return f"^{kind}_[a-z0-9_]+$"


def _tidy(name: str) -> str:
    """Names that look alike are one: no spaces around it, and of Unicode's two forms of `Ü` always the same."""
    return unicodedata.normalize("NFC", name.strip())


def _sought(name: str) -> str:
    """What a list is narrowed to. What no database takes is no name that anything has; nor is the empty one."""
    return "" if why_unsafe(name) else _tidy(name)


MAX_NAME = 100  # characters
MAX_WANTED = MAX_NAME + len(":123456789")
NAME = r"^\p{Zs}*[\p{L}\p{N}][\p{L}\p{M}\p{N}_. -]*\p{Zs}*$"
LANGUAGE = r"^\p{L}[\p{L}\p{M}0-9 _'’()-]*$"
ID = r"^[a-z0-9_]+$"
DIGITS = r"^[0-9]{1,15}$"
KEY = r"^[\x21-\x7e]+$"
_CURSOR = "must be the id of the last item of the page before, as the list gave it: it begins with `{}`"
WORDS = {  # what a pattern asks for, for whoever is refused by it
    NAME: "must consist of letters, digits, spaces and `_ . -`, and begin with a letter or a digit",
    LANGUAGE: (
        "must be the name of a language or its code, such as `german`, `de` or `es-419`: a letter, then letters, "
        "digits, spaces, apostrophes, parentheses, `_` and `-`"
    ),
    ID: "must be an id as the service gave it: small letters, digits and `_`",
    DIGITS: "must be an event's id as the service gave it: digits",
    KEY: "must consist of ASCII letters, digits and signs, without spaces",
    **{_ids(kind): _CURSOR.format(f"{kind}_") for kind in ("ds", "job", "mdl")},
}


def _short(name: str) -> str:
    if len(name) > MAX_NAME:
        raise ValueError(f"is too long in Unicode's form NFC; the most is {MAX_NAME} characters")
    return name


class NoPattern:
    """Keeps out of the OpenAPI document a pattern that generated clients cannot read: `\\p{L}` is not of Python's kind,
    nor of JavaScript's."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {key: value for key, value in handler(schema).items() if key != "pattern"}


SafeText = Annotated[str, AfterValidator(_safe)]
# The constraints come first: after a function they would be checked, but be missing from the OpenAPI document.
Name = Annotated[
    str,
    StringConstraints(pattern=NAME, max_length=MAX_NAME),
    AfterValidator(_safe),
    AfterValidator(_tidy),
    AfterValidator(_short),  # NFC may be longer than what was sent
    Field(description="letters, digits, spaces, and `_ . -`; starts with a letter or a digit"),
    NoPattern(),
]
ModelName = Annotated[  # or `name:version`, or the id of a version
    str, StringConstraints(max_length=MAX_WANTED), AfterValidator(_safe), AfterValidator(_tidy)
]
Language = Annotated[
    str,
    StringConstraints(pattern=LANGUAGE, max_length=50),
    AfterValidator(_safe),
    Field(description="`english`, `german`, `french`, or any other; codes such as `de` work too"),
    NoPattern(),
]
Id = Annotated[str, Path(max_length=60, pattern=ID)]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]  # as `rfc3339` writes it
Limit = Annotated[int, Query(ge=1, le=100), EmptyIs(20)]


class NeverNull:
    """Marks an optional part of a query or header: it may be missing, but null cannot be sent, so the OpenAPI
    document must not offer it."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        options: list[JsonSchemaValue] = handler(schema)["anyOf"]
        return options[0]


_after = partial(Query, max_length=60, description="the last id of the page before")
AfterDataset = Annotated[str | None, _after(pattern=_ids("ds")), NeverNull(), EmptyIs(None)]
AfterJob = Annotated[str | None, _after(pattern=_ids("job")), NeverNull(), EmptyIs(None)]
AfterModel = Annotated[str | None, _after(pattern=_ids("mdl")), NeverNull(), EmptyIs(None)]
WithName = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_NAME), AfterValidator(_sought)] | None,
    Query(description="only those of this name"),
    NeverNull(),
]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=255, pattern=KEY),
    NeverNull(),
]


class Body(NullIsLeftOut):
    """A request body: a wrong key is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class PageOf(BaseModel, Generic[T]):
    data: list[T]
    has_more: bool


def rfc3339(seconds: float | None) -> str | None:
    """Seconds since 1970 as RFC 3339 in UTC, to the millisecond; None where that is beyond the calendar's end: one such
    row must not cost its whole list."""
    if seconds is None:
        return None
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
