"""The routes as the application's OpenAPI document has them: so a new route, or a new field, is tested by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Place = tuple[str | int, ...]  # keys, and 0 for the first of a list, from the outside


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    operation: Json
    document: Json

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def body(self) -> Json | None:
        """The schema of its JSON body."""
        content = self.operation.get("requestBody", {}).get("content", {})
        return content["application/json"]["schema"] if "application/json" in content else None

    def parameters(self, kind: str) -> list[str]:
        """Names of those that are sent in the `path`, the `query` or a `header`."""
        return [part["name"] for part in self.operation.get("parameters", []) if part["in"] == kind]

    def fields(self) -> list[tuple[Place, Json]]:
        """Every place of the JSON body that can hold a value, with its schema."""
        return list(self._places(self.body or {}, ()))

    def _places(self, schema: Json, here: Place) -> Iterator[tuple[Place, Json]]:
        schema = self._resolved(schema)
        yield here, schema
        for option in map(self._resolved, schema.get("anyOf", [schema])):
            for name, inner in option.get("properties", {}).items():
                yield from self._places(inner, (*here, name))
            if isinstance(option.get("additionalProperties"), dict):
                yield from self._places(option["additionalProperties"], (*here, "other"))
            if option.get("type") == "array":
                yield from self._places(option.get("items", {}), (*here, 0))

    def _resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def takes(self, schema: Json, kind: str) -> bool:
        """Whether a JSON value of this type may be right there."""
        options = [self._resolved(option) for option in schema.get("anyOf", [schema])]
        kinds = {option.get("type", kind) for option in options}
        return kind in kinds or (kind == "integer" and "number" in kinds)

    def sample(self) -> Json:
        """A body that is right as far as the schema tells."""
        made: Json = self._sample(self.body or {})
        return made

    def _sample(self, schema: Json) -> Any:
        schema = self._resolved(schema)
        if "anyOf" in schema:
            return self._sample(schema["anyOf"][0])
        if schema.get("type") == "object":
            inner = schema.get("properties", {})
            return {name: self._sample(inner[name]) for name in schema.get("required", [])}
        if schema.get("type") == "array":
            return [self._sample(schema.get("items", {}))]
        plain = {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 1), "boolean": True}
        return plain.get(schema.get("type", ""), schema.get("enum", ["a"])[0])


def routes(document: Json) -> list[Route]:
    return [
        Route(method.upper(), path, operation, document)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def put(body: Any, place: Place, value: object) -> Any:
    """A copy of `body` with `value` at `place`; what is on the way there is made."""
    if not place:
        return value
    key, rest = place[0], place[1:]
    if isinstance(key, str):
        held = body if isinstance(body, dict) else {}
        return held | {key: put(held.get(key), rest, value)}
    first, *others = body if isinstance(body, list) and body else [None]
    return [put(first, rest, value), *others]
