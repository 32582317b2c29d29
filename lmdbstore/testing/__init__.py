"""The contract of an event store as a pytest suite, for authors of stores.

Subclass `EventStoreContract` and give it a fixture `store`: a new and empty store for each test.

    import pytest
    from lmdbstore.testing import EventStoreContract

    class TestMyStore(EventStoreContract):
        @pytest.fixture
        def store(self):
            with MyStore() as store:
                yield store

pytest then runs every test of the contract on this store. The docstrings of `EventStore` define
what the tests require. If a store differs on purpose, override the test and comment the reason.

Rules: a test uses the public API only, and nothing that is specific to one store. No test depends
on the speed of the machine: a wait has a time limit only to end a hang. The suite needs pytest.
"""

from __future__ import annotations

import pytest

_TOPICS = (
    "asking.around",
    "asking.flags",
    "asking.counting",
    "asking.past",
    "asking.times",
    "asking.where",
    "changing",
    "checkpoints",
    "closing",
    "commits.cursors",
    "commits.following",
    "duplicates",
    "events",
    "helpers",
    "paging",
    "queries",
    "saving",
    "sharing",
    "moving.figures",
    "moving.tables",
)
# Failing asserts in these modules then show the compared values, as in a test file.
pytest.register_assert_rewrite(*(f"{__name__}.{topic}" for topic in _TOPICS))

from .asking.around import AroundContract  # noqa: E402
from .asking.counting import CountingContract  # noqa: E402
from .asking.flags import FlagsContract  # noqa: E402
from .asking.past import PastContract  # noqa: E402
from .asking.times import TimesContract  # noqa: E402
from .asking.where import WhereContract  # noqa: E402
from .changing import ChangingContract  # noqa: E402
from .checkpoints import CheckpointContract  # noqa: E402
from .closing import ClosingContract  # noqa: E402
from .commits.cursors import CursorContract  # noqa: E402
from .commits.following import FollowingContract  # noqa: E402
from .duplicates import DuplicateContract  # noqa: E402
from .events import EventContract  # noqa: E402
from .moving.figures import FigureContract  # noqa: E402
from .moving.tables import TableContract  # noqa: E402
from .paging import PagingContract  # noqa: E402
from .queries import QueryContract  # noqa: E402
from .saving import SavingContract  # noqa: E402
from .sharing import SharingContract  # noqa: E402

__all__ = ["EventStoreContract"]


class EventStoreContract(
    SavingContract,
    DuplicateContract,
    ChangingContract,
    CheckpointContract,
    EventContract,
    TimesContract,
    FlagsContract,
    WhereContract,
    AroundContract,
    QueryContract,
    CountingContract,
    PastContract,
    PagingContract,
    FollowingContract,
    CursorContract,
    SharingContract,
    ClosingContract,
    TableContract,
    FigureContract,
):
    """All tests of the contract; the docstring of the module says how to run them."""
