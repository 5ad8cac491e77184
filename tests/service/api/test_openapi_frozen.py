"""The OpenAPI document is agreed: it changes on purpose, and the change is seen."""

import json
import os
import re
from pathlib import Path

from service.app import create_app
from service.settings import Settings

FROZEN = Path(__file__).with_name("openapi.json")


def test_the_open_api_document_is_the_frozen_one(settings: Settings) -> None:
    text = json.dumps(create_app(settings).openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_OPENAPI"):
        FROZEN.write_text(text, encoding="utf-8")
    how = "is it meant? then: UPDATE_OPENAPI=1 pytest tests/service/api/test_openapi_frozen.py"
    assert text == FROZEN.read_text(encoding="utf-8"), how


def test_every_reference_leads_somewhere() -> None:
    document = json.loads(FROZEN.read_text(encoding="utf-8"))
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place = document
        for key in reference.split("/"):
            assert key in place, reference
            place = place[key]
