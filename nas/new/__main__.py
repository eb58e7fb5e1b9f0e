"""`python -m nas.new kind=space name=my_space`: a commented module and its card, to be changed.

They work as they are written: the commands that are printed run in the folder `to`. Nothing is overwritten.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from nas.new.writing import KINDS, Start
from nas.terminal.entry import DictConfig, check_types, entry
from nas.terminal.progress import log


@entry("new")
def main(cfg: DictConfig) -> None:
    check_types(cfg, {"kind": str | None, "name": str | None, "to": str})
    if cfg.kind is None or cfg.name is None:
        raise ValueError(f"name what and how it is called: kind={'|'.join(KINDS)} name=my_space")
    start = Start(cfg.kind, cfg.name, Path(cfg.to))
    start.write()
    log(f"{start.module}: the {start.kind}, to be changed at will")
    log(f"{start.card}: its card, whose keys are settings of the command line")
    log(f"then{'' if start.is_here else f', in {shlex.quote(str(start.folder))}'}:")
    for line in start.next_commands():
        log(f"  {line}")


if __name__ == "__main__":
    main()
