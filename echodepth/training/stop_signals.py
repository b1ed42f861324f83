"""Signals that stop a training run once its state is saved: Ctrl-C, SIGTERM, and SIGUSR1 of a scheduler."""

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from echodepth.training.validation import is_main_process

log = logging.getLogger(__name__)
EXIT_STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 75}
"""Exit status of a run that a signal stopped: 128 + number, as of any process; and EX_TEMPFAIL for SIGUSR1, by which a
job script knows that the run is to be queued again."""


class StopSignals:
    """Notes the first signal, for the training loop to act on between two steps, and ends the process at a second.

    A handler that raised an error would be lost wherever Python ignores errors, as in destructors and callbacks.
    Before the loop begins and after it ends a signal ends the process at once: there is nothing to save.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self.in_loop = False
        self._before: dict[str, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            # A signal that is ignored, as under nohup or in a worker of a study, stays so.
            names = [name for name in EXIT_STATUS if hasattr(signal, name)]
            handlers = {name: signal.getsignal(getattr(signal, name)) for name in names}
            self._before = {name: handler for name, handler in handlers.items() if handler != signal.SIG_IGN}
            self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, handler in self._before.items():
            signal.signal(getattr(signal, name), signal.SIG_DFL if handler is None else handler)

    def install(self) -> None:
        """Take the signals, also from Lightning, which sets handlers of its own when its loop begins."""
        for name in self._before:
            signal.signal(getattr(signal, name), self._note)

    def stop(self) -> SystemExit:
        """What ends the run, with the signal's exit status."""
        assert self.received is not None
        return SystemExit(EXIT_STATUS[self.received])

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.received = self.received is not None, signal.Signals(number).name
        if again or not self.in_loop:
            raise self.stop()
        if is_main_process():
            log.info("%s: saving after this step; a second signal stops at once", self.received)
