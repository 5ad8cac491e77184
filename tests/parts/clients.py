"""Clients that ask again and again, side by side."""

import threading
from collections.abc import Callable

import httpx


class Clients:
    """Ask until ended; `answers` are statuses, or names of what went wrong."""

    def __init__(self, ask: Callable[[], int], number: int = 8) -> None:
        self.answers: list[int | str] = []
        self._ask, self._ended = ask, threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.answers.append(self._ask())
            except httpx.TransportError as error:
                self.answers.append(type(error).__name__)

    def end(self) -> set[int | str]:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)
        return set(self.answers)
