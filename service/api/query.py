"""The query of a request whose options change its answer: what it names wrongly must not be ignored."""

from collections.abc import Collection

from fastapi import Request

from service.datasets.complaints import shorten
from service.errors import Detail, Unacceptable


def refuse_unknown(request: Request, known: Collection[str], hint: str) -> None:
    """`hint`: what to write instead. Raises: Unacceptable that names each parameter that is not known."""
    names = [shorten(name) for name in request.query_params if name not in known]
    if names:
        message = f"is not a parameter of this query; {hint}"
        details = [Detail(message, field=name) for name in names[:100]]
        raise Unacceptable(f"the request was refused: {names[0]} {message}", details=details)
