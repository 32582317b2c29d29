"""Any events, for properties: texts that formats must quote, and every kind of timestamp."""

from __future__ import annotations

from hypothesis import strategies as st

from lmdbstore import Event

__all__ = ["any_events"]

# What the formats use as marks, what an import changes in logs, and letters of all sizes in UTF-8.
AWKWARD = st.sampled_from([*'",\n\r\0\x1b[]{}\\:|;\t \x02\x85\u2028\ufeffaé€😀'])
TEXT = st.text(AWKWARD | st.characters(exclude_categories=["Cs"]), max_size=20)


def any_events() -> st.SearchStrategy[list[Event]]:
    """Return a strategy for lists of events that can be stored, each with an id of its own."""
    event = st.builds(
        Event,
        TEXT.filter(bool),
        TEXT,
        st.floats(allow_nan=False, allow_infinity=False),
        st.lists(TEXT, max_size=3, unique=True),
        TEXT | TEXT.map(lambda text: text * 300),
    )
    return st.lists(event, max_size=8, unique_by=lambda event: event.id)
