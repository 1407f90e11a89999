"""Pages of lists: a client that asks for no page gets the whole list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query

T = TypeVar("T")
MAX_LIMIT = 10_000


@dataclass(frozen=True)
class Page:
    """Which part of a list to show. `limit`: None for all."""

    limit: int | None
    offset: int

    def of(self, items: Sequence[T]) -> list[T]:
        """Return the part of a list."""
        return list(items[self.offset :] if self.limit is None else items[self.offset : self.offset + self.limit])


def page(
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT, description="at most so many; without it, all")] = None,
    offset: Annotated[int, Query(ge=0, le=10**9, description="leave out so many at the beginning")] = 0,
) -> Page:
    """Return the page that a request asks for."""
    return Page(limit, offset)


Paged = Annotated[Page, Depends(page)]
