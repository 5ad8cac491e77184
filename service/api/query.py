"""The query of a request: what is left empty in it, and what is named wrongly."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from service.datasets.complaints import shorten
from service.errors import Detail, Unacceptable

_MAY_BE_EMPTY = "x-may-be-empty"


@dataclass(frozen=True, slots=True)
class EmptyIs:
    """Marks a part that counts as left out where it is empty: `?limit=&after=` is how a script, or a page, writes what
    nobody has filled in."""

    default: object

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(lambda sent: self.default if sent == "" else sent, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), _MAY_BE_EMPTY: True}


def saying_what_may_be_empty(document: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document with `allowEmptyValue`, which is no part of a schema, so that FastAPI knows no way to it."""

    def said() -> dict[str, Any]:
        made = document()
        for operation in (own for path in made["paths"].values() for own in path.values()):
            for parameter in operation.get("parameters", ()):
                if parameter["schema"].pop(_MAY_BE_EMPTY, False):
                    parameter["allowEmptyValue"] = True
        return made

    return said


def refuse_unknown(request: Request, known: Collection[str], hint: str) -> None:
    """Where options change the answer, what is named wrongly must not be ignored. `hint`: what to write instead.

    Raises: Unacceptable that names each parameter that is not known.
    """
    names = [shorten(name) for name in request.query_params if name not in known]
    if names:
        message = f"is not a parameter of this query; {hint}"
        details = [Detail(message, field=name) for name in names[:100]]
        raise Unacceptable(f"the request was refused: {names[0]} {message}", details=details)
