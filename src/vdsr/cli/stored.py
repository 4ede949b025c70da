"""`vdsr upscale` from one address of storage to another: a job on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vdsr.cli.console import STDOUT, as_options, say, tell
from vdsr.cli.folder import (
    failures_as_dicts,
    job_as_dict,
    say_failures,
    summary,
    told,
    write_json,
)
from vdsr.cli.job_progress import JobDisplay
from vdsr.cluster.storage import is_address
from vdsr.errors import InputError, UsageError
from vdsr.inputs import exists

if TYPE_CHECKING:
    from vdsr.cluster.options import ClusterOptions
    from vdsr.jobs.runner import RunOptions
    from vdsr.jobs.settings import JobSettings


def upscale_stored(
    inputs: Sequence[str],
    output: str,
    settings: JobSettings,
    options: RunOptions,
    *,
    cluster: ClusterOptions | None,
    dry_run: bool,
    quiet: bool,
    json: str | None,
) -> None:
    """Enlarge what is at an address, say what became of it, and end with 1 if any failed.

    Raises:
        VdsrError: see `run_stored`.
    """
    from vdsr.jobs.manifest import MANIFEST

    if len(inputs) > 1:
        raise UsageError("from or to storage: one address or folder for IN, and one for OUT")
    if not is_address(output) and exists(Path(output) / MANIFEST):
        raise UsageError(
            f"{output}: a job from folder to folder lies there: another folder keeps both"
        )
    source, output = _place(inputs[0]), _place(output)
    if dry_run:
        _dry_run(source, output, settings, options, quiet=quiet, json=json)
        return
    if cluster is None:
        raise UsageError(f"{output}: addresses are for a cluster: --cluster local, or its address")
    from vdsr.cluster.stored_job import run_stored

    with JobDisplay(quiet=quiet) as display:
        report, failures = run_stored(source, output, settings, options, cluster, display)
    say_failures(iter(failures), report.balance)
    if report.stopped is not None:
        say(f"vdsr: error: {report.stopped}")
    if not quiet and json != STDOUT:
        tell(summary(output, report))
    if json is not None:
        lists = {"failures": failures_as_dicts(iter(failures))}
        write_json(job_as_dict(output, report), lists, json)
    if report.balance.inputs == sum(report.balance.skipped.values()):
        raise InputError(f"{source}: no pictures were found there")
    if report.stopped is not None or report.balance.failed or not report.balance.is_even:
        raise typer.Exit(1)


def _place(text: str) -> str:
    """An address; of a folder, which all machines of the cluster see under this path."""
    from vdsr.cluster.folder_storage import SCHEME

    return text if is_address(text) else f"{SCHEME}{Path(text).absolute()}"


def status_stored(output: str, *, json: str | None) -> None:
    """Say how the job stands whose outputs are at an address, or in a folder.

    Raises:
        VdsrError: see `stored_status`.
    """
    from vdsr.cluster.stored_status import stored_status

    found = stored_status(_place(output))
    if json != STDOUT:
        kept = f" ({found.quarantined} in quarantine)" if found.quarantined else ""
        counts = f"{found.done} done, {found.failed} failed{kept}, {found.in_work} in work"
        tell(f"{found.output}: {counts}")
        for worker in found.workers:
            tell(f"at work: process {worker['pid']}")
        for source, error in found.failures:
            say(f"vdsr: error: {source}: {as_options(error)}")
    if json is not None:
        lists = {"failures": failures_as_dicts(iter(found.failures))}
        write_json(found.as_dict(), lists, json)


def _dry_run(
    source: str,
    output: str,
    settings: JobSettings,
    options: RunOptions,
    *,
    quiet: bool,
    json: str | None,
) -> None:
    from vdsr.cluster.stored_listing import plan_stored
    from vdsr.inference.memory import format_size

    plan = plan_stored(source, output, settings, options)
    if json is not None:
        content = {"output": output, **plan.balance.as_dict(), "bytes": plan.size}
        pairs = ({"input": a, "output": b} for a, b in plan.pairs())
        write_json(content, {"pictures": pairs}, json)
    if quiet or json == STDOUT:
        return
    for one, goal in plan.pairs():
        tell(f"{one} -> {goal}")
    tell(f"{output}: {told(plan.balance)}")
    if plan.balance.left:
        tell(f"{plan.balance.left} to do: {format_size(plan.size)} of pictures")
