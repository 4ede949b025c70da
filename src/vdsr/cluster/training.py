"""A training run over the machines of a cluster, by Ray Train: each process is as torchrun's."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vdsr.cluster.connection import connected
from vdsr.cluster.options import DEFAULT_CPUS, LOCAL, ClusterOptions
from vdsr.errors import ClusterError, UsageError, VdsrError
from vdsr.extras import require
from vdsr.training.progress import TrainingProgress
from vdsr.training.run import Outcome, TrainingOptions

# How often processes that died are started again, from the last checkpoint.
RESTARTS = 3
_LOOK = 0.5

Work = Callable[[TrainingOptions], Outcome]


def train_on_cluster(
    work: Work, folder: Path, cluster: ClusterOptions, options: TrainingOptions
) -> Outcome:
    """Train with several processes of a cluster, which share each batch.

    Processes that die are started again three times, from the last checkpoint. The first
    Ctrl-C stops them after the step at hand, with a checkpoint.

    Args:
        work: what each of them does, with options of its own: `train` or `branch` of
            `vdsr.training.trainer` with `resume=True`. It is sent to them, and runs in this
            working folder: paths are the same on all machines.
        folder: that of the run, which all machines see.
        cluster: which one.
        options: `devices` is how many processes there are in all, each with a GPU where the
            cluster has so many, and `threads` how many CPUs each has; 0 is up to 4.

    Returns:
        What the first of them returned.

    Raises:
        MissingExtra: if Ray or what Ray Train needs is not installed.
        UsageError: if the cluster has too little room.
        ClusterError: if it cannot be reached, or processes die too often.
        VdsrError: that one of them met with.
    """
    require("ray", "pandas", "pyarrow", "pydantic")
    if cluster.address == LOCAL:
        # A cluster of this machine has room for all of them.
        cluster = replace(cluster, actor_cpus=options.devices * max(1, options.threads))
    # Each process sees its own GPU alone, as its first.
    os.environ.setdefault("TRAIN_ENABLE_SHARE_CUDA_VISIBLE_DEVICES", "0")
    # A minute, Ray Train's own limit, is short for a busy machine that imports torch.
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")
    with connected(cluster) as ray:
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        resources = _resources(machines, options.devices, options.threads)
        notes = ray.remote(num_cpus=0, max_concurrency=4)(_Notes).remote()
        threads = int(resources["CPU"])
        own = TrainingOptions(devices=options.devices, threads=threads, minutes=options.minutes)
        scratch = folder.resolve() / "ray"
        fit = partial(
            _fit, partial(_take_part, work, own, Path.cwd(), notes), scratch, resources, own.devices
        )
        try:
            return _follow(ray, fit, notes, options)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _resources(machines: list[dict[str, float]], count: int, threads: int) -> dict[str, float]:
    """What each process has, so that the cluster has room for all of them."""
    gpu = {"GPU": 1.0} if sum(int(one.get("GPU", 0)) for one in machines) >= count else {}
    for cpus in [threads] if threads else range(DEFAULT_CPUS, 0, -1):
        rooms = (
            min(one.get("CPU", 0) // cpus, one.get("GPU", 0) if gpu else count) for one in machines
        )
        if sum(int(room) for room in rooms) >= count:
            return {"CPU": float(cpus), **gpu}
    raise UsageError(
        f"the cluster has no room for {count} processes of {threads or 1} CPUs: ask for less, by"
        " --devices and --threads"
    )


def _fit(
    part: Callable[[], None], scratch: Path, resources: dict[str, float], count: int
) -> Exception | None:
    """Run Ray Train to its end; returns why it failed."""
    import ray.train
    from ray.train.torch import TorchTrainer

    scratch.mkdir(parents=True, exist_ok=True)
    trainer = TorchTrainer(
        part,
        scaling_config=ray.train.ScalingConfig(
            num_workers=count, use_gpu="GPU" in resources, resources_per_worker=resources
        ),
        run_config=ray.train.RunConfig(
            storage_path=os.fspath(scratch),
            failure_config=ray.train.FailureConfig(max_failures=RESTARTS),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        return error
    return None


class _Notes:
    """What the first process says of the run, and whether it is to stop: an actor of Ray."""

    def __init__(self) -> None:
        self._progress: TrainingProgress | None = None
        self._lines: list[str] = []
        self._stop = False
        self._end: Outcome | VdsrError | None = None

    def tell(self, progress: TrainingProgress) -> bool:
        """Take how far the run is; returns whether it is to stop."""
        self._progress = progress
        return self._stop

    def say(self, line: str) -> None:
        """Take a line for people."""
        self._lines.append(line)

    def stop(self) -> None:
        """Have the run stop after the step at hand."""
        self._stop = True

    def finish(self, end: Outcome | VdsrError) -> None:
        """Take what the run has come to."""
        self._end = end

    def end(self) -> Outcome | VdsrError | None:
        """What the run has come to."""
        return self._end

    def news(self) -> tuple[TrainingProgress | None, list[str]]:
        """What was said since the last call."""
        lines, self._lines = self._lines, []
        return self._progress, lines


def _take_part(work: Work, options: TrainingOptions, home: Path, notes: Any) -> None:  # noqa: ANN401
    """One process of those that train together, from its start to the end of the run."""
    import ray

    if isinstance(ray.get(notes.end.remote()), VdsrError):
        return  # which another try would meet with again
    # Ray has set the others. Each process counts as a machine with one device, since they may
    # be spread unevenly.
    os.environ |= {
        "TORCHELASTIC_RUN_ID": "ray",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "GROUP_RANK": os.environ["RANK"],
        "GROUP_WORLD_SIZE": os.environ["WORLD_SIZE"],
    }
    os.chdir(home)
    if os.environ["RANK"] == "0":
        reporter = _Reporter(ray, notes)
        options = replace(
            options, progress=reporter, stopped=reporter.is_stopped, say=notes.say.remote
        )
    try:
        outcome = work(options)
    except VdsrError as error:
        ray.get(notes.finish.remote(error))
        raise
    if outcome.leads:
        ray.get(notes.finish.remote(outcome))


class _Reporter:
    """Tells the driver how far the run is, now and then."""

    def __init__(self, ray: Any, notes: Any) -> None:  # noqa: ANN401
        self._ray, self._notes = ray, notes
        self._told = 0.0
        self._stopped = False

    def __call__(self, progress: TrainingProgress) -> None:
        if time.monotonic() - self._told >= _LOOK:
            self._told = time.monotonic()
            self._stopped = self._ray.get(self._notes.tell.remote(progress))

    def is_stopped(self) -> bool:
        return self._stopped


def _follow(
    ray: Any,  # noqa: ANN401 - a module
    fit: Callable[[], Exception | None],
    notes: Any,  # noqa: ANN401 - an actor
    options: TrainingOptions,
) -> Outcome:
    """Show what is said until the run ends."""
    failures: list[Exception | None] = []
    # In the main thread Ray Train would take Ctrl-C for a reason to drop all that was done.
    thread = threading.Thread(target=lambda: failures.append(fit()), daemon=True)
    thread.start()
    asked = False
    while thread.is_alive():
        try:
            thread.join(_LOOK)
            progress, lines = ray.get(notes.news.remote())
            for line in lines:
                options.say(line)
            if options.progress is not None and progress is not None:
                options.progress(progress)
        except KeyboardInterrupt:
            if asked:
                raise
            asked = True
            ray.get(notes.stop.remote())
    end: Outcome | VdsrError | None = None
    with contextlib.suppress(ray.exceptions.RayError):
        end = ray.get(notes.end.remote())
    if isinstance(end, VdsrError):
        raise end
    if end is None:
        reason = str(failures[0] if failures else "").strip().splitlines() or ["it ended early"]
        raise ClusterError(
            f"training on the cluster failed, tried {RESTARTS + 1} times: {reason[-1]}"
        )
    return end
