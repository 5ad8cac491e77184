"""Workbooks, sound ones and such as no spreadsheet would write."""

import io
import zipfile
from collections.abc import Sequence

from openpyxl import Workbook

MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
RELATIONS = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'


def workbook(*rows: Sequence[object], hidden: Sequence[str] = (), **sheets: Sequence[Sequence[object]]) -> bytes:
    """Rows of the first sheet, then others by name."""
    book = Workbook()
    first = book.active
    assert first is not None
    for name, content in {first.title: rows, **sheets}.items():
        sheet = first if name == first.title else book.create_sheet(name)
        sheet.sheet_state = "hidden" if name in hidden else "visible"
        for row in content:
            sheet.append(list(row))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def with_parts(compression: int = zipfile.ZIP_DEFLATED, shared: Sequence[str] = (), **parts: str) -> bytes:
    """A sound workbook, some of whose parts (`sheet1`, `workbook`) hold this instead. `shared`: texts that cells name
    by number, as Excel writes them and openpyxl does not."""
    strings = "".join(f"<si><t>{text}</t></si>" for text in shared)
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["text", "label"], ["x", "a"]))) as sound,
        zipfile.ZipFile(file, "w", compression) as made,
    ):
        for name in sound.namelist():
            content = parts.get(name.rpartition("/")[2].removesuffix(".xml"), sound.read(name).decode())
            made.writestr(name, content.replace("</Types>", override))
        made.writestr("xl/sharedStrings.xml", f"<sst {MAIN}>{strings}</sst>")
    return file.getvalue()


def sheet(inner: str, head: str = "") -> str:
    """XML of a sheet with the header `text`, `label` and then what is given."""
    return f"{head}<worksheet {MAIN}><sheetData>{row('text', 'label')}{inner}</sheetData></worksheet>"


def row(*texts: str, attributes: str = "") -> str:
    cells = "".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in texts)
    return f"<row{attributes}>{cells}</row>"


def shared_row(*numbers: int) -> str:
    cells = "".join(f'<c t="s"><v>{number}</v></c>' for number in numbers)
    return f"<row>{cells}</row>"
