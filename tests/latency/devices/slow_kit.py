"""A kit that measures nothing: it writes a journal, a line a step, slowly, and goes on where it was."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nas.latency.devices.remote.job import Job
from nas.latency.measuring.journal import seal

from .board import Board

ENVIRONMENT = {"cpu": "Z80", "cores": 1}
SCRIPT = """
import hashlib, json, os, time
from pathlib import Path
kit = json.loads(Path("kit.json").read_text())
with open("starts", "a") as file:
    print(os.getpid(), time.time(), file=file)
with open("results.jsonl", "a") as journal:
    done = len(Path("results.jsonl").read_text().splitlines())
    while done < kit["steps"]:
        time.sleep(0.02)
        print(done, file=journal, flush=True)
        done += 1
        print(f"blocks: {done} of at most {kit['steps']} visits", flush=True)
results = {"kit": kit["id"], "environment": kit["environment"], "ended": time.time()}
text = json.dumps(results, sort_keys=True, separators=(",", ":"))
results["digest"] = hashlib.sha256(text.encode()).hexdigest()[:32]
Path("partial").write_text(json.dumps(results))
Path("partial").rename("results.json")
"""


def write(folder: Path, steps: int = 5, script: str = SCRIPT, more: bytes = b"") -> Path:
    """A kit of so many steps of 0.02 s."""
    folder.mkdir()
    kit = {"steps": steps, "environment": ENVIRONMENT, "folder": str(folder)}
    (folder / "kit.json").write_text(json.dumps({**kit, "id": seal(kit, "id")}))
    (folder / "measure.py").write_text(script)
    (folder / "graphs").mkdir()
    for i in range(3):
        (folder / "graphs" / f"{i}.onnx").write_bytes(bytes([i]) * 1000 + more)
    return folder


def job(board: Board, kit: Path, **more: object) -> Job:
    return dataclasses.replace(Job(board.address, board.folder, kit, ENVIRONMENT), **more)  # type: ignore[arg-type]


def there(board: Board, kit: Path) -> Path:
    return Path(board.folder) / "kits" / json.loads((kit / "kit.json").read_text())["id"]


def starts(board: Board, kit: Path) -> list[int]:
    """The processes that measured it."""
    with contextlib.suppress(FileNotFoundError):
        return [int(line.split()[0]) for line in (there(board, kit) / "starts").read_text().splitlines()]
    return []


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextlib.contextmanager
def running(job: Job) -> Iterator[list[BaseException]]:
    """`job` in a thread, which is waited for; the list holds what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            job.run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield raised
    thread.join(30)
    assert not thread.is_alive()


def steps_made(board: Board, kit: Path) -> list[str]:
    """Its journal, which is opened a moment after a process began."""
    with contextlib.suppress(FileNotFoundError):
        return (there(board, kit) / "results.jsonl").read_text().splitlines()
    return []
