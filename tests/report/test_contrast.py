"""Words can be read by those who see less (WCAG 2.1, 1.4.3: 4.5 to 1), on what a browser's checks do not see: inside of
charts. The rest of a page is the same colours on the same grounds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nas.report
from nas.report.sections.answers import FULL

STYLE = (Path(nas.report.__file__).parent / "run_page.css").read_text()
LEAST = 4.5
Colour = tuple[float, ...]


def colours(scheme: str) -> dict[str, Colour]:
    """The named colours of the light or the dark style."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    text = blocks[0] + (blocks[1] if scheme == "dark" else "")
    found = re.findall(r"--(\w+): #([0-9a-f]{6});", text)
    return {name: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4)) for name, value in found}


def luminance(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_of_known_colours() -> None:
    assert contrast((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) == pytest.approx(21)
    assert contrast((119 / 255,) * 3, (1.0, 1.0, 1.0)) == pytest.approx(4.48, abs=0.005)  # the known limit of grey


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(scheme: str) -> None:
    named = colours(scheme)
    card = named["card"]
    hues = re.findall(r"--hue: var\(--(\w+)\)", STYLE)
    assert len(set(hues)) == 8
    pairs = {(word, ground): (named[word], named[ground]) for word in ("ink", "soft") for ground in ("card", "paper")}
    pairs |= {(word, "paper"): (named[word], named["paper"]) for word in ("blue", "green", "red")}
    pairs |= {("inside", hue): (card, named[hue]) for hue in hues}  # the sides of kernels in the boxes of a network
    for kind in ("blue", "red"):  # the cells of a confusion: right, wrong
        ground = tuple(FULL * of + (1 - FULL) * under for of, under in zip(named[kind], card, strict=True))
        pairs["cell", kind] = (named["ink"], ground)
    found = {pair: round(contrast(*two), 2) for pair, two in pairs.items()}
    assert not {pair: ratio for pair, ratio in found.items() if ratio < LEAST}


def test_colours_that_a_legend_names_are_printed() -> None:
    """Browsers leave backgrounds out on paper, where nothing asks for them."""
    asked = re.search(r"([^{}]*)\{[^}]*print-color-adjust: exact", STYLE)
    assert asked is not None
    drawn_as_backgrounds = {
        name for name in (".key::before", ".bar") if re.search(rf"{re.escape(name)} \{{[^}}]*background", STYLE)
    }
    assert drawn_as_backgrounds == {part.strip() for part in asked[1].split(",")}
