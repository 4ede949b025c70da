"""A training run: stages, checkpoints, and going on where it stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vdsr.data.packfile import Pack
from vdsr.errors import OutputError, UsageError
from vdsr.inputs import exists
from vdsr.model.architecture import Architecture
from vdsr.outputs import as_output_error
from vdsr.training import lightning
from vdsr.training.branch import NAME as TRUNK
from vdsr.training.branch import branch_of
from vdsr.training.checkpoint import NAME, Checkpoint, load_checkpoint, save_checkpoint
from vdsr.training.growth import deepen, with_chroma
from vdsr.training.module import StageModule, build_network
from vdsr.training.monitor import Monitor
from vdsr.training.network import Chain
from vdsr.training.parallel import Parallel, flush
from vdsr.training.patches import Patches
from vdsr.training.progress import TrainingProgress, seconds_left
from vdsr.training.recipe import Recipe
from vdsr.training.run import Outcome, Start, TrainingOptions
from vdsr.training.validation import Validation, hold_out

_DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def branch(
    recipe: Recipe,
    pack: Pack,
    trunk: Path,
    folder: Path,
    *,
    resume: bool = False,
    options: TrainingOptions | None = None,
) -> Outcome:
    """Branch off from a trunk: let the rate fall to zero, and end. The trunk stays as it is.

    Args:
        recipe: of the trunk, with a stable last stage.
        pack: on what; that of the trunk.
        trunk: the folder of its run.
        folder: where checkpoint and logs of the branch go; what an earlier branch left there
            is replaced.
        resume: go on with the branch in `folder`, if there is one.
        options: devices and the like.

    Raises:
        UsageError, InputError, CheckpointError, OutputError, VdsrError: as `train`, and
            `vdsr.training.branch.branch_of`.
    """
    source = folder / TRUNK
    if not (resume and exists(folder / NAME)):
        source = trunk / NAME
        state = load_checkpoint(source)
        branch_of(recipe, state)
        if lightning.leads():
            _make_folder(folder)
            (folder / NAME).unlink(missing_ok=True)
            save_checkpoint(state, folder / TRUNK)
    derived, state = branch_of(recipe, load_checkpoint(source))
    return _Training(derived, pack, folder, options or TrainingOptions()).go(state, resume=True)


def train(
    recipe: Recipe,
    pack: Pack,
    folder: Path,
    *,
    start: Start | None = None,
    resume: bool = False,
    options: TrainingOptions | None = None,
) -> Outcome:
    """Train, or go on training.

    Interrupted by SIGINT or SIGTERM it saves a checkpoint after the step at hand and
    returns; killed, it can go on from the last checkpoint. On a CPU, and as long as its
    stages count steps and not minutes, a run that was interrupted ends with the same
    weights, bit for bit, as one that was not.

    Args:
        recipe: what to do.
        pack: on what.
        folder: where checkpoint and logs go.
        start: layers to start from, instead of random ones.
        resume: go on from the checkpoint in `folder`, if there is one.
        options: devices and the like.

    Raises:
        UsageError: if `start` does not fit the recipe, or the checkpoint is of another
            recipe or pack, or is there and `resume` is not asked for.
        InputError: if no picture is as large as a patch.
        CheckpointError: if the checkpoint cannot be read.
        OutputError: if a checkpoint or log cannot be written.
        VdsrError: if the loss is not a number, diverges, or is that of doing
            nothing again; the last good checkpoint is kept.
    """
    return _Training(recipe, pack, folder, options or TrainingOptions()).go(start, resume)


class _Training:
    """One call of `train`."""

    def __init__(self, recipe: Recipe, pack: Pack, folder: Path, options: TrainingOptions) -> None:
        self._recipe, self._pack, self._folder, self._options = recipe, pack, folder, options
        processes = lightning.processes(options.devices)
        if recipe.data.batch % processes:
            raise UsageError(
                f"{processes} processes cannot share batches of {recipe.data.batch} evenly:"
                " devices and data.batch"
            )
        self._path = folder / NAME
        self._device = lightning.device()
        self._precision = lightning.settled(recipe.precision)
        self._stopped = self._interrupted = False
        self._saved = time.monotonic()

    def go(self, start: Start | Checkpoint | None, resume: bool) -> Outcome:
        """See `train`; a branch starts from a checkpoint."""
        self._state = self._first(start, resume)
        self._begun = time.monotonic()
        with _one_thread():
            patches, self._monitor = self._data()
            while self._state.stage < len(self._recipe.stages) and not self._stopped:
                self._state = self._run_stage(patches)
        state = self._state
        return Outcome(
            architecture=self._network(state.stage, state.mean).architecture(),
            finished=state.stage == len(self._recipe.stages),
            interrupted=self._interrupted,
            leads=lightning.leads(),
            steps=state.total,
            seconds=state.total_seconds,
            # Checkpoints of earlier versions do not say.
            device=state.device or "unknown",
            origin=state.origin,
            bicubic=self._monitor.bicubic,
            scores=self._monitor.scores,
        )

    def _data(self) -> tuple[Patches, Monitor]:
        data = self._recipe.data
        pictures = self._pack.pictures
        numbers, measured = hold_out(data.validation, range(len(pictures)))
        network = self._recipe.network
        patches = Patches(
            [pictures[i] for i in numbers],
            scales=data.scales,
            patch=data.patch,
            batch=data.batch,
            flips=data.flips,
            rotations=data.rotations,
            rescales=data.rescales,
            focus=data.focus,
            planes=network.planes,
            groups=[self._pack.groups[i] for i in numbers] if self._pack.groups else None,
            shares=self._pack.shares,
            damage=self._recipe.damage,
            seed=self._recipe.seed,
            device=self._device,
        )
        if patches.left_out:
            self._options.say(
                f"{patches.left_out} of {len(numbers)} pictures are smaller than a patch of"
                f" {data.patch} px, and are left out"
            )
        validation = Validation(
            [pictures[i] for i in measured],
            data.scales,
            self._device,
            fold=network.fold,
            planes=network.planes,
            damage=self._recipe.damage,
            patch=data.patch,
        )
        return patches, Monitor(validation, self._folder, self._state.scores, self._options.say)

    def _first(self, start: Start | Checkpoint | None, resume: bool) -> Checkpoint:
        """Where to begin."""
        if exists(self._path):
            # The others begin where the first process has left its checkpoint.
            if not resume and lightning.leads():
                raise UsageError(
                    f"{self._folder}: a run is there already: resume=True continues it"
                )
            state = load_checkpoint(self._path)
            if state.recipe != self._recipe.digest:
                raise UsageError(f"{self._path}: it was made by another recipe")
            if state.pack != self._pack.digest:
                raise UsageError(f"{self._path}: it was trained on other data")
            return state
        _make_folder(self._folder)
        if isinstance(start, Checkpoint):
            if start.pack != self._pack.digest:
                raise UsageError(f"{self._folder}: the trunk was trained on other data")
            return start
        torch.manual_seed(self._recipe.seed)
        network = build_network(self._recipe.network, self._recipe.stages[0].depth)
        if start is not None:
            self._take_over(network, start.architecture)
        state = Checkpoint(
            recipe=self._recipe.digest,
            pack=self._pack.digest,
            origin="" if start is None else start.origin,
            weights=_weights(network),
            mean=_weights(network),
        )
        if lightning.leads():
            # Now is the time to find out that the disk is full.
            save_checkpoint(state, self._path)
        return state

    def _take_over(self, network: Chain, start: Architecture, noise: float = 0.0) -> None:
        """Give a network the weights of another: deeper or with chroma, if need be."""
        depth, seed = len(network.layers), self._recipe.seed
        try:
            if start.planes < network.planes:
                start = with_chroma(start)
            if start.depth < depth:
                start = deepen(start, depth, noise=noise, seed=seed)
            network.load_architecture(start)
        except ValueError as error:
            raise UsageError(
                f"the network to start from ({start.depth} layers of width {start.width}, fold"
                f" {start.fold}, {start.planes} planes) does not fit the recipe"
                f" {self._recipe.name}"
            ) from error

    def _network(self, stage: int, weights: dict[str, Tensor]) -> Chain:
        stages = self._recipe.stages
        network = build_network(self._recipe.network, stages[min(stage, len(stages) - 1)].depth)
        network.load_state_dict(weights)
        return network

    def _run_stage(self, patches: Patches) -> Checkpoint:
        """Do the stage at hand, or as much of it as there is time for."""
        network = self._network(self._state.stage, self._state.weights).to(self._device)
        for layer in network.convolutions:
            # Both cuDNN and oneDNN are faster with it: a fifth on a CPU.
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        with self._restorer(network) as restore:
            module = StageModule(
                self._recipe,
                network,
                patches,
                self._state,
                restore=restore,
                after_step=self._after_step,
            )
            self._before = module.share_done()
            self._monitor.begin(module)
            self._saved = time.monotonic()
            try:
                with lightning.quiet():
                    trainer = lightning.make_trainer(
                        self._folder / "logs",
                        precision=self._precision,
                        devices=self._options.devices,
                        stop=self._stop,
                    )
                    trainer.fit(module)
            except OSError as error:
                raise OutputError(f"{self._folder}: {error.strerror or error}") from error
        state = self._here(module)
        if module.share_done() >= 1.0:
            state = self._next(state)
        if lightning.leads():
            save_checkpoint(state, self._path)
        return state

    @contextmanager
    def _restorer(self, network: Chain) -> Iterator[Callable[[Tensor], Tensor]]:
        """What runs the network: on a CPU several threads side by side, on a GPU compiled."""
        if self._device.type == "cuda":
            # A slope that changes from step to step would be compiled anew each time.
            yield network if self._recipe.network.slope else lightning.compiled(network)
            return
        threads = self._options.threads or os.cpu_count() or 1
        threads = min(threads, self._recipe.data.batch)
        if threads == 1 or self._precision == "64":
            yield network
            return
        parallel = Parallel(network, threads, dtype=_DTYPES[self._precision])
        try:
            yield parallel
        finally:
            parallel.close()

    def _stop(self) -> None:
        self._stopped = self._interrupted = True

    def _after_step(self, module: StageModule) -> None:
        self._monitor.after_step(module, self._before)
        self._before = module.share_done()
        if self._options.progress is not None and lightning.leads():
            self._options.progress(self._progress(module))
        if self._options.stopped():
            self._stop()
        minutes = (time.monotonic() - self._begun) / 60.0
        if self._options.minutes and minutes >= self._options.minutes:
            self._stopped = True
        stopped = self._stopped
        if module.trainer.world_size > 1:
            stopped = module.trainer.strategy.reduce_boolean_decision(stopped, all=False)
        if stopped:
            module.trainer.should_stop = True
        if time.monotonic() - self._saved >= self._options.save_seconds:
            self._monitor.look(module)
            if lightning.leads() and not self._monitor.doubtful:
                save_checkpoint(self._here(module), self._path)
            self._saved = time.monotonic()

    def _progress(self, module: StageModule) -> TrainingProgress:
        stages, at = self._recipe.stages, self._state.stage
        last = self._monitor.scores[-1] if self._monitor.scores else {}
        return TrainingProgress(
            stage=at + 1,
            stages=len(stages),
            layers=len(module.network.layers),
            seconds=module.seconds_before + module.seconds,
            left=seconds_left(
                stages,
                at,
                step=module.step,
                seconds=module.seconds,
                before=module.seconds_before,
            ),
            loss=self._monitor.loss,
            psnr={name: value for name, value in last.items() if name.startswith("x")},
        )

    def _here(self, module: StageModule) -> Checkpoint:
        """The run as it stands, in the middle of a stage, with weights that are all numbers."""
        self._monitor.look(module)
        return replace(
            self._state,
            step=module.step,
            total=module.total,
            seconds=module.seconds,
            total_seconds=module.seconds_before + module.seconds,
            weights=_weights(module.network),
            mean={name: value.detach().cpu().clone() for name, value in module.mean.items()},
            optimizer=module.trainer.optimizers[0].state_dict(),
            scores=self._monitor.scores,
            device=self._trained_on(),
        )

    def _trained_on(self) -> str:
        """The devices of the run so far, and this one."""
        own = lightning.device_name(lightning.processes(self._options.devices))
        before = self._state.device or ("unknown" if self._state.total else own)
        return before if before.rpartition(", then ")[2] == own else f"{before}, then {own}"

    def _next(self, state: Checkpoint) -> Checkpoint:
        """The beginning of the next stage: the running mean, grown if need be."""
        network, after = self._network(state.stage, state.mean), state.stage + 1
        if after < len(self._recipe.stages):
            stage = self._recipe.stages[after]
            grown = build_network(self._recipe.network, stage.depth)
            self._take_over(grown, network.architecture(), stage.noise)
            network = grown
        return replace(
            state,
            stage=after,
            step=0,
            seconds=0.0,
            weights=_weights(network),
            mean=_weights(network),
            optimizer={},
        )


def _make_folder(folder: Path) -> None:
    with as_output_error(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of torch for each thread of ours; see `vdsr.training.parallel`."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    flush()
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def _weights(network: Chain) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in network.named_parameters()}
