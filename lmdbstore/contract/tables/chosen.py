"""The arguments of a search, for calls that pass them on by keyword."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from lmdbstore.contract.event import Event
    from lmdbstore.contract.types import Damaged, Order, Strings, Time, Timeout, Where

__all__ = ["Chosen", "Filters"]


class Filters(TypedDict, total=False):
    """The conditions on events, as `EventView.search` has them."""

    ts_start: Time | None
    ts_end: Time | None
    flags: Strings | None
    match: str | None
    source: str | None
    any_flags: Strings | None
    not_flags: Strings | None
    where: Where | None


class Chosen(Filters, total=False):
    """The other arguments of `EventView.search`, too."""

    order: Order
    limit: int | None
    after: Event | str | None
    at: str | None
    damaged: Damaged
    timeout: Timeout
