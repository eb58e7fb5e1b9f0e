"""Starting on many image files, and reading them: this package beside torchvision's ImageFolder. (see README.md)"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from nas.data.folder import imagefolder
from nas.data.shards import shards
from nas.runs.files import write_json
from nas.runs.machine import cpu_model, usable_cores

CLASSES, PIXELS, BATCH, WORKERS = 100, 64, 128, 2
TEST_SHARE = 0.05
PER_SHARD = 10_000
RUNS, READ = 6, 12_800  # measurements of each reader, in turn, and the images of one at most
READERS = ("folder", "shards", "torchvision")


def make(root: Path, count: int) -> None:
    """`count` JPEGs of 96 x 72 pixels in 100 classes, as `folder/` and the same as `shards/`; what is there stays."""
    if (root / "made").exists():
        return
    rng = np.random.default_rng(0)
    for part, share in (("train", 1 - TEST_SHARE), ("val", TEST_SHARE)):
        (root / "shards" / part).mkdir(parents=True, exist_ok=True)
        archive: tarfile.TarFile | None = None
        for i in range(int(count * share)):
            label = i % CLASSES
            coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            content = io.BytesIO()
            Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC).save(content, "JPEG", quality=85)
            folder = root / "folder" / part / f"{label:03}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:07}.jpg").write_bytes(content.getvalue())
            if i % PER_SHARD == 0:
                if archive is not None:
                    archive.close()
                archive = tarfile.open(root / "shards" / part / f"{i // PER_SHARD:04}.tar", "w")  # noqa: SIM115
            assert archive is not None
            for ending, data in (("jpg", content.getvalue()), ("cls", str(label).encode())):
                about = tarfile.TarInfo(f"{i:07}.{ending}")
                about.size = len(data)
                archive.addfile(about, io.BytesIO(data))
        if archive is not None:
            archive.close()
    (root / "made").touch()


def load(reader: str, root: Path) -> Any:
    """The training images, ready to be read; ours with the fingerprint that every search and training asks for."""
    if reader == "torchvision":
        from torchvision import datasets, transforms

        steps = [transforms.RandomResizedCrop(PIXELS), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        normalise = transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
        return datasets.ImageFolder(str(root / "folder/train"), transforms.Compose([*steps, normalise]))
    card = imagefolder if reader == "folder" else shards
    data = card(str(root / reader), resolution=PIXELS, memory_limit_mb=0, workers=WORKERS)
    data.train.fingerprint()
    return data


def batches(reader: str, data: Any, epoch: int) -> Iterator[Any]:
    """Shuffled, augmented, normalised batches."""
    if reader != "torchvision":
        return iter(data.train.batches(BATCH, seed=0, epoch=epoch, augment="resized_crop_flip"))
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=False)
    return iter(loader)


def start(reader: str, root: Path) -> dict[str, float]:
    """In this process: seconds until the images are ready, memory of the process then."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    load(reader, root)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def started(reader: str, root: Path, cache: Path) -> dict[str, float]:
    """`start` in a process of its own."""
    words = [sys.executable, "-m", "experiments.benchmarks.many_images.run", "--start", reader, "--root", str(root)]
    done = subprocess.run(
        words, env={**os.environ, "NAS_CACHE": str(cache)}, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def throughput(root: Path) -> dict[str, dict[str, list[float]]]:
    """Of each reader, in turn and in turned order: `images_per_second`, and milliseconds of CPU an image, `cpu_ms`.

    The first batches of a pass, in which workers start, count for the second alone. So does what is read ahead of a
    pass that is not read to its end.
    """
    data = {reader: load(reader, root) for reader in READERS}
    found: dict[str, dict[str, list[float]]] = {reader: {"images_per_second": [], "cpu_ms": []} for reader in READERS}
    for run in range(RUNS):
        for reader in READERS if run % 2 else reversed(READERS):
            used, passing = cpu_seconds(), batches(reader, data[reader], run)
            first = sum(len(labels) for _, labels in islice(passing, 10))
            began = time.perf_counter()
            count = sum(len(labels) for _, labels in islice(passing, READ // BATCH))
            found[reader]["images_per_second"].append(count / (time.perf_counter() - began))
            del passing  # the workers end
            found[reader]["cpu_ms"].append(1000 * (cpu_seconds() - used) / (first + count))
    return found


def beside(found: list[float], other: list[float]) -> str:
    """The median and range of `found`, and those of its ratios to `other`, measured in the same turns."""
    ratios = [one / two for one, two in zip(found, other, strict=True)]
    return (
        f"{statistics.median(found):.4g} ({min(found):.4g} to {max(found):.4g}), "
        f"{statistics.median(ratios):.2f} times torchvision's ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="a folder for the images; 2 GB for 200,000")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--make", action="store_true", help="write the images, measure nothing")
    parser.add_argument("--rates", action="store_true", help="measure images a second alone, no starts")
    parser.add_argument("--save", type=Path, help="write the figures to this file")
    parser.add_argument("--start", choices=READERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.start:
        print(json.dumps(start(options.start, options.root)))
        return
    make(options.root, options.count)
    if options.make:
        return
    os.environ["NAS_CACHE"] = str(options.root / "cache")
    starts = {}
    for reader in () if options.rates else READERS:
        started(reader, options.root, options.root / f"cache-{reader}-warm")  # the system has read the folders by then
        cache = options.root / f"cache-{reader}-{time.time_ns()}"
        starts[reader] = [started(reader, options.root, cache) for _ in range(4)]
    rates = throughput(options.root)
    for reader, (first, *later) in starts.items():
        again = statistics.median(one["seconds"] for one in later)
        print(f"{reader}: first start {first['seconds']:.2f} s, again {again:.2f} s, {first['mib']:.0f} MiB")
    for reader, found in rates.items():
        for unit, values in found.items():
            print(f"{reader}, {unit}: {beside(values, rates['torchvision'][unit])}")
    if options.save:
        machine = {"cpu": cpu_model(), "cores": usable_cores(), "torch": torch.__version__, "workers": WORKERS}
        write_json(options.save, {"images": options.count, "starts": starts, "rates": rates, **machine})


if __name__ == "__main__":
    main()
