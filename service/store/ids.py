"""Ids made by the server: opaque, sortable by time, safe in a path."""

import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case
_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """`<prefix>_` and 26 letters: 48 bits of milliseconds, 80 random bits (the ULID specification).

    Ids made by one process rise even within one millisecond.
    """
    global _last
    with _lock:
        value = max((time.time_ns() // 1_000_000) << 80 | secrets.randbits(80), _last + 1)
        _last = value
    return f"{prefix}_" + "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
