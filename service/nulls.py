"""Null in a request's body: a key that may be left out."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

_NULL = {"type": "null"}
_ABOUT = ("title", "description", "default")  # of a key, whatever its value is


class NullIsLeftOut(BaseModel):
    """A key that is null counts as left out, since many clients write all keys they know; one that is needed, or that
    is not known, is refused as ever."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, sent: object) -> object:
        if not isinstance(sent, dict):
            return sent
        return {name: value for name, value in sent.items() if value is not None or not cls._may_be_left_out(name)}

    @classmethod
    def _may_be_left_out(cls, name: str) -> bool:
        return name in cls.model_fields and not cls.model_fields[name].is_required()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        keys = handler.resolve_ref_schema(described)["properties"]
        keys.update({name: _or_null(own) for name, own in keys.items() if cls._may_be_left_out(name)})
        return described


def _or_null(schema: Mapping[str, Any]) -> JsonSchemaValue:
    about = {name: value for name, value in schema.items() if name in _ABOUT}
    value = {name: own for name, own in schema.items() if name not in _ABOUT}
    options = value["anyOf"] if value.keys() == {"anyOf"} else [value]
    return {"anyOf": options if _NULL in options else [*options, _NULL], **about}
