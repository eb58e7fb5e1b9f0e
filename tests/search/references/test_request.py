"""Which references are asked for; wrong ones are refused in one line before anything is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.data.digits import digits
from nas.search.__main__ import main as search
from nas.search.references.request import FAMILIES, PLAIN, ReferenceRequest, family_of, found_for
from nas.terminal.error_lines import USER_ERROR
from search_spaces import zoo
from search_spaces.families.hand_made.plain import plain
from search_spaces.families.hand_made.scaling import fitted
from search_spaces.families.mobile.found import FOUND

DATA = digits(16)
SETTINGS: dict[str, Any] = {"names": [*FAMILIES, *PLAIN], "train": "auto", "start": True}


def test_the_default_ones_are_families_that_fit_the_images() -> None:
    request = ReferenceRequest.from_config(SETTINGS, DATA)
    assert [family.name for family in request.families] == SETTINGS["names"] and request.train is None
    for family in request.families:
        assert len(family.ladder) > 30
        assert all(arch.input_shape == DATA.input_shape and arch.num_classes == 10 for _, arch in family.ladder)
    assert family_of("plain", DATA).arch == fitted(zoo.published("plain_conv4"), 16, 10, 1)
    nothing = ReferenceRequest.from_config({**SETTINGS, "names": None, "train": True}, DATA)
    assert nothing == ReferenceRequest((), True, found=request.found)
    assert ReferenceRequest.from_config(None, DATA) == ReferenceRequest()


def test_networks_of_earlier_searches_fit_the_images_that_they_were_found_on() -> None:
    found = found_for(DATA)
    assert [family.name for family in found] == list(FOUND["small"])
    assert all(arch.input_shape == DATA.input_shape for family in found for _, arch in family.ladder)
    assert found_for(digits(65)) == ()


def test_no_name_is_given_twice() -> None:
    with pytest.raises(ValueError, match="references.names lists 'plain' twice"):
        ReferenceRequest.from_config({**SETTINGS, "names": ["plain", "plain"]}, DATA)


def test_files_and_published_names_can_be_added(tmp_path: Path) -> None:
    mine = plain("plain_conv4", 0.3, 16, 10, 1)
    (tmp_path / "mine.json").write_text(mine.to_json())
    family = family_of(str(tmp_path / "mine.json"), DATA)
    assert family.name == "mine" and family.ladder == ((None, mine),)
    assert family_of("mnasnet_100", DATA).is_scaled


def test_files_and_folders_that_are_called_alike_are_told_apart(tmp_path: Path) -> None:
    names = [str(tmp_path / folder / "arch.json") for folder in ("first", "second")] + [
        "plain",
        str(tmp_path / "plain"),
    ]
    for width, name in zip((0.2, 0.3, None, 0.4), names, strict=True):
        if width is not None:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(plain("plain_conv4", width, 16, 10, 1).to_json())
    families = ReferenceRequest.from_config({**SETTINGS, "names": names}, DATA).families
    assert [family.name for family in families] == names
    (alone,) = ReferenceRequest.from_config({**SETTINGS, "names": names[:1]}, DATA).families
    assert alone.name == "arch"


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (plain("plain_conv4", 0.3, 16, 5, 1), "other.json has 5 classes, digits needs 10"),
        (plain("plain_conv4", 0.3, 16, 10, 3), "other.json has 3 input channels, digits needs 1"),
        (plain("plain_conv4", 0.3, 32, 10, 1), "other.json has 32 pixels, digits needs 16"),
        (None, "no arch file or model folder at"),
    ],
)
def test_what_does_not_fit_is_refused(arch: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if arch is not None:
        Path("other.json").write_text(arch.to_json())
    with pytest.raises(ValueError, match=message):
        family_of("other.json", DATA)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["references.names=[nothing]"], "references.names: unknown network 'nothing'"),
        (["references.train=true", "train.enabled=false"], "references.train=true trains them as the found network"),
        (["derive.best_of=all"], "derive.best_of=all compares trained networks: add references.train=true"),
    ],
)
def test_mistakes_end_in_one_line_before_anything_is_measured(
    settings: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        search(["space=fbnet", *settings, "run_dir=r"])
    said = capsys.readouterr().err
    assert stop.value.code == USER_ERROR and said.count("\n") == 1 and message in said
    assert not list(tmp_path.iterdir())
