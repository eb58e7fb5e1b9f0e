"""Latency over 25 resolutions, depths, kernels and expansions, from few networks of Once-for-All's space."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from experiments import records
from experiments.compare.report import interval
from nas.latency.learning.rates import Work, learn_rates
from nas.latency.tables.proof import Errors
from search_spaces.blocks import ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer, PooledConv, SqueezeExcite
from search_spaces.choices import Chain, combine, constant
from search_spaces.composed import ComposedSpace
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population

FILE = Path(__file__).parent / "results.jsonl"
JUDGED = 4000  # of 5,000 networks the last thousand judge; samples are drawn from the others
RESOLUTIONS = tuple(range(128, 225, 4))
DEPTHS, KERNELS, EXPANDS = (2, 3, 4), (3, 5, 7), (3, 4, 6)
WIDTHS, STRIDES = (32, 48, 96, 136, 192), (2, 2, 2, 1, 2)  # MobileNetV3 at 1.2 times the channels
ACTS = ("relu", "relu", "hard_swish", "hard_swish", "hard_swish")
SQUEEZES = (False, True, False, True, True)
SE = SqueezeExcite(0.25, of="expanded", divisor=8, gate="hard_sigmoid")
SAMPLES = (10, 20, 50, 200)


def once_for_all() -> ComposedSpace:
    """Once-for-All's MobileNetV3 space (Cai et al., arXiv 1908.09791) at width 1.2: 46 variables."""
    chain = Chain("ofa_mobilenetv3", RESOLUTIONS, 3)
    chain.layer(constant(ConvBNAct(24, 3, 2, act="hard_swish")), constant(24), 2)
    chain.next_stage()
    chain.layer(constant(DepthwiseSeparable(24, 3, 1, "relu")))
    for stage in range(len(WIDTHS)):
        chain.next_stage()
        depth = chain.choice(f"stage{stage + 1}.depth", DEPTHS)
        for place in range(max(DEPTHS)):
            kernel = chain.choice(f"stage{stage + 1}.{place}.kernel", KERNELS)
            expand = chain.choice(f"stage{stage + 1}.{place}.expand", EXPANDS)
            stride = 1 if place else STRIDES[stage]

            def built(
                k: int, e: int, d: int, stage: int = stage, place: int = place, s: int = stride
            ) -> tuple[Layer, ...]:
                se = SE if SQUEEZES[stage] else None
                block = InvertedResidual(WIDTHS[stage], k, s, e, act=ACTS[stage], se=se)
                return (block,) if place < d else ()

            present = depth if place >= min(DEPTHS) else constant(max(DEPTHS))
            chain.run(combine(built, kernel, expand, present), constant(WIDTHS[stage]), stride)
    chain.next_stage()
    chain.layer(constant(ConvBNAct(1152, act="hard_swish")), constant(1152))
    chain.next_stage()
    chain.layer(constant(PooledConv(1536, act="hard_swish", bias=True)), constant(1536))
    chain.pool()
    return chain.space(1000)


def read(folder: Path) -> tuple[Population, dict[str, Floats]]:
    """Genotypes (5000, 46) and, by device setting, the milliseconds of HELP's files in `folder`."""
    torch.serialization.add_safe_globals([
        (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),
        np.dtype, np.dtypes.Int64DType, np.dtypes.Float64DType,
    ])  # fmt: skip
    archs = torch.load(folder / "ofa_archs.pt", weights_only=True)["arch"]
    genes = []
    for arch in archs:
        row = [RESOLUTIONS.index(int(arch["r"]))]
        for stage, depth in enumerate(arch["d"]):
            row.append(DEPTHS.index(depth))
            for place in range(4 * stage, 4 * stage + 4):
                row += [KERNELS.index(arch["ks"][place]), EXPANDS.index(arch["e"][place])]
        genes.append(row)
    files = sorted((folder / "latency").glob("*.pt"))
    times = {file.stem: np.array(torch.load(file, weights_only=True), dtype=np.float64) for file in files}
    return np.array(genes, dtype=np.int64), times


def process(seen: Floats, rows: np.ndarray, times: Floats) -> Floats:
    """A Gaussian process on the logarithm of the time, over the logarithm of each kind of work, a length for each."""
    logs = np.log1p(seen[:, seen.std(axis=0) > 0])
    scaled = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    kernel = ConstantKernel(1.0) * RBF(np.full(scaled.shape[1], 3.0), (0.1, 1e3)) + WhiteKernel(0.01)
    model = GaussianProcessRegressor(kernel, normalize_y=True).fit(scaled[rows], np.log(times))
    return np.asarray(np.exp(model.predict(scaled)))


def run(folder: Path, draws: int, out: Path) -> None:
    """A record a device setting and number of samples: errors of every way, draw by draw."""
    space, (genes, times) = once_for_all(), read(folder)
    work = Work.of(space)
    seen = work.of_population(genes)
    found = records.finished(out)
    done = {(r["device"], r["samples"], r["draws"]) for r in found}
    for samples in SAMPLES:
        for device, ms in times.items():
            if (device, samples, draws) in done:
                continue
            errors: dict[str, list[Errors]] = {}
            for draw in range(draws):
                rows = np.random.default_rng([draw, samples]).choice(JUDGED, samples, replace=False)
                ways = {
                    "action=learn": learn_rates(work, genes[rows], ms[rows]).predict(genes),
                    "multiply-adds": seen[:, :4].sum(axis=1) * ms[rows].mean() / seen[rows, :4].sum(axis=1).mean(),
                }
                if samples <= 50:
                    ways["process on log-time"] = process(seen, rows, ms[rows])
                for way, priced in ways.items():
                    errors.setdefault(way, []).append(Errors.of(priced[JUDGED:], ms[JUDGED:]))
            spearman = {way: [e.spearman for e in each] for way, each in errors.items()}
            percent = {way: [e.mape_percent for e in each] for way, each in errors.items()}
            record = {"device": device, "samples": samples, "draws": draws}
            found.append({**record, "spearman": spearman, "mape_percent": percent})
            records.write(out, found)


def report(found: Sequence[records.Record]) -> None:
    """A row a device setting; a cell: Spearman and its 95% interval over draws, mean error."""
    for samples in SAMPLES:
        of = [r for r in found if r["samples"] == samples]
        if not of:
            continue
        ways = list(of[0]["spearman"])
        print(f"\n{samples} samples\n\n| device | {' | '.join(ways)} |\n| --- |{' --- |' * len(ways)}")
        for r in of:
            cells = [
                "{:.3f} [{:.3f}, {:.3f}]; ".format(*interval(r["spearman"][way]))
                + f"{np.mean(r['mape_percent'][way]):.1f}%"
                for way in ways
            ]
            print(f"| {r['device']} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="HELP's folder data/ofa")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--report", action="store_true", help="print the tables of what is there")
    options = parser.parse_args()
    if not options.report:
        if options.data is None:
            parser.error("--data is HELP's folder data/ofa (see README.md)")
        run(options.data, options.draws, options.out)
    report(records.read(options.out))


if __name__ == "__main__":
    main()
