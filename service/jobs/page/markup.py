"""HTML and SVG elements that escape whatever they are given: the only place that makes markup out of text."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = frozenset({"meta", "link", "br"})


class Markup(str):
    """Text that is markup already. Joined with plain text it becomes plain text again, which is then escaped."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"
Attribute: TypeAlias = str | float | None


def h(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """One element. `class_` is written `class`, `text_anchor` `text-anchor`; an attribute that is None is left out."""
    opening = tag + "".join(_attribute(name, value) for name, value in attributes.items() if value is not None)
    if tag in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{together(children)}</{tag}>")


def together(children: Child) -> Markup:
    """Siblings in a row, without an element around them."""
    if children is None or isinstance(children, Markup):
        return Markup(children or "")
    if isinstance(children, str | int):
        return Markup(escape(str(children)))
    return Markup("".join(together(child) for child in children))


def document(*, title: str, stylesheet: str, body: Markup) -> str:
    """A whole page that asks for nothing else, not even an icon. `stylesheet` is ours, never a user's."""
    assert "<" not in stylesheet
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="color-scheme", content="light dark"),
        h("link", rel="icon", href="data:,"),
        h("title", title),
        h("style", Markup(stylesheet)),
    )
    return f"<!DOCTYPE html>\n{h('html', head, h('body', body), lang='en')}\n"


def _attribute(name: str, value: str | float) -> str:
    written = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {name.rstrip("_").replace("_", "-")}="{escape(written)}"'
