"""Stopping well: SIGTERM and Ctrl-C ask the loop to save and end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_STATUS = 75
"""EX_TEMPFAIL: the run was stopped and can be taken up again; a scheduler may requeue it."""


class StopRequest:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        """Starts with no request."""
        self.signal_name: str | None = None

    def __bool__(self) -> bool:
        """True once a signal came."""
        return self.signal_name is not None


@contextmanager
def listen() -> Iterator[StopRequest]:
    """Turns the first SIGTERM or SIGINT into a request; a second SIGINT interrupts at once."""
    request = StopRequest()

    def note(number: int, frame: FrameType | None) -> None:
        request.signal_name = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {s: signal.signal(s, note) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
