"""Does the default search beat hand-made and random networks at equal measured latency? (see README.md)"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from experiments import records
from experiments.collecting import collect_or_report
from experiments.wins import published, rivals
from experiments.wins.report import NEAR, report
from experiments.wins.searching import Search, waited_for
from experiments.wins.setting import Setting
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.measuring.networks import Care, measure_networks
from nas.latency.measuring.samples import Conditions
from nas.latency.tables.table import LatencyTable
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces.arch import Arch

SHARES = (0.06, 0.12, 0.03)  # budgets, of the reference network's time; the middle one first
EVERY_BUDGET = ",".join(map(str, SHARES))
REFERENCE = "6m"  # that network, as tables call it
CARE = Care(5, 9, 8.0)  # processes that measure, visits of each, ms of a visit

Record = dict[str, Any]


def train(setting: Setting, root: str, what: str, seed: int) -> dict[str, float]:
    """Train one network (see `published.built`) from scratch; figures on all test images, and its processor seconds."""
    torch.set_num_threads(1)
    began = time.process_time()
    network = published.built(what, setting.recipe, seed)
    figures = training.train(
        network, setting.data(root), setting.recipe, seed=seed, accelerator=make_accelerator("cpu")
    )
    return {
        "top1_percent": figures["top1_percent"],
        "train_seconds": figures["train_seconds"],
        "processor_seconds": time.process_time() - began,
    }


@dataclass
class Comparison:
    """A comparison in the making: every finished piece is a line of `results.jsonl`, so that it can continue."""

    setting: Setting
    root: str
    out: Path
    processes: int
    device: Device = field(default_factory=Device)

    @cached_property
    def file(self) -> Path:
        return self.out / "results.jsonl"

    @cached_property
    def finished(self) -> list[Record]:
        """What earlier runs left. Raises `ValueError` where they had another setting."""
        found = records.finished(self.file)
        asked = self.setting.record()
        for known in (r for r in found if r["kind"] == "setting"):
            differing = [key for key in {**known, **asked} if known.get(key) != asked.get(key)]
            if differing:
                what = ", ".join(f"{key} {known.get(key)!r}, now {asked.get(key)!r}" for key in differing)
                raise ValueError(f"{self.file} is of another setting ({what}); give another --out")
        if not found:
            found = [asked]
            records.write(self.file, found)
        return found

    def of(self, kind: str, **values: Any) -> list[Record]:
        """The finished records of `kind` that have these `values`."""
        return [r for r in self.finished if r["kind"] == kind and all(r[key] == v for key, v in values.items())]

    def add(self, *new: Record) -> None:
        self.finished.extend(new)
        records.write(self.file, self.finished)
        for record in new:
            if record["kind"] != "width":
                print(json.dumps({key: value for key, value in record.items() if key != "arch"}), flush=True)

    @cached_property
    def table(self) -> LatencyTable:
        """The table that all searches share; measured, it is a piece."""
        before = waited_for()
        table = build_table(self.setting.space(), self.device, self.out / "tables")
        if not self.of("measured", what="table"):
            self.add({"kind": "measured", "what": "table", "processor_seconds": waited_for() - before})
        return table

    def measure(self, what: str, archs: Sequence[Arch]) -> tuple[list[NetworkTime], Record]:
        """The times of `archs` at the table's conditions, visited in turns, and the record of the processor time that
        this took."""
        print(f"measuring {what}: {len(archs)} networks in {CARE.processes} processes", flush=True)
        before = waited_for()
        found = measure_networks(archs, self.device, Conditions.of_table(self.table.environment), care=CARE)
        return found, {"kind": "measured", "what": what, "processor_seconds": waited_for() - before}

    @cached_property
    def ladders(self) -> dict[str, rivals.Ladder]:
        return rivals.ladders(self.setting.data(self.root), SHARES)

    def widths(self) -> dict[str, dict[float, float]]:
        """By family and width the milliseconds; measured once."""
        if not self.of("width"):
            keys = [(name, width) for name, found in self.ladders.items() for width in found]
            archs = [self.ladders[name][width] for name, width in keys]
            found, spent = self.measure("widths of hand-made networks", archs)
            lines = [
                {"kind": "width", "name": name, "width": width, "macs": arch.macs, "latency_ms": time.latency_ms}
                for (name, width), arch, time in zip(keys, archs, found, strict=True)
            ]
            self.add(*lines, spent)
        known: dict[str, dict[float, float]] = {}
        for r in self.of("width"):
            known.setdefault(r["name"], {})[r["width"]] = r["latency_ms"]
        return known

    def search(self, share: float, seed: int) -> Record:
        """The search of this budget and seed."""
        if not (found := self.of("search", budget=share, seed=seed)):
            latency_ms = share * self.table.environment["calm_ms"][REFERENCE]
            folder = self.out / f"search-{share}-{seed}"
            tables = self.out / "tables"
            self.add(Search(self.setting, self.root, folder, tables, share, latency_ms, seed, self.processes).run())
            found = self.of("search", budget=share, seed=seed)
        return found[0]

    def networks(self, share: float, seed: int) -> list[Record]:
        """The found network and what it is compared with, in the order in which they train.

        All are measured beside each other; of each family the width is taken whose time is nearest above the
        found network's, of random networks those nearest to it.
        """
        if known := self.of("network", budget=share, seed=seed):
            return known
        searched = self.search(share, seed)
        found, where = Arch.from_dict(searched["arch"]), f"at {share}, seed {seed}"
        (first,), spent = self.measure(f"found {where}", [found])
        field_of = rivals.Field(found, self.hand_made(share, first.latency_ms), self.random(searched))
        measured, more = self.measure(f"networks {where}", field_of.archs)
        lines = field_of.chosen(measured, self.setting.random)
        self.add(spent, more, *({**line, "budget": share, "seed": seed} for line in lines))
        return self.of("network", budget=share, seed=seed)

    def hand_made(self, budget: float, latency_ms: float) -> dict[tuple[str, float], Arch]:
        """By name and width, a few widths of each family from the one whose time is nearest above `latency_ms`, and of
        the plain networks that are best at `budget`."""
        plain = {f"{rivals.BEST_PLAIN}: {form}" for form in rivals.best_plain(budget)}
        return {
            (name, width): self.ladders[name][width]
            for name, known in self.widths().items()
            if name in plain or not name.startswith(rivals.BEST_PLAIN)
            for width in rivals.around(known, latency_ms)
        }

    def random(self, searched: Record) -> list[Arch]:
        """Random networks of the estimate of the one that was `searched`, none of them that one: twice as many as are
        compared."""
        space, count = self.setting.space(), 2 * self.setting.random
        if not count:
            return []
        cost = self.table.cost(space)
        found = Arch.from_dict(searched["arch"]).id
        drawn = rivals.drawn(space, cost, searched["estimated_latency_ms"], count + 1, searched["seed"])
        return [arch for arch in drawn if arch.id != found][:count]

    def published(self, seed: int) -> list[Record]:
        """Published networks of CIFAR's size, where these are its images, to be trained with `seed`."""
        if self.setting.dataset != published.DATASET:
            return []
        if not self.of("published"):
            self.add(*published.lines())
        return [{**line, "seed": seed} for line in self.of("published")]

    def trained(self, networks: Sequence[Record]) -> None:
        """Train those of `networks` that are not trained yet, each with the seed of its search."""
        done = {(r["id"], r["seed"]) for r in self.of("training")}
        left = [n for n in networks if (n["id"], n["seed"]) not in done]
        if not left:
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.processes, len(left)), mp_context=context) as pool:
            jobs = {pool.submit(train, self.setting, self.root, published.what_of(n), n["seed"]): n for n in left}
            kept = set()
            try:
                for job in as_completed(jobs):
                    job.result()
                    self._keep(job, jobs[job])
                    kept.add(job)
            except BaseException:
                # what is done, or under way, is kept; a cancelled job never comes out of `as_completed`
                pool.shutdown(cancel_futures=True)
                for job in jobs.keys() - kept:
                    if not job.cancelled() and job.exception() is None:
                        self._keep(job, jobs[job])
                raise

    def _keep(self, job: Future[dict[str, float]], network: Record) -> None:
        which = {key: network[key] for key in ("name", "index", "budget", "seed", "id")}
        self.add({"kind": "training", **which, **job.result()})


def collect(data: str, out: Path, processes: int, seeds: int, budgets: str, **settings: Any) -> None:
    """Run what is missing: seed after seed, of each one budget after the other; behind all of these the trainings of
    what is too slow to count at its latency, and of published networks."""
    shares = [float(share) for share in budgets.split(",")]
    if unknown := [share for share in shares if share not in SHARES]:
        raise SystemExit(f"--budgets must be of {EVERY_BUDGET}, got {', '.join(map(str, unknown))}")
    comparison = Comparison(Setting(**settings), data, out, processes)
    late: list[Record] = []
    for seed in range(seeds):
        for share in shares:
            found, *others = comparison.networks(share, seed)
            slow = [other for other in others if other["latency_ms"] > NEAR * found["latency_ms"]]
            comparison.trained([found, *(other for other in others if other not in slow)])
            late += slow
        late += comparison.published(seed)
    comparison.trained(late)


DEFAULTS = Setting()

if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/wins",
        collect,
        report,
        processes=(2, "single-threaded worker processes"),
        seeds=(5, "searches of each budget, each with its hand-made and random networks"),
        budgets=(EVERY_BUDGET, "budgets, as shares of the reference network's time"),
        dataset=(DEFAULTS.dataset, "fashion_mnist or cifar10"),
        images=(DEFAULTS.images, "training images; 0: all"),
        candidate_images=(DEFAULTS.candidate_images, "of these, that a candidate trains on; 0: all that do not judge"),
        search_images=(DEFAULTS.search_images, "of these, that searches use; 0: all of these"),
        epochs=(DEFAULTS.epochs, "of every final training"),
        candidate_epochs=(DEFAULTS.candidate_epochs, "of a candidate's training"),
        elastic=(DEFAULTS.elastic, "epochs of a supernet that candidates are scored by; 0: they are trained"),
        elastic_trials=(DEFAULTS.elastic_trials, "candidates that such a supernet scores"),
        random=(DEFAULTS.random, "random networks beside each found one"),
    )
