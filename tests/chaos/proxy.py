"""A TCP proxy that misbehaves on request, in a thread of its own."""
import asyncio
import random
import threading


class Proxy:
    """Forwards to 127.0.0.1:port. Set `fault` at any time; it applies to open and new connections.

      None       forwards
      "delay"    each piece waits 50 to 400 ms
      "drip"     64 bytes at a time, 20 ms apart
      "deaf"     nothing from the server reaches the client
      "mute"     nothing from the client reaches the server
      "frozen"   neither; what was held back goes on when the fault ends, as after a lost route
      "refuse"   new connections are closed at once
      "half_open" new connections are taken and never answered
    """

    def __init__(self, port, seed):
        self.target, self.fault, self.random = port, None, random.Random(seed)
        self.writers, self.ready = set(), threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.ready.wait()

    def run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()

    def reset(self):
        """Every connection ends now, with RST."""
        self.loop.call_soon_threadsafe(lambda: [w.transport.abort() for w in list(self.writers)])

    def close(self):
        def end():
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_later(0.1, self.loop.stop)
        self.loop.call_soon_threadsafe(end)
        self.thread.join(5)

    async def serve(self, reader, writer):
        if self.fault == "refuse":
            writer.transport.abort()
            return
        while self.fault == "half_open":
            await asyncio.sleep(0.05)  # the fault's own pace
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self.writers |= {writer, up_writer}
        await asyncio.gather(self.pump(reader, up_writer, "mute"), self.pump(up_reader, writer, "deaf"))
        self.writers -= {writer, up_writer}

    async def pump(self, reader, writer, silence):
        try:
            while data := await reader.read(65536):
                await self.forward(data, writer, silence)
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.transport.abort() if self.fault else writer.close()

    async def forward(self, data, writer, silence):
        while self.fault in (silence, "frozen"):
            await asyncio.sleep(0.05)
        if self.fault == "delay":
            await asyncio.sleep(self.random.uniform(0.05, 0.4))
        while data:
            piece = data[:64] if self.fault == "drip" else data
            data = data[len(piece):]
            writer.write(piece)
            await writer.drain()
            if self.fault == "drip":
                await asyncio.sleep(0.02)
