"""Reaching a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

from vdsr.cluster.options import AUTO, LOCAL, ClusterOptions
from vdsr.errors import ClusterError
from vdsr.extras import require
from vdsr.inference import cpu

# Starting Ray failed now and then where a machine was busy ("node timed out").
TRIES = 3
_PAUSE = 2.0
_PATIENCE = 10.0
# Nothing but tasks and outcomes goes through Ray, and these are small: it needs no more room.
_OBJECT_STORE_BYTES = 128 * 1024**2


@contextlib.contextmanager
def connected(options: ClusterOptions) -> Iterator[Any]:
    """The module `ray`, connected; where it is connected already, that is used, and stays.

    Raises:
        MissingExtra: if Ray is not installed.
        ClusterError: if the cluster cannot be reached, or none can be started.
    """
    require("ray")
    # Ray reads these when it is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    _connect(ray, options)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, options: ClusterOptions) -> None:  # noqa: ANN401 - a module
    arguments: dict[str, Any] = {"address": options.address}
    if options.address == LOCAL:
        arguments |= {
            "num_cpus": max(cpu.cores(), options.actor_cpus or 1),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    elif options.address != AUTO:
        # Ray itself waits for minutes, and then ends the process.
        _probe(options)
    for i in range(1, TRIES + 1):
        try:
            ray.init(
                **arguments,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:
            ray.shutdown()
            if options.address == AUTO and isinstance(error, ConnectionError):
                raise ClusterError(
                    "this machine belongs to no running Ray cluster: name its address, or"
                    " local for one of this machine alone"
                ) from error
            if i == TRIES:
                reason = " ".join(str(error).split())
                raise ClusterError(
                    f"Ray could not be started, tried {TRIES} times: {reason}"
                    if options.address == LOCAL
                    else f"{options.address}: no Ray cluster can be reached there: {reason}"
                ) from error
            time.sleep(_PAUSE * i)
        else:
            return


def _probe(options: ClusterOptions) -> None:
    try:
        socket.create_connection(options.host_port(), _PATIENCE).close()
    except OSError as error:
        raise ClusterError(
            f"{options.address}: no Ray cluster can be reached there: {error.strerror or error}"
        ) from error
