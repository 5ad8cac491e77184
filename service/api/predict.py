"""`/predict`"""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, FailFast, Field, WithJsonSchema
from starlette.concurrency import run_in_threadpool

from service.api import examples
from service.api.context import Context, In
from service.api.fields import Body, ModelName, SafeText
from service.api.guard import REFUSALS, Predictor
from service.api.json_route import JsonRoute
from service.api.leaving import unless_left
from service.api.observe import PREDICTED_TEXTS
from service.api.predict_options import ANSWERED, DOCUMENTED
from service.api.problems import responses
from service.api.query import refuse_unknown
from service.api.text_lines import MEDIA_TYPES
from service.api.text_rows import why_no_text
from service.errors import Detail, TooLarge, Unacceptable
from service.inference.predictions import Encoding, Prediction, Scores, read_predictions
from service.inference.shelf import Loaded
from service.settings import Settings

SHORT = 400  # characters that are encoded in less time than it takes to hand them to a thread and wait for it
FEW = 1_000  # scores that are named and written in about a millisecond
BESIDE_TEXTS = 100  # values of a body; the other fields have not nearly so many


class TextsRoute(JsonRoute):
    """Far more texts than are taken are refused unread; `_check_texts` tells exactly of a few more."""

    takes = (
        f"{JsonRoute.takes}, or as lines, a table or a workbook (.xlsx) of texts, with a header Content-Type of "
        + " or ".join(MEDIA_TYPES)
    )

    def most_values(self, settings: Settings, /) -> int:
        return settings.max_texts + BESIDE_TEXTS


router = APIRouter(tags=["predict"], route_class=TextsRoute, responses=REFUSALS)
# Only the schema says that it is not blank: `_check_texts` tells which rows are.
Text = Annotated[SafeText, WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"\S"})]


class PredictBody(Body):
    """`threshold` is for deciding; choosing has none. `top_k` bounds `scores`, not `labels`."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.PREDICTION]})

    texts: Annotated[list[Text], FailFast()] = Field(min_length=1)  # a complaint of each would be far larger than it
    model: ModelName | None = Field(default=None, description="a name, `name:version` or an id")
    top_k: int | None = Field(default=None, ge=1)
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None


OPTIONS = tuple(name for name in PredictBody.model_fields if name != "texts")


class AnsweringModel(BaseModel):
    id: str
    name: str
    version: int


class PredictionView(BaseModel):
    """`scores` are probabilities; `tokens` were read, and `truncated` says whether the text went on."""

    label: str | None
    labels: list[str]
    scores: dict[str, float]
    tokens: int
    truncated: bool


class PredictView(BaseModel):
    model: AnsweringModel
    predictions: list[PredictionView]


@router.post(
    "/predict",
    response_model=PredictView,
    openapi_extra=DOCUMENTED,
    responses=responses(400, 404, 413, 415, 422, 429, 500, 503) | ANSWERED,
)
async def predict(body: PredictBody, request: Request, context: In, access: Predictor) -> Response:
    """Labels for texts, in the order asked. A name answers with its best version.

    Any number of texts may be sent as NDJSON (`{"text": "…"}` a line), CSV, TSV or a workbook, with the options in the
    query; the answer then is NDJSON, a line for each row, or for a table or workbook with `Accept: text/csv` or
    `text/tab-separated-values` that table with labels and scores in columns after its own, and with `scores=all` the
    score of each label too.
    """
    refuse_unknown(request, (), f"beside a body of JSON the options {', '.join(OPTIONS)} are keys of it")
    context.engine.must_have_room()  # before any work: in an overload, refusals must cost little
    _check_texts(body.texts, context)
    return await unless_left(request, _predict(body, context, access.project))


async def _predict(body: PredictBody, context: Context, project: str) -> Response:
    loaded = await context.shelf.take(project, body.model)
    encode = loaded.classifier.encoder.encode
    short = sum(map(len, body.texts)) <= SHORT
    rows = encode(body.texts) if short else await run_in_threadpool(encode, body.texts)
    scores = await loaded.batcher.score(rows)
    PREDICTED_TEXTS.inc(len(rows))
    if scores.size <= FEW:
        return _answer(body, loaded, scores, rows)
    return await run_in_threadpool(_answer, body, loaded, scores, rows)


def _answer(body: PredictBody, loaded: Loaded, scores: Scores, rows: list[Encoding]) -> Response:
    """Ready to be sent: FastAPI would check our own values once more, and write many on the event loop too."""
    predictions = read_predictions(scores, rows, loaded.classifier.card, body.threshold, body.top_k)
    record = loaded.record
    view = PredictView(
        model=AnsweringModel(id=record.id, name=record.name, version=record.version),
        predictions=[_view(prediction) for prediction in predictions],
    )
    return Response(view.model_dump_json(), media_type="application/json")


def _check_texts(texts: list[str], context: Context) -> None:
    """Raises: TooLarge, Unacceptable, before anything is queued."""
    limits = context.settings
    if len(texts) > limits.max_texts:
        raise TooLarge(f"{len(texts)} texts in one request; the most here is {limits.max_texts}: send several requests")
    faults = []
    for row, text in enumerate(texts):
        if fault := why_no_text(text, limits.max_text_bytes):
            faults.append(Detail(fault, row=row, field="texts"))
    if faults:
        raise Unacceptable(f"text {faults[0].row} {faults[0].message}; leave it out or mend it", details=faults[:100])


def _view(prediction: Prediction) -> PredictionView:
    return PredictionView.model_construct(  # our own values, so they are not checked a second time
        label=prediction.label,
        labels=prediction.labels,
        scores=prediction.scores,
        tokens=prediction.tokens,
        truncated=prediction.truncated,
    )
