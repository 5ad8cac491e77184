import re
from collections.abc import Iterator

from service import errors


def under(kind: type[errors.ClassiglotError], depth: int = 0) -> Iterator[tuple[int, str]]:
    """Every error below this one, and how deep."""
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield depth, each.__name__
            yield from under(each, depth + 1)


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    drawn = re.findall(r"^ {4}((?:│   )?)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    assert sorted((len(stem) // 4, name) for stem, name in drawn) == sorted(under(errors.ClassiglotError))
