"""One conversation with another machine over the system's ssh: a request, and replies until it is answered."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import subprocess
import threading
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from typing import IO, Any

from nas.latency.devices.remote import agent
from nas.latency.devices.remote.address import Address
from nas.latency.devices.remote.faults import Lost, ended
from nas.latency.kits.one_program import one_program
from nas.runs import machine

SILENCE_SECONDS = 90.0  # without a reply, after which nobody is believed to be there: ssh itself gives up after 60
MOST_BYTES = 1 << 28  # of one reply
KEPT_ERRORS = 8000  # characters of what ssh says
MARK = agent.MARK.encode()


@cache
def program() -> bytes:
    """The source of what runs on the other machine, in ASCII."""
    return one_program((machine, agent), "Answers one request; see nas.latency.devices.remote").encode("ascii")


class Connection:
    """ssh to `address`, running `agent` there on `request`. A context manager; leaving it ends ssh, and nothing there.

    Raises `ValueError` with the cure where ssh, or what it starts, cannot be had, `Lost` where the connection broke.
    """

    def __init__(self, address: Address, request: Mapping[str, Any]) -> None:
        self.address = address
        self._replies: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._errors = ""
        try:
            self.process = subprocess.Popen(
                address.command(len(program())),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for us, who then end it
            )
        except FileNotFoundError:
            raise ValueError("there is no ssh here; install it: sudo apt install openssh-client") from None
        out, errors = self.process.stdout, self.process.stderr
        assert out is not None and errors is not None and self.process.stdin is not None
        os.set_blocking(self.process.stdin.fileno(), False)
        self._threads = [
            threading.Thread(target=target, args=(stream,), daemon=True)
            for target, stream in ((self._read_replies, out), (self._read_errors, errors))
        ]
        for thread in self._threads:
            thread.start()
        self.request = json.dumps(request).encode("ascii") + b"\n"

    def __enter__(self) -> Connection:
        try:
            self.send(program() + self.request)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Write all of `data` to the program there, if it is there; `receive` says why it is not."""
        stdin = self.process.stdin
        assert stdin is not None
        rest = memoryview(data)
        while rest:
            _, ready, _ = select.select([], [stdin], [], SILENCE_SECONDS)
            if not ready:
                raise Lost(f"{self.address.host} takes no more data")
            try:
                rest = rest[os.write(stdin.fileno(), rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return  # why is in its last reply, or in what ssh says at its end

    def receive(self) -> dict[str, Any]:
        """The next reply."""
        try:
            reply = self._replies.get(timeout=SILENCE_SECONDS)
        except queue.Empty:
            raise Lost(f"{self.address.host} has not answered for {SILENCE_SECONDS:.0f} s") from None
        if reply is None:
            raise self._why_ended()
        return reply

    def close(self) -> None:
        """End ssh; what was started there detached goes on."""
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(timeout=2)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _why_ended(self) -> Exception:
        try:
            status = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return Lost(f"{self.address.host} closed the connection")
        self._threads[1].join(timeout=2)
        return ended(self.address, status, self._errors)

    def _read_replies(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(MOST_BYTES):
                start = line.find(MARK)  # a login script may have left its line open
                if start >= 0 and isinstance(reply := json.loads(line[start + len(MARK) :]), dict):
                    self._replies.put(reply)
        self._replies.put(None)

    def _read_errors(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 4096):
                self._errors = (self._errors + data.decode(errors="replace"))[-KEPT_ERRORS:]


def asked(address: Address, request: Mapping[str, Any]) -> dict[str, Any]:
    """The only reply to `request`."""
    with Connection(address, request) as connection:
        return connection.receive()
