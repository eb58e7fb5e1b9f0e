"""What the C library is told about freed memory."""

import statistics
import subprocess
import sys

import pytest

# Blocks above 32 MiB, which glibc by its own rules always takes from the system and gives back at once.
SCRIPT = """
import resource, sys, torch
from nas.runs.memory import keep_freed_memory
told = keep_freed_memory() if sys.argv[1] == "keep" else None
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    return [torch.ones(12 << 20) for _ in range(2)]  # 48 MiB each
for _ in range(30):
    before = faults()
    work()
    print(told, faults() - before)
"""


def faults_per_round(mode: str) -> tuple[str, float]:
    """What malloc answered, and the median of the page faults a round takes once the heap has found its size."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True)
    rounds = [line.split() for line in done.stdout.splitlines()]
    return rounds[0][0], statistics.median(int(faults) for _, faults in rounds[10:])


def test_blocks_taken_back_cost_no_new_pages() -> None:
    told, kept = faults_per_round("keep")
    _, returned = faults_per_round("by its own rules")
    if told == "False" or not returned:
        pytest.skip("the C library cannot be told, or keeps freed memory by its own rules")
    assert kept < returned / 10
