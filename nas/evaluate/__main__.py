"""`python -m nas.evaluate arch=A checkpoint=C data=D`: accuracy on held-out images and measured latency."""

from __future__ import annotations

from nas.data.card import check_root
from nas.evaluate.settings import OTHER_WEIGHTS, TYPES
from nas.latency.devices import check_card
from nas.networks.location import check_has_weights, check_weights, locate
from nas.terminal.entry import DictConfig, check_types, entry, plain
from nas.terminal.reached_devices import given_keys, with_device_of_run
from search_spaces.resolution import canonical


@entry("evaluate")
def main(cfg: DictConfig) -> None:
    check_types(cfg, TYPES)
    check_has_weights(cfg.arch, cfg.checkpoint, OTHER_WEIGHTS)
    locate(cfg.arch)
    check_weights(cfg.checkpoint)
    for asked in plain(cfg)["resolutions"] or ():
        canonical(asked, "resolutions: each")
    settings = plain(cfg)
    check_root(settings.get("data"))
    check_card(settings["device"], measured=settings["measure"])
    from nas.evaluate.run import EvaluateSetup, run_evaluation  # here: torch takes seconds

    run_evaluation(EvaluateSetup.from_config(with_device_of_run(settings, given_keys())))


if __name__ == "__main__":
    main()
