"""`python -m nas.evaluate arch=A checkpoint=C data=D`: accuracy on held-out images and measured latency."""

from __future__ import annotations

from nas.data.card import check_root
from nas.evaluate.settings import TYPES
from nas.networks.location import locate
from nas.terminal.entry import DictConfig, check_types, entry, plain
from nas.terminal.reached_devices import given_keys, with_device_of_run


@entry("evaluate")
def main(cfg: DictConfig) -> None:
    check_types(cfg, TYPES)
    locate(cfg.arch)
    check_root(plain(cfg).get("data"))
    from nas.evaluate.run import EvaluateSetup, run_evaluation  # here: torch takes seconds

    run_evaluation(EvaluateSetup.from_config(with_device_of_run(plain(cfg), given_keys())))


if __name__ == "__main__":
    main()
