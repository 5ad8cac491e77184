"""Tells the supervisor that the run gets on. A run that is stuck is a living process, and looks like a slow one."""

import sys
import threading
import time
from types import CodeType

from worker.channel import Supervision

SECONDS = 1.0
Place = list[tuple[CodeType, int]]


def start_pulse(channel: Supervision) -> None:
    """Sends a pulse each second in which the main thread has moved to another place in the program.

    Unlike a plain heartbeat it stops with a main thread that waits for a lock or spins in foreign code, and unlike
    counted steps it goes on while a long evaluation runs.
    """
    main = threading.main_thread().ident
    assert main is not None

    def beat() -> None:
        seen: Place = []
        while True:
            time.sleep(SECONDS)
            if (place := _place(main)) != seen:
                channel.send("pulse")
            seen = place

    threading.Thread(target=beat, name="pulse", daemon=True).start()


def _place(thread: int) -> Place:
    """The instruction that each frame of a thread is at. No frame is kept: frames keep tensors alive."""
    place, frame = [], sys._current_frames().get(thread)
    while frame is not None:
        place.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return place
