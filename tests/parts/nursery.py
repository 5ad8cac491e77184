"""Where runs begin whose imports were made once for all: `NURSERY=<socket> python -m parts.nursery`.

For tests of many runs that end at once, each of which would load torch for seconds. `parts.forked_run` is the program
that a worker starts instead of `worker.run`: it sends its pipes here, and here `worker.run` goes on with them, in a
process of its own. Not for runs that their worker has to end: it would only end `parts.forked_run`.
"""

import contextlib
import os
import socket
import sys

from service.processes import die_with_parent


def main() -> int:
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.environ["NURSERY"])
        door.listen()
        import worker.run  # noqa: F401  # the seconds; who comes meanwhile waits

        while True:
            caller, _ = door.accept()
            with caller, contextlib.suppress(OSError):  # it may be gone at any moment
                _, pipes, _, _ = socket.recv_fds(caller, 1, 3)
                status = _wait_for(_start_run(pipes))
                caller.sendall(bytes([status & 0xFF]))


def _start_run(pipes: list[int]) -> int:
    """Returns the id of its process, to which the pipes belong from now on."""
    parent = os.getpid()
    if (child := os.fork()) == 0:
        try:
            die_with_parent(parent)
            for number, pipe in enumerate(pipes):
                os.dup2(pipe, number)
                os.close(pipe)
            os._exit(sys.modules["worker.run"].main())
        finally:
            os._exit(1)
    for pipe in pipes:
        os.close(pipe)
    return child


def _wait_for(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
