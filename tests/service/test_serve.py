import asyncio
import socket

import pytest

from service.errors import SettingsInvalid
from service.serve import listen


def test_answers_are_not_held_back() -> None:
    """asyncio turns Nagle's algorithm off only on sockets whose protocol is named: 40 ms an answer hang on it."""

    async def no_delay() -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen("127.0.0.1", 0) as listener:
            async with await asyncio.start_server(on_connection, sock=listener):
                _, writer = await asyncio.open_connection(*listener.getsockname())
                answer = await asyncio.wait_for(accepted, 10)
                writer.close()
        return answer

    assert asyncio.run(no_delay()) != 0


def test_a_taken_port_is_refused_with_what_to_do() -> None:
    with listen("127.0.0.1", 0) as first, pytest.raises(SettingsInvalid, match="--port"):
        listen("127.0.0.1", first.getsockname()[1])
