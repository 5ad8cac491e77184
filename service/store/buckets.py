"""A bucket of an S3 server: small objects whole, large ones in parts, none overwritten that was made with `create`.

The client repeats by itself, with growing pauses, what failed with a status of 500 to 599, a broken connection or a
deadline, where repeating cannot do harm. Everything here ends, and what did not succeed raises Unavailable.
"""

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from service.errors import SettingsInvalid, Unavailable
from service.logs import get_logger
from service.settings import MEBIBYTE

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

T = TypeVar("T")
log = get_logger(__name__)
REQUEST_SECONDS = 20.0  # for one request, a block of a file included: a megabyte a second is fast enough
RETRY_SECONDS = 10.0  # after its first try a request is tried again for so long
CONNECT_SECONDS = 3.0
BLOCK = 8 * MEBIBYTE
AT_ONCE = 2  # parts of one file; more of them would share a slow line, and none be in time


class BucketMissing(Unavailable):
    """Its own kind, for the operator who starts a process."""


class BucketDenied(Unavailable):
    """The keys are unknown there, or may not do this."""


@dataclass(frozen=True, slots=True)
class Stored:
    """`key`: below the prefix. `changed`: seconds since 1970, by the bucket's clock."""

    key: str
    changed: float


class Bucket:
    """`url`: `s3://bucket/prefix`. Where it is and who we are comes from the usual variables `AWS_…`."""

    def __init__(
        self, url: str, *, request_seconds: float = REQUEST_SECONDS, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        """Raises: SettingsInvalid, without asking anybody."""
        self.url = url
        self._retry_seconds = retry_seconds
        options: ClientConfig = {
            "timeout": timedelta(seconds=request_seconds),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "allow_http": _address(os.environ).startswith("http://"),
        }
        retries: RetryConfig = {"retry_timeout": timedelta(seconds=retry_seconds), "max_retries": 1000}
        parts = urlsplit(url)
        prefix = parts.path.strip("/") or None
        try:
            self._store = S3Store(parts.netloc, prefix=prefix, client_options=options, retry_config=retries)
        except BaseError as error:
            why = str(error).splitlines()[0]
            raise SettingsInvalid(f"the variables AWS_… do not go together ({why}); correct them") from None

    def get(self, key: str, most_bytes: int) -> bytes | None:
        """The whole object; None where there is none. Raises: Unavailable; ValueError when it is larger than that."""

        def read() -> bytes:
            answer = obstore.get(self._store, key)
            if answer.meta["size"] > most_bytes:
                raise ValueError(f"{key} is larger than {most_bytes} bytes")
            return bytes(answer.bytes())

        try:
            return self._asking(read)
        except FileNotFoundError:
            return None

    def download(self, key: str, path: Path, size: int) -> None:
        """Its first `size` bytes. Raises: Unavailable; FileNotFoundError; ValueError when it is smaller."""
        with path.open("wb") as file:
            for start in range(0, size, BLOCK):
                length = min(BLOCK, size - start)
                block = self._asking(lambda: obstore.get_range(self._store, key, start=start, length=length))  # noqa: B023
                if len(block) != length:
                    raise ValueError(f"{key} is smaller than {size} bytes")
                file.write(block)

    def upload(self, key: str, path: Path) -> None:
        """Raises: Unavailable; FileNotFoundError when the file has gone meanwhile."""
        try:
            self._asking(
                lambda: obstore.put(self._store, key, path, chunk_size=BLOCK, max_concurrency=AT_ONCE, mode="overwrite")
            )
        except FileNotFoundError:
            if not path.exists():
                raise
            raise self._missing() from None

    def create(self, key: str, content: bytes) -> bytes:
        """Stores it unless there is something already. Returns what is there now, for good.

        A put that is not answered may have been done, and 409 says that another one was under way: both are looked
        into. Raises: Unavailable, BucketMissing, BucketDenied.
        """
        deadline, pause = time.monotonic() + self._retry_seconds, 0.1
        while True:
            unclear: Unavailable | None = None
            try:
                self._asking(lambda: obstore.put(self._store, key, content, mode="create"))
                return content
            except AlreadyExistsError:
                pass
            except FileNotFoundError:
                raise self._missing() from None
            except BucketDenied:
                raise
            except Unavailable as error:
                unclear = error
            if (found := self._found(key)) is not None:
                return found
            if time.monotonic() > deadline:
                raise unclear or self._away("it says that another write is under way, again and again")
            time.sleep(pause * random.uniform(0.5, 1))
            pause *= 2

    def _found(self, key: str) -> bytes | None:
        try:
            return self.get(key, MEBIBYTE)
        except ValueError:
            return b""  # nothing that we would have written

    def list(self, folder: str) -> Iterator[Stored]:
        """All objects below it. Raises: Unavailable."""
        pages = iter(obstore.list(self._store, folder))
        while (page := self._asking(lambda: next(pages, None))) is not None:
            yield from (Stored(found["path"], found["last_modified"].timestamp()) for found in page)

    def delete(self, keys: Sequence[str]) -> None:
        """Whether they are there or not. Raises: Unavailable."""
        if keys:
            self._asking(lambda: obstore.delete(self._store, keys))

    def _asking(self, ask: Callable[[], T]) -> T:
        """Raises: Unavailable, ValueError for a range that is not there; FileNotFoundError, AlreadyExistsError."""
        try:
            return ask()
        except (FileNotFoundError, AlreadyExistsError):
            raise
        except (PermissionDeniedError, UnauthenticatedError):
            raise self._denied() from None
        except BaseError as error:
            if "/latest/" in str(error):  # without keys the client asks the machine's cloud for some
                raise self._denied() from None
            if "status code: 416" in str(error):  # nothing is there from that byte on
                raise ValueError("an object is smaller than it should be") from None
            raise self._away(_why(error)) from None

    def _away(self, why: str) -> Unavailable:
        log.warning("bucket_away", bucket=self.url, why=why)
        return Unavailable(
            f"the bucket of artifacts does not answer ({why}); try again, and if that lasts, tell the operator",
            retry_after=10,
        )

    def _denied(self) -> BucketDenied:
        log.error("bucket_denied", bucket=self.url)
        return BucketDenied(
            "the bucket of artifacts refuses what this process asks; the operator corrects its keys "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or what they may do: list, read, write and delete",
            retry_after=60,
        )

    def _missing(self) -> BucketMissing:
        log.error("bucket_missing", bucket=self.url)
        return BucketMissing("the bucket of artifacts is gone; the operator makes it again", retry_after=60)


def _address(environment: Mapping[str, str]) -> str:
    """The operator's own server, without TLS perhaps as on private networks; else empty. Raises: SettingsInvalid."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if address := environment.get(name):
            if not re.fullmatch(r"https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?", address):
                raise SettingsInvalid(f"{name} must be like https://host or http://host:9000; correct it")
            return address
    return ""


def _why(error: BaseError) -> str:
    """A few words of the client's many, which quote requests and answers."""
    said = str(error)
    found = re.search(r"status code: (\d{3} [A-Za-z ]+)", said) or re.search(
        r"(operation timed out|error [a-z ]+)", said
    )
    return found.group(1).strip() if found else "no connection"
