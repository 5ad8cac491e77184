"""Where a server under test may listen."""

from service.serve import listen


def free_port() -> int:
    with listen("127.0.0.1", 0) as probe:
        return int(probe.getsockname()[1])
