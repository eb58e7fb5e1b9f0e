"""The objects of one training, from the first epoch to the last, and the checkpoint that holds their state."""

from __future__ import annotations

import copy
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from nas.data import ImageData, Split
from nas.networks.model_folder import BEST, DEFAULT_EPS
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping.collapse import Collapsed, Watch
from nas.runs.keeping.keeper import Keeper
from nas.runs.resuming import FIX, check_checkpoint
from nas.runs.seeding import derive_seed
from nas.runs.stored import Count, NonNegative, Percent, record
from nas.terminal.progress import log
from nas.train.accelerator import begin, several, share_buffers
from nas.train.accuracy import evaluate
from nas.train.averaging import estimate_statistics, judged, keep_better
from nas.train.distillation import SoftLabels
from nas.train.loop.rounding import Rounding
from nas.train.mixing import Mixing
from nas.train.optimizer import make_optimizer, make_scheduler
from nas.train.options import Begin, Options
from nas.train.start.tuning import Frozen
from search_spaces.arch import own_code
from search_spaces.plain_data import identity
from search_spaces.recipe import Recipe

FORMAT = "nas.training"
TRAINING_VERSION = 2  # of the identity of whatever reuses a training's result: raised whenever such a result changes
SPREAD = ("processes", "sync_batch_norm", "accumulate")  # of an identity: how a batch lies over processes
PROGRESS = {  # of a checkpoint; before the first epoch, and before there was a watch, without the last ones
    "epoch": Count,
    "seconds": NonNegative,
    "train_loss": float | None,
    "best": float | None,
    "roll_backs": Count | None,
    "best_top1_percent": Percent | None,
}


def progress_of(state: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Finished epochs, their seconds, the last training loss and what its watch knows, of what `checkpoint` holds."""
    if state.get("format") != FORMAT:
        raise ValueError(f"{checkpoint} is not a training checkpoint")
    return record(state.get("progress"), PROGRESS, f"checkpoint {checkpoint}: the progress")


class TrainingState:
    """The objects of one training.

    `progress`: what is done of it in whole epochs; `within`: what is done of the next one, where that is known.
    """

    def __init__(
        self, network: nn.Module, data: ImageData, recipe: Recipe, seed: int, accelerator: Accelerator, options: Options
    ) -> None:
        self.network, self.data, self.recipe, self.accelerator = network, data, recipe, accelerator
        self.seed, self.phase = seed, options.phase
        self.split: Split = data.train
        self.judges: Split | None = None
        if recipe.ema_decay:
            self.split, self.judges = judged(data.train)
        self.steps = self.split.num_batches(recipe.batch_size, drop_last=True)
        begin(accelerator)
        network.to(accelerator.device).to(memory_format=torch.channels_last)
        self.frozen = Frozen(network, options.tuning.frozen(network))
        self.rounding = Rounding(network) if options.quantize else None
        self.ema = ModelEmaV3(network, decay=recipe.ema_decay, use_warmup=True) if recipe.ema_decay else None
        self.optimizer = make_optimizer(network, recipe, options.tuning.layer_decay)
        self.scheduler = make_scheduler(self.optimizer, recipe, self.steps)
        self.model, self.stepper = accelerator.prepare(network, self.optimizer)
        if options.compile:
            self.model = torch.compile(self.model, backend=options.compile, dynamic=False)
        self.mixing = Mixing(recipe, data.num_classes) if recipe.mixup or recipe.cutmix else None
        told = options.distillation
        mean, std = data.train.mean, data.train.std
        self.soft_labels = None if told is None else SoftLabels(told, mean, std, accelerator.device)
        self.parts: dict[str, Any] = {"network": network, "optimizer": self.optimizer}
        if self.ema is not None:
            self.parts["ema"] = self.ema.module
        if self.rounding is not None:
            self.parts["rounding"] = self.rounding
        if accelerator.scaler is not None:
            self.parts["scaler"] = accelerator.scaler
        self.identity = {
            "format": FORMAT,
            "version": TRAINING_VERSION,
            "phase": options.phase,
            "seed": seed,
            "arch": arch.id if (arch := getattr(network, "arch", None)) else None,
            **(own_code(arch.walk()) if arch else {}),
            "data": data.fingerprint,
            "recipe": recipe.to_dict(),
            "precision": accelerator.mixed_precision,
            "processes": accelerator.num_processes,
        }
        if told is not None:
            self.identity["distillation"] = told.identity()
        if options.quantize:
            self.identity["quantize"] = options.quantize
        if options.compile:
            self.identity["compile"] = True
        self._take_epsilon(getattr(network, "batch_norm_eps", DEFAULT_EPS))
        self.identity |= options.tuning.identity()
        self.accumulate = options.accumulate
        self.identity |= several(accelerator) | ({"accumulate": self.accumulate} if self.accumulate > 1 else {})
        if options.begin is not None:
            self.identity["begun"] = {"epochs": options.begin.epochs, "data": options.begin.data}
        self.watch = Watch(options.keeping.on_collapse, "the training", data.num_classes, self._cure)
        self.keeper = Keeper(options.checkpoint, options.keeping.minutes, accelerator.is_main_process)
        self.is_closed = False
        self.progress: dict[str, Any] = {"epoch": 0, "seconds": 0.0}
        self.within: dict[str, Any] | None = None
        self._good: dict[str, Any] | None = None  # the last good epoch, where it may be gone back to

    @property
    def learning_rate(self) -> float:
        """The classifier's, where layers have rates of their own."""
        return float(max(group["lr"] for group in self.optimizer.param_groups))

    @property
    def buffers(self) -> list[Tensor]:
        """What follows the images that a process has seen, and belongs to no optimiser."""
        return [*self.network.buffers(), *(self.rounding.tensors() if self.rounding is not None else ())]

    @property
    def _cure(self) -> str:
        return (
            f"lower the recipe's lr ({self.recipe.lr}) or clip gradients (clip_grad); the checkpoint of the last good "
            "epoch is kept"
        )

    def diverged(self, epoch: int, step: int, what: str) -> Collapsed:
        """What to raise where `what` is wrong in a step (both from 0)."""
        return Collapsed(f"{what} epoch {epoch + 1}, step {step + 1}: training diverged; {self._cure}")

    # -- what a checkpoint holds

    def state(self, within: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a checkpoint holds; `within`: of an epoch that is not finished."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        found = {"format": FORMAT, "identity": self.identity, "progress": self.progress, **parts}
        return found if within is None else {**found, "within": within}

    def finished(self, epoch: int, seconds: float, loss: float) -> None:
        """Count one more epoch, which its watch has seen."""
        kept = {name: self.progress[name] for name in ("best_top1_percent",) if name in self.progress}
        self.progress = {"epoch": epoch + 1, "seconds": seconds, "train_loss": loss, **kept}
        if self.watch.roll_backs:
            self.progress["roll_backs"] = self.watch.roll_backs
        self.progress["best"] = self.watch.best
        self._is_good()

    def restore(self, options: Options, epochs: int) -> None:
        """Go on from where `options.checkpoint` or `options.begin` stands, if there is one of them."""
        path = options.checkpoint
        state = None if path is None else checkpoints.latest(path)
        done = 0
        if path is not None and state is not None:
            done = self._take(state, path, epochs, options.may_change)
        elif path is not None and options.begin is not None:
            done = self._begin(options.begin)
        self._is_good()
        part = self.keeper.unfinished()
        if path is not None and part is not None and progress_of(part, path)["epoch"] == done < epochs:
            self._take(part, path, epochs, options.may_change)
            self.within, state = part["within"], part
        if state is not None and done < epochs and self.accelerator.is_main_process:
            self._say_spread(state["identity"].get("processes"))

    def _say_spread(self, before: int | None) -> None:
        now = self.accelerator.num_processes
        if before not in (None, now):
            log(
                f"the checkpoint is of {before} process{'' if before == 1 else 'es'}, training goes on by {now}: with "
                "the same batches, but statistics of batch norms, dropout and mixing of so many; not to the last bit"
            )

    def _take(self, state: dict[str, Any], path: Path, epochs: int, may_change: Collection[str]) -> int:
        """Load `state` of `path`; returns its number of finished epochs."""
        progress = progress_of(state, path)
        done = int(progress["epoch"])
        # what such a schedule, or a warm-up that is a share of the epochs, did depends on how many there are
        if self.recipe.schedule in ("cosine", "linear") or self.recipe.warmup_epochs is None:
            may_change = [key for key in may_change if key != "recipe.epochs"]
        known = record(state.get("identity"), {}, f"checkpoint {path}: the identity")
        if known.get("processes") not in (None, self.identity["processes"]):  # the state is all processes' alike
            now = {key: self.identity[key] for key in SPREAD if key in self.identity}
            known = {key: value for key, value in known.items() if key not in SPREAD} | now
        self._take_epsilon(known.get("batch_norm_eps", DEFAULT_EPS))
        changes = check_checkpoint(path, known, self.identity, may_change, done >= epochs)
        if changes and self.accelerator.is_main_process and "within" not in state:
            log(f"training goes on after {done} epochs with a change: {'; '.join(changes)}")
        self._load(state, path, progress)
        return done

    def _take_epsilon(self, eps: float) -> None:
        """Batch norms of `eps`, which goes with the weights: a checkpoint brings its own."""
        for network in (self.network, *(() if self.ema is None else (self.ema.module,))):
            if hasattr(network, "set_batch_norm"):
                network.set_batch_norm(eps)
        self.identity.pop("batch_norm_eps", None)
        if eps != DEFAULT_EPS:
            self.identity["batch_norm_eps"] = eps

    def _begin(self, begin: Begin) -> int:
        state = checkpoints.load(begin.path)
        progress, what = progress_of(state, begin.path), f"checkpoint {begin.path}"
        known = {**record(state.get("identity"), {}, f"{what}: the identity"), "epochs": progress["epoch"]}
        asked = {key: value for key, value in self.identity.items() if key != "begun"}
        identity.check(what, known, {**asked, "data": begin.data, "epochs": begin.epochs}, FIX)
        self._load(state, begin.path, progress)
        return int(progress["epoch"])

    def _load(self, state: dict[str, Any], path: Path | None, progress: dict[str, Any]) -> None:
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:  # of other kinds
            reason = str(error).splitlines()[0]
            raise ValueError(f"checkpoint {path} does not fit this network and recipe: {reason}") from None
        self.progress = {key: value for key, value in progress.items() if value is not None}
        self.watch.roll_backs = progress["roll_backs"] or 0
        if progress["best"] is not None:
            self.watch.best = progress["best"]

    def keep_best(self, checkpoint: Path | None, network: nn.Module, top1_percent: float) -> None:
        """Keep the weights of `network` beside `checkpoint`, where those of no epoch before looked as good."""
        if top1_percent <= self.progress.get("best_top1_percent", -1.0):
            return
        self.progress["best_top1_percent"] = top1_percent
        if checkpoint is not None and self.accelerator.is_main_process:
            checkpoints.save_weights(checkpoint.with_name(checkpoint.stem + BEST), network.state_dict())

    # -- going back

    def _is_good(self) -> None:
        """Remember the present state, where it may be gone back to."""
        if self.watch.policy == "roll_back":
            self._good = copy.deepcopy(self.state())

    def roll_back(self, error: Collapsed) -> None:
        """Go back to the last good epoch. Raises `error` where that is not asked for, or was done too often."""
        self.keeper.finished()
        self.watch.roll_back(error)
        assert self._good is not None
        progress = {**dict.fromkeys(PROGRESS), **self._good["progress"], "roll_backs": self.watch.roll_backs}
        self._load(copy.deepcopy(self._good), None, progress)  # optimisers change what they load
        self.within = None

    # -- the result

    def counting(self) -> nn.Module:
        """The network to look at between epochs; of a moving average a copy, with statistics of its own."""
        if self.ema is None:
            return self.network
        averaged = copy.deepcopy(self.ema.module)
        batch_size = self.recipe.batch_size // self.accelerator.num_processes
        seed = derive_seed(self.seed, self.phase)
        estimate_statistics(averaged, self.split, batch_size, seed, spared=self.frozen.norms)
        share_buffers(averaged, self.accelerator)  # equal already, but for a device's rounding
        return averaged

    def finish(self) -> dict[str, float]:
        """Leave the plain network, holding the weights that count, and return their figures in full precision."""
        self.close()
        if self.judges is None:
            return self._figures(self.data.test)
        return keep_better(self.network, self.counting().state_dict(), self._figures, self.data.test, self.judges)

    def _figures(self, split: Split) -> dict[str, float]:
        return evaluate(self.network, split, accelerator=self.accelerator, autocast=False)

    def close(self) -> None:
        """Leave the plain network; once, as Accelerate collects garbage each time."""
        if self.is_closed:
            return
        self.is_closed = True
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.accelerator.free_memory()
        self.frozen.thaw()
        self.network.to(memory_format=torch.contiguous_format)
