"""A network that can be slow or cut: a TCP proxy on loopback between one worker and the brokers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable

#: Bytes that are passed on at once.
CHUNK = 65_536


class Network:
    """Passes connections through, one port for each broker's, late or not at all. Runs on a thread of its own."""

    def __init__(self) -> None:
        #: Seconds that every piece of data is late.
        self.delay_s = 0.0
        self._cut = False
        self._through = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self._call(self._mend())

    def _call(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def lead(self, port: int, target: int) -> None:
        """Pass on to `target` what connects to `port`."""

        async def listen() -> None:
            self._servers.append(await asyncio.start_server(self._serve(target), "127.0.0.1", port))

        self._call(listen())

    def cut(self) -> None:
        """Let nothing through any more, and tell nobody: connections stay open and silent, as with a pulled cable."""

        async def cut() -> None:
            self._through.clear()

        self._call(cut())

    def reset(self) -> None:
        """Break every connection."""

        async def reset() -> None:
            for writer in list(self._open):
                writer.transport.abort()

        self._call(reset())

    async def _mend(self) -> None:
        self._through.set()

    def mend(self) -> None:
        """Let everything through again."""
        self._call(self._mend())

    def _serve(self, target: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there, back = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                writer.transport.abort()
                return
            self._open |= {writer, back}
            try:
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
            finally:
                for end in (writer, back):
                    self._open.discard(end)
                    end.transport.abort()

        return serve

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Data goes on in order; each piece waits its delay, and those behind it with it."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def deliver() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._through.wait()
                writer.write(data)
                await writer.drain()
                if not data:
                    return

        delivering = asyncio.ensure_future(deliver())
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await waiting.put((loop.time() + self.delay_s, data))
                if delivering.done():
                    break
        delivering.cancel()
        # Whichever side ends, both do: the other would wait for it for ever.
        writer.transport.abort()

    def close(self) -> None:
        """End it."""

        async def close() -> None:
            for server in self._servers:
                server.close()
            for writer in list(self._open):
                writer.transport.abort()

        self._call(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
