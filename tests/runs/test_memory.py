"""What the C library is told about freed memory."""

import statistics
import subprocess
import sys

import pytest

# Blocks above 32 MiB, which glibc by its own rules always takes from the system and gives back at once.
SCRIPT = """
import resource, torch
from nas.runs.memory import keep_freed_memory
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    return [torch.ones(12 << 20) for _ in range(2)]  # 48 MiB each
def show(told):
    for _ in range(24):
        before = faults()
        work()
        print(told, faults() - before)
show(None)
show(keep_freed_memory())
"""


def test_blocks_taken_back_cost_no_new_pages() -> None:
    """Medians over the later rounds, by malloc's own rules and then as it was told: the heap may take eight of them to
    find its size."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    rounds = [line.split() for line in done.stdout.splitlines()]
    returned, kept = (statistics.median(int(faults) for _, faults in half[12:]) for half in (rounds[:24], rounds[24:]))
    told = rounds[-1][0]
    if told == "False" or not returned:
        pytest.skip("the C library cannot be told, or keeps freed memory by its own rules")
    assert kept < returned / 10
