"""Examples to fill in: what the page of the API shows where somebody tries a route out.

A job needs the id of a data set, and a prediction the name of a model, that are there.
"""

import json
from typing import Any

_QUESTIONS = {
    "account": (
        "I cannot sign in any more.",
        "How do I change my e-mail address?",
        "Please close my account.",
        "The link for a new password never arrived.",
    ),
    "billing": (
        "I was charged twice this month.",
        "Where can I download my invoice?",
        "My card was declined, what now?",
        "Please refund my last payment.",
    ),
    "delivery": (
        "My parcel has not come yet.",
        "Can you ship to Norway?",
        "The box was damaged when it came.",
        "When will my order be sent?",
    ),
}
_NAME = "support"  # of the data set and, if nothing else is said, of the model
_NEW = ["Why was I charged again, and for what?", "Has my order been sent?"]

DATASET: dict[str, Any] = {
    "name": _NAME,
    "train": {
        "Text": [text for texts in _QUESTIONS.values() for text in texts],
        "Labels": [label for label, texts in _QUESTIONS.items() for _ in texts],
    },
}
FORM = {"name": _NAME, "language": "english", "split": json.dumps({"val": 0.2, "test": 0.2, "seed": 0})}
JOB: dict[str, Any] = {"dataset_id": "ds_the_id_of_your_data_set", "base_model": "bundled/multilingual-small"}
PREDICTION: dict[str, Any] = {"texts": _NEW, "model": _NAME}
NDJSON = "".join(json.dumps({"text": text}) + "\n" for text in _NEW)
TABLE = "text\n" + "".join(f'"{text}"\n' for text in _NEW)
