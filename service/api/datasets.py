"""`/datasets`"""

from typing import Annotated, Any, Literal, TypeVar, get_args

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from service.api import examples
from service.api.body_limit import content_type
from service.api.context import Context, In
from service.api.fields import (
    AfterDataset,
    Body,
    Id,
    IdempotencyKey,
    Language,
    Limit,
    Name,
    PageOf,
    Time,
    WithName,
    rfc3339,
)
from service.api.guard import REFUSALS, Reader, Trainer
from service.api.problems import responses
from service.datasets.cutting import Cut
from service.datasets.dataset import SPLITS
from service.datasets.formats import EXTENSION_OF_TYPE
from service.datasets.ingest import Submission, Upload, dataset_not_found, delete_dataset, store_dataset
from service.datasets.json_text import parse_json
from service.datasets.rows import LABEL_COLUMNS, MAX_NAME
from service.datasets.split_column import COLUMN
from service.datasets.unlabelled import Unlabelled
from service.errors import Detail, Unacceptable, Unreadable, UnsupportedMedia
from service.store import datasets as dataset_rows
from service.store.records import DatasetRecord, Task

router = APIRouter(tags=["data sets"], responses=REFUSALS)
Fields = TypeVar("Fields", bound="DatasetFields")


def _beside_text_and_labels(column: str) -> str:
    if column.casefold() in ("text", *LABEL_COLUMNS, COLUMN):
        raise ValueError("must be another column than those of texts, labels and splits, such as `respondent`")
    return column


class CutBody(Body):
    """How missing splits are cut from train. A split that is sent is not cut."""

    val: float | None = Field(default=None, gt=0, le=0.5)
    test: float | None = Field(default=None, gt=0, le=0.5)
    seed: int = Field(default=0, ge=0, lt=2**32)
    group: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=MAX_NAME),
            AfterValidator(_beside_text_and_labels),
        ]
        | None
    ) = Field(default=None, description="a column; all rows with the same value of it stay in one split")

    @model_validator(mode="after")
    def _leaves_train(self) -> "CutBody":
        if (self.val or 0) + (self.test or 0) >= 1:
            raise ValueError("val and test take all rows; leave some to train on")
        return self


class DatasetFields(Body):
    """What a data set is told of beside its rows."""

    name: Name
    task: Task | None = None
    language: Language | None = None
    unlabelled: Unlabelled | None = Field(default=None, description="`skip`: rows without a label are left out")
    split: CutBody = CutBody()


_LABEL = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_COLUMNS = {
    "type": "object",
    "required": ["Text", "Labels"],
    "properties": {
        "Text": {"type": "array", "items": {"type": "string"}},
        "Labels": {"type": "array", "items": _LABEL},
    },
    "additionalProperties": {"type": "array", "items": {}},
}
_ROW = {
    "type": "object",
    "required": ["text", "label"],
    "properties": {"text": {"type": "string"}, "label": _LABEL},
    "additionalProperties": True,
}


def _columns_or_rows(split: object) -> object:
    if not isinstance(split, dict | list) or split == []:
        raise ValueError('must be an object {"Text": […], "Labels": […]}, or a list of rows')
    return split


# Only the schema says what is in it: rows are checked by `service.datasets`, whose complaints name them.
Split = Annotated[
    Any,
    AfterValidator(_columns_or_rows),
    WithJsonSchema({"anyOf": [_COLUMNS, {"type": "array", "minItems": 1, "items": _ROW}]}),
]


class DatasetBody(DatasetFields):
    """A data set as JSON: each split `{"Text": […], "Labels": […]}`, other columns welcome, or a list of rows."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.DATASET]})

    train: Split
    val: Split | None = None
    test: Split | None = None


class SplitView(BaseModel):
    rows: int
    labels: dict[str, int]


class RowView(BaseModel):
    split: Literal["train", "val", "test"]
    row: int


class WarningView(BaseModel):
    code: str
    message: str
    rows: list[RowView]


class DatasetView(BaseModel):
    id: str
    name: str
    task: Task
    language: str | None
    labels: list[str]
    splits: dict[str, SplitView]
    warnings: list[WarningView]
    sha256: str
    created_at: Time | None


def view(record: DatasetRecord) -> DatasetView:
    return DatasetView(
        id=record.id,
        name=record.name,
        task=record.task,
        language=record.language,
        labels=record.labels,
        splits={name: SplitView(**split) for name, split in record.splits.items()},
        warnings=[WarningView(**warning) for warning in record.warnings],
        sha256=record.sha256,
        created_at=rfc3339(record.created_at),
    )


def _json_schema() -> dict[str, Any]:
    """The body's schema in one piece: OpenAPI resolves references in its own components only."""
    schema = DatasetBody.model_json_schema()
    cut, null = schema["properties"]["split"]["anyOf"]
    schema["properties"]["split"]["anyOf"] = [schema.pop("$defs")[cut["$ref"].rpartition("/")[2]], null]
    return schema


_CHOICES = {"task": Task, "unlabelled": Unlabelled}
_FORM = {"type": "object", "required": ["name", "train"]} | {
    "properties": {name: {"type": "string", "format": "binary"} for name in SPLITS}
    | {name: {"type": "string", "examples": [example]} for name, example in examples.FORM.items()}
    # a page sends what is not chosen as an empty field
    | {name: {"type": "string", "enum": ["", *get_args(own)]} for name, own in _CHOICES.items()}
}
_FORM_HOLDS = "it holds name, task, language, unlabelled and split as fields, and train, val and test as files"
_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _json_schema()},
            "multipart/form-data": {"schema": _FORM},
        },
    }
}


@router.post(
    "/datasets",
    status_code=201,
    response_model=DatasetView,
    openapi_extra=_BODIES,
    responses=responses(400, 409, 413, 415, 422),
)
async def create_dataset(
    request: Request, response: Response, context: In, access: Trainer, idempotency_key: IdempotencyKey = None
) -> DatasetView:
    """Uploads a data set, as JSON or as files. A fault refuses all of it and names split, row and field.

    The same `Idempotency-Key` with the same upload gives the same data set."""
    kind = content_type(request.scope)
    if kind == "multipart/form-data":
        submission = await _read_form(request)
    elif kind == "application/json":
        submission = await run_in_threadpool(_from_json, await request.body())
    else:
        raise UnsupportedMedia("send application/json, or multipart/form-data with files")
    record = await run_in_threadpool(_store, submission, context, access.project, idempotency_key)
    response.headers["Location"] = f"{context.settings.root_path}/datasets/{record.id}"
    return view(record)


def _store(submission: Submission, context: Context, project: str, key: str | None) -> DatasetRecord:
    parts = (context.settings, context.database, context.artifacts)
    return store_dataset(submission, *parts, project=project, key=key)


def _from_json(data: bytes) -> Submission:
    body = _check(DatasetBody, parse_json(data))
    splits: dict[str, Upload | object] = {"train": body.train}
    splits |= {name: split for name, split in (("val", body.val), ("test", body.test)) if split is not None}
    return _submission(body, splits)


async def _read_form(request: Request) -> Submission:
    try:
        async with request.form(max_files=3, max_fields=10) as form:
            return await _from_form(form)
    except UnicodeError:  # a charset that Python knows, and in which this is nothing
        raise Unreadable("the form could not be read; send it in UTF-8, without a charset") from None
    except HTTPException as fault:
        if fault.status_code != 400:
            raise
        what = fault.detail.rstrip(".")  # one of Starlette's own sentences; nothing of the form is in them
        raise Unreadable(f"the form could not be read ({what}); {_FORM_HOLDS}") from None


async def _from_form(form: FormData) -> Submission:
    parts = [(name, part) for name, part in form.multi_items() if not _is_left_empty(name, part)]
    files = {name: part for name, part in parts if isinstance(part, UploadFile)}
    fields: dict[str, Any] = {name: part for name, part in parts if not isinstance(part, UploadFile)}
    if len(files) + len(fields) != len(parts):
        raise Unacceptable("the form names a field twice; send each once")
    for name in files.keys() - set(SPLITS):
        raise _refused(name[:60], "is not a known file; the files are train, val and test")
    for name in sorted(fields.keys() & set(SPLITS)):
        raise _refused(name, "is not a file; send its rows as one (with curl: -F train=@train.csv)")
    if "train" not in files:
        raise _refused("train", "is missing; send the training rows as a file")
    if "split" in fields:
        fields["split"] = parse_json(fields["split"].encode(errors="replace"), "the field split")
    checked = _check(DatasetFields, fields)
    return _submission(checked, {name: Upload(_filename(part), await part.read()) for name, part in files.items()})


def _filename(part: UploadFile) -> str:
    """With the extension that its type stands for, if it has none."""
    name, kind = part.filename or "", (part.content_type or "").partition(";")[0].strip().lower()
    return name if "." in name else name + EXTENSION_OF_TYPE.get(kind, "")


def _is_left_empty(name: str, part: str | UploadFile) -> bool:
    """What a page sends of a field that nobody filled in, and of a file that nobody chose."""
    if isinstance(part, UploadFile):
        return not part.filename and not part.size
    return not part and name in _FORM["properties"]


def _submission(fields: DatasetFields, splits: dict[str, Upload | object]) -> Submission:
    cut = Cut(**fields.split.model_dump())
    return Submission(fields.name, fields.task, fields.language, splits, cut, fields.unlabelled)


def _check(model: type[Fields], value: object) -> Fields:
    """Raises: RequestValidationError, as FastAPI does for the bodies that it reads itself."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_input=False)]
        raise RequestValidationError(faults) from None


def _refused(field: str, message: str) -> Unacceptable:
    return Unacceptable(f"the request was refused: {field} {message}", details=[Detail(message, field=field)])


@router.get("/datasets", response_model=PageOf[DatasetView], responses=responses(422))
def list_datasets(
    context: In, access: Reader, limit: Limit = 20, after: AfterDataset = None, name: WithName = None
) -> PageOf[DatasetView]:
    with context.database.read() as tx:
        page = dataset_rows.page(tx, access.project, limit, after, name=name)
    return PageOf(data=[view(record) for record in page.data], has_more=page.has_more)


@router.get("/datasets/{dataset_id}", response_model=DatasetView, responses=responses(404))
def get_dataset(dataset_id: Id, context: In, access: Reader) -> DatasetView:
    with context.database.read() as tx:
        record = dataset_rows.get(tx, access.project, dataset_id)
    if record is None:
        raise dataset_not_found()
    return view(record)


@router.delete("/datasets/{dataset_id}", status_code=204, responses=responses(404, 409))
def remove_dataset(dataset_id: Id, context: In, access: Trainer) -> None:
    """Deletes a data set; finished jobs and models made from it stay."""
    delete_dataset(access.project, dataset_id, context.database, context.artifacts)
