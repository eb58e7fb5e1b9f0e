"""The doctor looks for what the exporters and executors import, under the names they import it by."""

from __future__ import annotations

from nas.doctor import OPTIONAL, REQUIRED, machine
from nas.export.formats import NAMES, format_named
from nas.latency.runtimes import NAMES as RUNTIMES
from nas.latency.runtimes import runtime_named


def test_optional_packages_are_those_that_are_used() -> None:
    exported = {format_named(name).package for name in NAMES if name != "onnx"}
    timed = {package.module for name in RUNTIMES for package in runtime_named(name).needed("int8")}
    assert set(OPTIONAL) - {"ray"} == (exported | timed) - set(REQUIRED)


def test_the_processor_and_a_limit_on_threads_are_told_apart(monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert next(note for what, _, _, note in machine() if what == "processor").endswith("; OMP_NUM_THREADS=3")
