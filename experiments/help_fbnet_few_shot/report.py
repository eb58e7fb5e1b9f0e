"""Fill the table of README.md from results.json."""

from __future__ import annotations

import json
from pathlib import Path

from experiments.figures import fill

HERE = Path(__file__).parent


def body(results: dict) -> list[str]:
    lines = [
        "| new device | HELP, ten samples | its ten networks | 20 random draws: mean, std, min | alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    for device, r in results["devices"].items():
        drawn = [r[f"spearman_random_networks_{name}"] for name in ("mean", "std", "min")]
        lines.append(
            f"| {device} | {r['help_published'] or ''} | {r['spearman_reference_networks']:.3f} | "
            f"{drawn[0]:.3f}, {drawn[1]:.3f}, {drawn[2]:.3f} | {r['without_other_devices']:.3f} |"
        )
    prior = results["prior"]
    lines += [
        "",
        "`alone`: a table learned from HELP's ten networks without other devices.",
        "",
        f"Of the {prior['tried']} priors tried on the source devices the one used ranks {prior['used']['rank']} (mean "
        f"Spearman {prior['used']['mean_spearman']:.3f}; best {prior['best'][0]['mean_spearman']:.3f}, worst "
        f"{prior['worst']['mean_spearman']:.3f}).",
    ]
    return lines


if __name__ == "__main__":
    fill(HERE / "README.md", "\n".join(body(json.loads((HERE / "results.json").read_text()))))
