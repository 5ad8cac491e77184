"""What a key may do, and whose data it sees."""

from dataclasses import dataclass
from typing import Literal, get_args

from service.errors import Forbidden
from service.store.records import DEFAULT_PROJECT

Scope = Literal["read", "train", "predict", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do: everything it sees is of one project. `key_id` is None where no key was needed."""

    project: str
    scopes: frozenset[str]
    key_id: str | None = None

    def must_allow(self, *any_of: Scope) -> None:
        """`admin` allows all within its project. Raises: Forbidden that names the scope that is missing."""
        if not self.scopes & {*any_of, "admin"}:
            missing = " or ".join(f"`{scope}`" for scope in any_of)
            raise Forbidden(
                f"this key lacks the scope {missing}; use one that has it, or ask the operator for it "
                f"(classiglot keys create --scopes {any_of[0]} …)"
            )


OPEN = Access(DEFAULT_PROJECT, frozenset({"admin"}))  # a machine's own services, before there is a key
