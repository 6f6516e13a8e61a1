"""HTTP by uvicorn and h11, for clients that are slow on purpose or come in crowds.

uvicorn waits for the head of a request as long as the client likes; here a head must be whole in time, and
connections beyond a number are closed as they come.
"""

from __future__ import annotations

import asyncio
from typing import Any

TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def strict_protocol(head_seconds: float, most: int) -> type[asyncio.Protocol]:
    """A protocol for uvicorn. head_seconds: in which the head of a request must have come; most: connections
    at a time."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Strict(H11Protocol):
        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.abort()
            else:
                self.begin_to_wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self.stop_waiting()  # the head is whole, or broken
            elif self.deadline is None:
                self.begin_to_wait()

        def begin_to_wait(self) -> None:
            self.deadline = self.loop.call_later(head_seconds, self.give_up)

        def stop_waiting(self) -> None:
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None

        def give_up(self) -> None:
            self.deadline = None
            if self.transport.is_closing():
                return
            if self.conn.our_state is h11.IDLE:
                self.transport.write(TOO_SLOW)
            self.transport.close()

    return Strict
