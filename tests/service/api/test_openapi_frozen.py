"""The OpenAPI document is agreed: it changes on purpose, and the change is seen."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.app import create_app
from service.settings import Settings

FROZEN = Path(__file__).with_name("openapi.json")


def test_the_open_api_document_is_the_frozen_one(settings: Settings) -> None:
    text = json.dumps(create_app(settings).openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_OPENAPI"):
        FROZEN.write_text(text, encoding="utf-8")
    how = "is it meant? then: UPDATE_OPENAPI=1 pytest tests/service/api/test_openapi_frozen.py"
    assert text == FROZEN.read_text(encoding="utf-8"), how


def test_generated_clients_can_read_it() -> None:
    document = json.loads(FROZEN.read_text(encoding="utf-8"))
    for schema in _schemas(document):
        assert schema.get("type") != "array" or "items" in schema, schema
        assert "\\p{" not in str(schema.get("pattern")), schema
        for name, inner in schema.get("properties", {}).items():
            is_time = name.endswith("_at") or name == "estimated_finish"
            assert ("date-time" in json.dumps(inner)) is is_time, name
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert {"create_dataset", "list_jobs", "get_model", "predict"} <= set(ids)


def _schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document, the schemas among them."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _schemas(inner)


def test_every_reference_leads_somewhere() -> None:
    document = json.loads(FROZEN.read_text(encoding="utf-8"))
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place = document
        for key in reference.split("/"):
            assert key in place, reference
            place = place[key]
