"""Closing what was started, however the program ends.

A `with` block covers errors and Ctrl-C. SIGTERM and SIGHUP end Python without
running any block, so they are turned into KeyboardInterrupt, which pytest also
answers by tearing its fixtures down. Against SIGKILL only the next start helps:
it sweeps what an owner that is gone has left (`state.State.abandoned`).
"""

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def close_at_exit(close: "Closer") -> None:
    """Call `close.close()` at the latest when the program ends."""
    atexit.register(close.close)
    interrupt_on_signals()


def interrupt_on_signals() -> None:
    """Let SIGTERM and SIGHUP do what Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _interrupt)


def closed(close: "Closer") -> None:
    """Forget it: it has been closed."""
    atexit.unregister(close.close)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal interrupt the block: half a teardown is worse than a late one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, *_SIGNALS)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Closer:
    """Anything with a `start`, and with a `close` that may be called twice, as a `with` block."""

    def start(self) -> None:
        """Start everything, or nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """End everything that was started."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)
