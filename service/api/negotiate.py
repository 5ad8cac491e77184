"""Which form of an answer a client would rather have, by its `Accept` (RFC 9110, section 12.5.1), if it needs any."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.staticfiles import NotModifiedResponse

# An answer that comes in several forms is kept apart by what chose the form, and by whose it is; and no cache gives it
# out unasked: a browser would show the page to a script that asks for JSON.
NEGOTIATED = {"Vary": "Accept, Authorization, X-API-Key", "Cache-Control": "private, no-cache"}
# One that is sent as it comes about: nginx would hold back its pieces until a buffer of its own is full.
STREAMED = NEGOTIATED | {"X-Accel-Buffering": "no"}
_QUALITY = re.compile(r"0(\.\d*)?|1(\.0*)?")


@dataclass(frozen=True, slots=True)
class _Range:
    """One entry of `Accept`. `place`: its number from the left."""

    pattern: str
    quality: float
    place: int

    def specificity(self, media_type: str) -> int | None:
        """2 for the type itself, 1 for `text/*`, 0 for `*/*`; None where it is another's."""
        patterns = ("*/*", media_type.partition("/")[0] + "/*", media_type)
        return patterns.index(self.pattern) if self.pattern in patterns else None


def preferred(request: Request, offered: Sequence[str]) -> str:
    """The media type that the client of this request would rather have; see `preferred_by`."""
    return preferred_by(",".join(request.headers.getlist("accept")), offered)


def preferred_by(accept: str, offered: Sequence[str]) -> str:
    """The one of `offered` that has the highest quality; of equals the one that is named most exactly, then first.

    The first of `offered` where the client has no wish, or none that can be met: rather that than an error."""
    ranges = _ranges(accept)
    ranks = {media_type: _rank(media_type, ranges) for media_type in offered}
    best = max(offered, key=lambda media_type: ranks[media_type])  # the first of equals
    return best if ranks[best][0] else offered[0]


def unless_known(request: Request, answer: Response) -> Response:
    """304 instead where the client has that very answer: its `If-None-Match` names the `ETag`."""
    tags = {tag.strip().removeprefix("W/") for tag in ",".join(request.headers.getlist("if-none-match")).split(",")}
    return NotModifiedResponse(answer.headers) if tags & {"*", answer.headers["etag"]} else answer


def _rank(media_type: str, ranges: Sequence[_Range]) -> tuple[float, int, int]:
    """Quality, specificity, and place counted from behind: of the most exact range that it falls in."""
    fitting = [(found, each) for each in ranges if (found := each.specificity(media_type)) is not None]
    if not fitting:
        return (0.0, 0, 0)
    specificity, chosen = max(fitting, key=lambda pair: pair[0])  # the first of equals
    return (chosen.quality, specificity, -chosen.place)


def _ranges(accept: str) -> list[_Range]:
    """Parameters other than `q` do not tell our types apart; an entry whose quality cannot be read is passed over."""
    ranges = []
    for place, entry in enumerate(accept.lower().split(",")):
        pattern, *parameters = (part.strip() for part in entry.split(";"))
        named = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in parameters)}
        quality = named.get("q", "1")
        if _QUALITY.fullmatch(quality):
            ranges.append(_Range(pattern, float(quality), place))
    return ranges
