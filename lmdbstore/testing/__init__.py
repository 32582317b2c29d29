"""The contract of an event store as a pytest suite, for whoever writes a store.

Subclass `EventStoreContract` and give it a fixture `store`, a new and empty store for each test:

    import pytest
    from lmdbstore.testing import EventStoreContract

    class TestMyStore(EventStoreContract):
        @pytest.fixture
        def store(self):
            with MyStore() as store:
                yield store

pytest then runs every test of the contract on it. What a test demands stands in the docstrings of
`EventStore`. A failing test may be overridden with a comment on why the store does otherwise.

Rules: a test uses the public API only, and nothing that a particular store does. None depends on
how fast the machine is; the waits have a limit that only ends a hang. It needs pytest installed.
"""

from __future__ import annotations

import pytest

_TOPICS = ("closing", "events", "helpers", "paging", "queries", "saving", "sharing")
# Plain asserts in these modules then tell the values that they compared, as in a test file.
pytest.register_assert_rewrite(*(f"{__name__}.{topic}" for topic in _TOPICS))

from .closing import ClosingContract  # noqa: E402
from .events import EventContract  # noqa: E402
from .paging import PagingContract  # noqa: E402
from .queries import QueryContract  # noqa: E402
from .saving import SavingContract  # noqa: E402
from .sharing import SharingContract  # noqa: E402

__all__ = ["EventStoreContract"]


class EventStoreContract(
    SavingContract,
    EventContract,
    QueryContract,
    PagingContract,
    SharingContract,
    ClosingContract,
):
    """Every test of the contract; see the module for how to run it on a store."""
