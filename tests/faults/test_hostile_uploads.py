"""B34 and B35: bodies and data sets that are too large, lie about themselves, or are no data sets; to a real service,
whose memory is measured. Figures are printed: `pytest -s`."""

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import httpx
import pytest

from faults.invariants import all_jobs
from parts.deployment import Deployment
from parts.memory import forget_peak, peak_bytes, unlinked_files
from parts.routes import Route, routes
from parts.wire import MARK, error_of, fruit
from parts.workbooks import shared_row, sheet, with_parts

MIB = 1024 * 1024
UPLOAD, REQUEST, TEXT, ROWS = 12 * MIB, 2 * MIB, MIB // 8, 100_000
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
HEAD = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nfruit\r\n'


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A service with small limits, and nothing in it."""
    limits: dict[str, Any] = {
        "max_upload_bytes": UPLOAD,
        "max_request_bytes": REQUEST,
        "max_text_bytes": TEXT,
        "max_rows": ROWS,
    }
    deployment = Deployment(tmp_path_factory.mktemp("small"), **limits)
    try:
        deployment.start_api()
        deployment.wait_for_api()
        deployment.client.get("/info")  # returns once torch is loaded, which takes memory too
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture(autouse=True)
def nothing_is_left(small: Deployment) -> Iterator[None]:
    yield
    assert small.parts[-1].alive()
    assert small.client.get("/health/ready").status_code == 200
    assert list((small.artifacts.root / ".aside").iterdir()) == []
    assert unlinked_files(small.parts[-1].pid) == []
    log = small.log.read_text()
    assert MARK not in log
    assert "request_crashed" not in log


@pytest.fixture
def grown(small: Deployment) -> Callable[[], int]:
    """By how many bytes the service's memory has been larger, at its peak, than at the start of the test."""
    pid = small.parts[-1].pid
    before = forget_peak(pid)
    return lambda: peak_bytes(pid) - before


@pytest.fixture(scope="module")
def document(small: Deployment) -> list[Route]:
    return [route for route in routes(small.client.get("/openapi.json").json()) if route.body]


# -- bodies -------------------------------------------------------------------------------------------------


def chunked(body: bytes) -> Iterator[bytes]:
    yield from (body[start : start + 65536] for start in range(0, len(body), 65536))


@pytest.mark.parametrize("send", [lambda body: body, chunked], ids=["declared", "chunked"])
def test_a_body_at_the_limit_is_read_and_one_byte_more_is_not(
    small: Deployment, document: list[Route], send: Callable[[bytes], Any]
) -> None:
    """B34."""
    for route in document:
        limit = UPLOAD if route.path == "/datasets" else REQUEST
        body = json.dumps(fruit() if route.path == "/datasets" else {}).encode()
        taken = small.client.request(route.method, route.path, content=send(body.ljust(limit)), headers=JSON)
        assert taken.status_code == (201 if route.path == "/datasets" else 422), str(route)
        refused = small.client.request(route.method, route.path, content=send(body.ljust(limit + 1)), headers=JSON)
        error_of(refused, 413, "too_large")


@pytest.mark.parametrize("kind", [JSON, FORM], ids=["json", "form"])
def test_endless_bodies_are_cut_off_in_bounded_memory(
    small: Deployment, document: list[Route], grown: Callable[[], int], kind: dict[str, str]
) -> None:
    """B34: eight at once."""
    paths = [route.path for route in document if kind == JSON or route.path == "/datasets"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: send_for_ever(small, paths[number % len(paths)], kind), range(8)))
    assert {answer.split()[1] for answer, _ in answers} == {"413"}
    assert all("connection: close" in answer for answer, _ in answers)
    print(f"B34: 8 endless bodies at once: {max(sent for _, sent in answers) // MIB} MiB sent, +{grown() // MIB} MiB")
    assert max(sent for _, sent in answers) < 2 * UPLOAD
    assert grown() < (8 * 2 * UPLOAD if kind == JSON else 8 * MIB + UPLOAD)


def send_for_ever(deployment: Deployment, path: str, kind: dict[str, str]) -> tuple[str, int]:
    """Returns the answer, and how many bytes were taken before it came."""
    with socket.create_connection(("127.0.0.1", deployment.api_port), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind['Content-Type']}\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        first = HEAD + b'--x\r\nContent-Disposition: form-data; name="train"; filename="a.csv"\r\n\r\n'
        sent = 0
        try:
            for piece in [first if kind == FORM else b'{"name": "', *repeat(b"x" * 65536, 1600)]:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                sent += len(piece)
        except OSError:
            pass  # it has answered and closed
        return connection.recv(65536).decode(), sent


LIES = {
    "shorter": ("Content-Length: 100", b'{"dataset_id": "' + b"x" * 1000, "400"),
    "longer, then closed": ("Content-Length: 1000", b'{"dataset_id": "x"}', ""),
    "a terabyte": (f"Content-Length: {10**12}", b"{}", "413"),
    "thirty digits": (f"Content-Length: {10**30}", b"{}", "400 413"),
    "negative": ("Content-Length: -1", b"{}", "400"),
    "no number": ("Content-Length: zebra", b"{}", "400"),
    "two": ("Content-Length: 2\r\nContent-Length: 3", b"{} ", "400"),
    "and chunked": ("Content-Length: 100\r\nTransfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n", "400 422"),
    "broken chunks": ("Transfer-Encoding: chunked", b"zz\r\n{}\r\n", "400"),
    "another transfer encoding": ("Transfer-Encoding: gzip", b"{}", "400 501"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_body_that_lies_about_its_length_harms_nobody(small: Deployment, lie: str) -> None:
    """B34. Who closes before the end gets no answer."""
    headers, body, expected = LIES[lie]
    with socket.create_connection(("127.0.0.1", small.api_port), timeout=30) as connection:
        request = f"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n\r\n"
        connection.sendall(request.encode() + body)
        if not expected:
            connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536).decode()
    assert answer.split()[1] in expected if expected else answer == ""
    assert MARK not in answer


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, gzip", "zebra"])
def test_a_compressed_body_is_refused_by_every_route(
    small: Deployment, document: list[Route], grown: Callable[[], int], encoding: str
) -> None:
    """B34, B35: a gzip bomb is never unpacked. 64 MiB of zeros here."""
    bomb = gzip.compress(bytes(64 * MIB), 1)
    for route in document:
        for kind in (JSON, FORM) if route.path == "/datasets" else (JSON,):
            headers = kind | {"Content-Encoding": encoding}
            answer = small.client.request(route.method, route.path, content=bomb, headers=headers)
            error = error_of(answer, 415, "media_type_unsupported")
            assert "Content-Encoding" in error["message"]
            assert answer.headers["accept-encoding"] == "identity"
            assert MARK not in answer.text
    assert grown() < 16 * MIB


# -- data sets ----------------------------------------------------------------------------------------------


def table(*rows: str, head: str = "text,label") -> bytes:
    return "\n".join([head, *rows]).encode()


GOOD = [f"text {number},{'ab'[number % 2]}" for number in range(20)]
NUMBERS = list(map(str, range(9_997)))
ROOM = UPLOAD - 1000  # what a file may have when the form around it is counted
# filename, content, words of the complaint, its row
REFUSED: dict[str, tuple[str, Callable[[], bytes], str, int | None]] = {
    "a gzip bomb that is called a table": ("a.csv", lambda: gzip.compress(bytes(64 * MIB), 1), "not UTF-8", None),
    "a gzip bomb as lines": ("a.jsonl", lambda: gzip.compress(bytes(64 * MIB), 1), "not UTF-8", 0),
    "one line as large as the limit": ("a.csv", lambda: table(*GOOD) + b"\n" + b"x" * ROOM, "too long", 20),
    "one line of JSON": ("a.jsonl", lambda: b'{"text": "' + b"x" * ROOM, "is longer than", 0),
    "one text in columns": (
        *("a.json", lambda: b'{"Text": ["%b", "y"], "Labels": ["a", "b"]}' % (b"x" * ROOM), "is longer than", 0),
    ),
    "a header without end": ("a.csv", lambda: b"text,label," + b"x" * ROOM, "too long", None),
    "a header of 9,999 columns": ("a.csv", lambda: table(head=",".join(["text,label", *NUMBERS])), "columns", None),
    "a long name of a column": ("a.csv", lambda: table("x,a,1", head=f"text,label,{'n' * 101}"), "longer than", None),
    "a long name in each row": (
        *("a.jsonl", lambda: json.dumps({"text": "x", "label": "a", "n" * 101: 1}).encode(), "longer than", 0),
    ),
    "a huge cell beside the text": (
        *("a.csv", lambda: table(f"x,a,{'y' * (TEXT + 1)}", head="text,label,n"), "is longer than", 0),
    ),
    "rows without end": ("a.csv", lambda: b"text,label\n" + b"x,a\n" * (ROOM // 4), "too many rows", None),
    "lines without end": ("a.jsonl", lambda: b"0\n" * (ROOM // 2), "must be an object", 0),
    "nothing but line ends": ("a.csv", lambda: b"text,label" + b"\n" * ROOM, "has no rows", None),
    "nothing but line ends, as lines": ("a.jsonl", lambda: b"\n" * ROOM, "has no rows", None),
    "no rows": ("a.csv", lambda: table(), "has no rows", None),
    "one label": ("a.csv", lambda: table(*["x,a"] * 20), "at least 2 different labels", None),
    "1,000,000 labels": ("a.json", lambda: million_labels(), "1000000 different labels; the most here is 1000", None),
    "a quotation left open over all": ("a.csv", lambda: table(*GOOD, '"') + b"x,a\n" * (ROOM // 8), "too long", 20),
    "a quotation left open at the end": ("a.csv", lambda: table(*GOOD, '"x,a'), "left open", 20),
    "UTF-16": ("a.csv", lambda: table(*GOOD).decode().encode("utf-16"), "not UTF-8", None),
    "Latin-1 further down": ("a.csv", lambda: table(*GOOD, "é,a").decode().encode("latin-1"), "not UTF-8", 20),
    "rows of unequal length": ("a.csv", lambda: table(*GOOD, "x,a,b"), "has 3 cells", 20),
    "a column twice": ("a.csv", lambda: table("x,a,1,2", head="text,label,n,N"), "names a column twice", None),
    "NUL": ("a.csv", lambda: table(*GOOD, "x\0,a"), "NUL", 20),
    "carriage returns alone": ("a.csv", lambda: table(*GOOD).replace(b"\n", b"\r"), "carriage return alone", 0),
    "lists without end": ("a.json", lambda: b'{"Text": [' + b"[]," * (ROOM // 3) + b"[]]}", "column `Labels`", None),
    "a workbook that repeats one text": ("a.xlsx", lambda: large_workbook(), "too large for a workbook", None),
    "numbers for texts": ("a.jsonl", lambda: b'{"text": 7, "label": "a"}', "must be a string", 0),
    "numbers for labels": ("a.jsonl", lambda: b'{"text": "x", "label": 7}', "is a number", 0),
}  # fmt: skip


def million_labels() -> bytes:
    """A thousand in each row, or it would have too many rows."""
    labels = [[f"{row:03}{label:03}" for label in range(1000)] for row in range(1000)]
    return json.dumps({"Text": ["x"] * 1000, "Labels": labels}, separators=(",", ":")).encode()


def large_workbook() -> bytes:
    """60 MiB of text, and a hundred kilobytes as a file."""
    return with_parts(shared=["x" * MIB], sheet1=sheet(shared_row(0) * 60))


def upload(deployment: Deployment, **files: tuple[str, bytes]) -> httpx.Response:
    return deployment.client.post("/datasets", data={"name": "fruit"}, files=files)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_data_set_is_refused_with_its_place(small: Deployment, grown: Callable[[], int], name: str) -> None:
    """B35. The memory it takes is bounded by the upload's limit, whatever is in it."""
    filename, make, words, row = REFUSED[name]
    before = small.artifacts.names("datasets")
    error = error_of(upload(small, train=(filename, make())), 422, "dataset_invalid")
    complaint = error["details"][0]
    assert (complaint.get("split", "train"), complaint.get("row")) == ("train", row), complaint
    assert words in complaint["message"]
    assert len(json.dumps(error)) < 50_000
    print(f"B35: {name}: +{grown() // MIB} MiB")
    assert grown() < 30 * UPLOAD
    assert small.artifacts.names("datasets") == before


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_label_that_train_lacks_is_placed(small: Deployment, split: str) -> None:
    """B35."""
    files = {"train": ("a.csv", table(*GOOD)), split: ("b.csv", table(*GOOD, "x,c"))}
    complaint = error_of(upload(small, **files), 422, "dataset_invalid")["details"][0]
    assert (complaint["split"], complaint["row"], complaint["field"]) == (split, 20, "Labels")


@pytest.mark.parametrize("filename", ["a.csv.gz", "a.zip", "a.xlsx", "a.parquet", "a", "../../a.exe", "a.csv/../x"])
def test_an_archive_is_not_a_data_set(small: Deployment, filename: str) -> None:
    """B35."""
    answer = upload(small, train=(filename, gzip.compress(table(*GOOD))))
    error_of(answer, 415, "media_type_unsupported")


FORMULAS = ["=1+1", "+SUM(A1)", "-2+3", "@SUM(1)", '=HYPERLINK("http://evil.example")', "=cmd|' /C calc'!A0"]


def test_formulas_are_texts_like_any_other(small: Deployment) -> None:
    """B35: taken; where a table is written that a spreadsheet may open, labels are guarded (`predict_table.py`)."""
    rows = [
        json.dumps({"text": f"{formula} {number}", "label": FORMULAS[number % 2]})
        for number, formula in enumerate(FORMULAS * 5)
    ]
    answer = upload(small, train=("a.jsonl", "\n".join(rows).encode()))
    assert answer.status_code == 201, answer.text
    assert answer.json()["labels"] == ["+SUM(A1)", "=1+1"]


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbf" + table(*GOOD), table(*GOOD).replace(b"\n", b"\r\n", 7), table(*GOOD) + b"\r\n\r\n"]
)
def test_byte_order_marks_and_mixed_line_ends_are_taken(small: Deployment, data: bytes) -> None:
    """B35: spreadsheets write them, and they can mean one thing only."""
    answer = upload(small, train=("a.csv", data))
    assert answer.status_code == 201
    assert sum(split["rows"] for split in answer.json()["splits"].values()) == 20


def test_a_line_that_is_larger_than_the_limit_is_cut_off_while_it_is_sent(
    small: Deployment, grown: Callable[[], int], long: bool
) -> None:
    """B35: twice the limit; `--long-faults` offers 2 GB."""
    size = 2048 * MIB if long else 2 * UPLOAD
    for kind, first in (
        (FORM, HEAD + b'--x\r\nContent-Disposition: form-data; name="train"; filename="a.csv"\r\n\r\n'),
        (JSON, b'{"name": "'),
    ):
        pieces = repeat(b"x" * MIB, size // MIB)
        try:
            answer = small.client.post("/datasets", content=iter([first, *pieces]), headers=kind)
            error_of(answer, 413, "too_large")
        except httpx.WriteError:
            pass  # cut off before the client had looked for the answer
    print(f"B35: one line of {size // MIB} MiB: +{grown() // MIB} MiB")
    assert grown() < 4 * UPLOAD
    assert all_jobs(small) == []
