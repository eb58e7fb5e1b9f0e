"""`python -m nas.train arch=A data=D recipe=Q`: train an arch.json or a published network."""

from __future__ import annotations

from nas.data.card import check_root
from nas.networks.location import check_teacher, check_weights, locate
from nas.runs.watching.trackers import check_trackers
from nas.terminal.entry import DictConfig, check_types, entry, plain
from nas.terminal.progress import log
from nas.train.settings import TYPES


@entry("train")
def main(cfg: DictConfig) -> None:
    check_types(cfg, TYPES)
    if not cfg.resume:  # a run holds its own
        locate(cfg.arch)
        check_root(plain(cfg).get("data"))
        check_weights(cfg.initial_weights)
    check_teacher(cfg.teacher, cfg.teacher_weights)
    check_trackers(plain(cfg).get("trackers"))
    from nas.report.run_page import write_report
    from nas.train.run import run_training  # here: torch takes seconds, and mistakes are found before
    from nas.train.setup import TrainSetup

    outcome = run_training(TrainSetup.from_config(plain(cfg)))
    if outcome.setup.compute.here.is_main_process:
        log(f"all of it on one page: {write_report(outcome.run_dir)}")


if __name__ == "__main__":
    main()
