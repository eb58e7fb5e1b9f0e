"""A table never changes owner: an import replaces what came from the same device before, and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from nas.latency.devices.local import LocalDevice
from nas.latency.tables.reuse import check_may_replace
from tests.latency.devices.kinds import made_up_table, tiny

PHONE = LocalDevice("phone")
KIT = {"kit": "abc", "cpu": "Phone 1", "cores": 8}


@pytest.mark.parametrize(
    ("known", "found", "message"),
    [
        (KIT, KIT, None),
        (KIT, {**KIT, "kit": "def", "onnxruntime": "2"}, None),  # measured anew there
        (KIT, {"imported": {"file": "x"}}, None),
        ({"imported": {"file": "x"}}, KIT, None),
        (KIT, {**KIT, "cpu": "Phone 2"}, "is of another device: its cpu is 'Phone 1', of the import 'Phone 2'"),
        (KIT, {**KIT, "cores": 4}, "its cores is 8"),
        (None, KIT, "was measured by this machine itself"),
        ({"cpu": "another"}, {"imported": {"file": "x"}}, "was measured by another machine itself"),
    ],
)
def test_an_import_replaces_its_own_alone(
    known: dict[str, Any] | None, found: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    path = PHONE.table_path(tiny(), tmp_path)
    made_up_table(tiny(), PHONE, known).save(path)
    before, new = path.read_bytes(), made_up_table(tiny(), PHONE, found)
    with pytest.raises(ValueError, match="replace it with refresh=true"):
        check_may_replace(path, new, refresh=False)
    if message is None:
        check_may_replace(path, new, refresh=True)
    else:
        with pytest.raises(ValueError, match=message) as refused:
            check_may_replace(path, new, refresh=True)
        assert "\n" not in str(refused.value)
    assert path.read_bytes() == before


def test_a_damaged_table_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{")
    check_may_replace(tmp_path / "t.json", made_up_table(tiny(), PHONE, KIT), refresh=True)
    check_may_replace(tmp_path / "none.json", made_up_table(tiny(), PHONE, KIT), refresh=False)


def test_what_was_brought_from_a_device_is_not_measured_here(tmp_path: Path) -> None:
    """Not even where it is a machine like this one."""
    table = made_up_table(tiny(), PHONE)
    assert PHONE.not_measured(table) is None  # built here, under a name of its own
    brought = dataclasses.replace(table, environment={**table.environment, "kit": "abc"})
    assert brought.is_of_this_machine and "brought from that device" in str(PHONE.not_measured(brought))
