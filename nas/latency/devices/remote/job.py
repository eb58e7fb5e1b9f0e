"""A kit measured on another machine, through broken connections and restarts of that machine."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.latency.devices.remote.address import Address
from nas.latency.devices.remote.connection import Connection
from nas.latency.devices.remote.faults import Lost, reported, unreachable
from nas.latency.measuring.journal import seal
from nas.runs.files import write_text
from nas.terminal.progress import Advance, format_seconds, log, phase

PATIENCE_SECONDS = 900.0  # without reaching a machine that was reached before: time enough for a restart
FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 1.0, 15.0  # between attempts to reach it
MOST_RESULTS = 1 << 28  # bytes
PROGRESS = re.compile(r"(blocks|networks): (\d+) of at most (\d+) visits(?: \((.+)\))?")
PHASES = {"blocks": "measuring blocks", "networks": "timing whole networks"}
UNTOLD = ("rows:", "done:")  # what the script says to somebody at its terminal


@dataclass(frozen=True)
class Job:
    """The kit in the folder `kit` (here) for the machine at `address`, which keeps kits in its `folder`.

    `environment`: what the machine is now, as results state it; results of another state are measured anew. `anew`:
    so is everything. `forget`: the kit is removed there when its results are here.
    """

    address: Address
    folder: str
    kit: Path
    environment: Mapping[str, Any]
    anew: bool = False
    forget: bool = False

    def run(self) -> None:
        """Leave `results.json` in `kit`.

        Raises `ValueError` with the cure where that cannot be done; what was measured until then is kept there.
        """
        told = _Told(self.address.host)
        request = {
            "do": "measure",
            "folder": self.folder,
            "kit": json.loads((self.kit / "kit.json").read_text(encoding="utf-8"))["id"],
            "files": _files(self.kit),
            "environment": dict(self.environment),
            "anew": self.anew,
        }
        wait = FIRST_WAIT_SECONDS
        try:
            while True:
                try:
                    with Connection(self.address, request) as connection:
                        results = self._follow(connection, request, told)
                        write_text(self.kit / "results.json", results)
                        connection.send(b"forget\n" if self.forget else b"keep\n")
                        with contextlib.suppress(Lost, ValueError):
                            connection.receive()  # until it ended: what it forgets is gone
                    return
                except Lost as lost:
                    told.lost(str(lost), self.address)
                    wait = FIRST_WAIT_SECONDS if told.was_reached_just_now else min(2 * wait, MOST_WAIT_SECONDS)
                    time.sleep(wait)
        except KeyboardInterrupt:
            told.interrupted(self.address)
            raise
        finally:
            told.end()

    def _follow(self, connection: Connection, request: dict[str, Any], told: _Told) -> str:
        """The text of the results, when they are there."""
        while True:
            reply = connection.receive()
            told.reached()
            if "fault" in reply:
                raise reported(self.address, self.folder, str(reply["fault"]), str(reply.get("text", "")))
            if "missing" in reply:
                self._send(connection, reply["missing"], request["files"])
            elif "ready" in reply:
                request["anew"] = False
            elif "results" in reply:
                return _results(str(reply["results"]), request["kit"], self.address)
            else:
                told.tell(reply)

    def _send(self, connection: Connection, missing: Any, files: Mapping[str, Any]) -> None:
        if not isinstance(missing, list) or not set(missing) <= set(files):
            raise ValueError(f"{self.address.host} asks for files that the kit does not have; is its program ours?")
        if not missing:
            return
        with phase(f"copying the kit to {self.address.host}", len(missing), "file") as advance:
            for name in missing:
                connection.send((self.kit / name).read_bytes())
            for _ in missing:
                if "fault" in (reply := connection.receive()):
                    raise reported(self.address, self.folder, str(reply["fault"]), str(reply.get("text", "")))
                advance()


def _files(kit: Path) -> dict[str, list[Any]]:
    """{name: [bytes, SHA-256]} of a kit's files, the one that lists the others last."""
    names = sorted(path.relative_to(kit).as_posix() for path in kit.rglob("*") if path.is_file())
    names = [name for name in names if not name.startswith("results.")]
    names.sort(key=lambda name: name == "kit.json")
    return {name: [len(data := (kit / name).read_bytes()), hashlib.sha256(data).hexdigest()] for name in names}


def _results(packed: str, kit: str, address: Address) -> str:
    """The results in `packed`, whole and of this kit."""
    try:
        text = zlib.decompressobj().decompress(base64.b64decode(packed), MOST_RESULTS).decode("utf-8")
        data = json.loads(text)
        if data["digest"] == seal(data, "digest") and data["kit"] == kit:
            return text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error):
        pass
    raise ValueError(
        f"the results on {address.host} are damaged or of another kit than {kit}; measure them again: refresh=true"
    )


@dataclass
class _Told:
    """What the user was told of a job."""

    host: str
    said: set[str] = field(default_factory=set)
    last_contact: float | None = None
    was_reached_just_now: bool = False
    is_lost: bool = False
    pid: Any = None
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    advance: Advance | None = None
    group: str = ""
    done: int = 0
    note: str = ""

    def reached(self) -> None:
        self.last_contact, self.was_reached_just_now = time.monotonic(), True
        if self.is_lost:
            log(f"{self.host} is reached again")
            self.is_lost = False

    def lost(self, reason: str, address: Address) -> None:
        """Say that the connection broke. Raises `ValueError` where there was none, and where it stays away."""
        if self.last_contact is None:
            raise unreachable(address, reason)
        away = time.monotonic() - self.last_contact
        if away > PATIENCE_SECONDS:
            raise ValueError(
                f"{self.host} was not reached again for {format_seconds(away)} ({reason}); what was measured there is "
                "kept: give the same command again when it is back"
            )
        if self.was_reached_just_now:
            goes_on = f"; {self.host} measures on meanwhile" if self.pid is not None else ""
            log(f"the connection broke ({reason}){goes_on}; it is tried again")
        self.was_reached_just_now, self.is_lost = False, True

    def interrupted(self, address: Address) -> None:
        if self.pid is not None:
            log(
                f"{self.host} measures on by itself, and the same command takes it up again; to stop it there: "
                f"{address.by_hand(f'kill {self.pid}')}"
            )
        elif self.last_contact is not None:
            log(f"what is on {self.host} is kept, and the same command continues it")

    def tell(self, reply: Mapping[str, Any]) -> None:
        if isinstance(line := reply.get("line"), str):
            self._line(line)
        elif isinstance(pid := reply.get("pid"), int):
            self.pid = pid
        elif isinstance(other := reply.get("waiting"), dict) and other.get("kit"):
            self._once(f"{self.host} measures another kit ({other['kit']}, process {other.get('pid')}); waiting for it")
        elif again := reply.get("again"):
            log(f"measuring on {self.host} ended early ({again}) and is continued")

    def _line(self, line: str) -> None:
        if found := PROGRESS.fullmatch(line):
            self._progress(found[1], int(found[2]), int(found[3]), found[4] or "")
        elif not line.startswith(UNTOLD):
            self._once(f"{self.host}: {line}")

    def _once(self, text: str) -> None:
        """Say `text`; a log that is read again from its start is not said again."""
        if text not in self.said:
            log(text)
        self.said.add(text)

    def _progress(self, group: str, done: int, total: int, note: str) -> None:
        if group != self.group:
            self.end()
            self.advance = self.stack.enter_context(phase(f"{PHASES[group]} on {self.host}", total, "visit", done))
            self.group, self.done = group, done
        if self.advance is not None and (done > self.done or note):
            self.advance(max(done - self.done, 0), note or ("visiting" if self.note else ""))
            self.done, self.note = max(done, self.done), note

    def end(self) -> None:
        self.stack.close()
        self.group = ""
