"""Fill the table of README.md from results.json."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
START, END = "<!-- figures -->", "<!-- end of figures -->"


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
    readme = (HERE / "README.md").read_text()
    head, _, rest = readme.partition(START)
    tail = rest.partition(END)[2]
    text = body(json.loads((HERE / "results.json").read_text()))
    (HERE / "README.md").write_text(head + "\n".join([START, "", *text, "", END]) + tail)
