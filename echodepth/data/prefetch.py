"""Reading batches ahead in a thread: for data that are gathered faster than a worker process could pass them on."""

from collections.abc import Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread

import torch
from torch.utils.data import DataLoader

from echodepth.data.sample import Sample

AHEAD = 2
"""Batches that are read ahead. One more than is computed with would do, but for an epoch's first steps."""
_PATIENCE = 0.1
"""Seconds between two looks at whether the batches are still wanted."""


class PrefetchLoader(DataLoader[Sample]):
    """A DataLoader without worker processes whose batches are gathered, and pinned, by a thread.

    The order and the random numbers are those of a plain DataLoader. Gathering leaves Python to the main thread
    most of the time, because NumPy copies rows without holding the interpreter's lock.
    """

    def __iter__(self) -> Iterator[Sample]:  # type: ignore[override]
        """Batches of one pass. An iterator that is closed or forgotten ends its thread."""
        return _Prefetcher(super().__iter__(), torch.cuda.current_device() if self.pin_memory else None)


class _Prefetcher(Iterator[Sample]):
    """Iterates over what a thread reads ahead, and raises what the thread raised.

    Args:
        batches: read in the thread alone.
        device: index of the CUDA device for which the thread pins memory; None pins none.
    """

    def __init__(self, batches: Iterator[Sample], device: int | None) -> None:
        self._queue: Queue[Sample | BaseException] = Queue(AHEAD)
        self._stop = Event()
        # Not a bound method: a thread that refers to this object would keep it from being forgotten.
        arguments = (batches, device, self._queue, self._stop)
        self._thread = Thread(target=_read, args=arguments, name="prefetch", daemon=True)
        self._thread.start()

    def __next__(self) -> Sample:
        if self._stop.is_set():
            raise StopIteration
        item = self._queue.get()
        if isinstance(item, BaseException):
            self.close()
            raise item
        return item

    def close(self) -> None:
        """End the thread; batches that were read ahead are dropped."""
        self._stop.set()
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            pass
        self._thread.join()

    def __del__(self) -> None:
        self._stop.set()


def _read(batches: Iterator[Sample], device: int | None, queue: "Queue[Sample | BaseException]", stop: Event) -> None:
    item: Sample | BaseException
    if device is not None:
        # Of this thread: pinning would otherwise open the first device, and copy with as many threads as there are.
        torch.cuda.set_device(device)
        torch.set_num_threads(1)
    while not stop.is_set():
        try:
            item = next(batches)
        except BaseException as error:  # whatever ends the thread is raised where a batch is waited for
            item = error
        while not stop.is_set():
            try:
                queue.put(item, timeout=_PATIENCE)
                break
            except Full:
                continue
        if isinstance(item, BaseException):
            return
