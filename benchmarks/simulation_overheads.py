"""What storage and driver add to a picture, measured on this machine: see `simulation.py`.

Requests are counted by a server of object storage on loopback, moto's, of the extra `dev`; its
speed says nothing about that of others. The driver's own time is measured by actors that do
nothing, and by answers that do not come.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import Request, urlopen

from simulation_measure import MEMORY, SCALE, task_of

from vdsr.cluster import hands
from vdsr.cluster.connection import connected
from vdsr.cluster.options import LOCAL, ClusterOptions
from vdsr.cluster.storage import Object, Storage
from vdsr.cluster.stored import do_stored, joined
from vdsr.cluster.stored_state import MINE, StoredState
from vdsr.inference.shared_strips import ShareStrips
from vdsr.jobs.picture import DONE, Outcome, Task
from vdsr.jobs.settings import JobSettings

BUCKET = "pictures"


@contextlib.contextmanager
def counted_server() -> Iterator[tuple[str, Callable[[], Counter[str]]]]:
    """A server of object storage on loopback: its address, and what it was asked since."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            sys.exit("the server of object storage does not start: pip install -e '.[dev]'")
        address = f"http://127.0.0.1:{port}"
        os.environ |= {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

        def counts() -> Counter[str]:
            with urlopen(f"{address}/counts") as answer:
                return Counter(json.load(answer))

        yield address, counts
    finally:
        process.kill()
        process.wait()


def _serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: object) -> None:
            pass

    served = DomainDispatcherApplication(create_backend_app)
    counts: Counter[str] = Counter()

    def app(environ: dict[str, Any], start: Any) -> Any:  # noqa: ANN401 - WSGI
        if environ["PATH_INFO"] == "/counts":
            text = json.dumps(counts).encode()
            counts.clear()
            start("200 OK", [("Content-Length", str(len(text)))])
            return [text]
        counts[_kind(environ)] += 1
        return served(environ, start)

    server = make_server("127.0.0.1", 0, app, True, request_handler=Quiet)
    print(server.port, flush=True)
    server.serve_forever()


def _kind(environ: dict[str, Any]) -> str:
    """What a request is, as it is priced."""
    query, method = environ.get("QUERY_STRING", ""), environ["REQUEST_METHOD"]
    if "list-type" in query:
        return "LIST"
    if method == "POST" and query.startswith("delete"):
        return "DELETE"
    beats = method == "PUT" and "/.vdsr/workers/" in environ["PATH_INFO"]
    return "beat" if beats else str(method)


def requests(input_bytes: int, output_bytes: int, listed: int) -> dict[str, Any]:
    """Requests of the storage code, as the server counts them, and the driver's own time.

    Args:
        input_bytes, output_bytes: of a picture.
        listed: pictures of a run of which all is done.
    """
    with counted_server() as (address, counts), tempfile.TemporaryDirectory() as name:
        urlopen(Request(f"{address}/{BUCKET}", method="PUT", data=b"")).close()
        there, back = Storage(f"s3://{BUCKET}/in"), Storage(f"s3://{BUCKET}/out")
        source = Path(name) / "in"
        source.write_bytes(os.urandom(input_bytes))
        output = os.urandom(output_bytes)
        there.upload("1.png", source, {})
        one, two = (StoredState(back, overwrite=False, retry=False) for _ in range(2))
        one.begin(JobSettings(scale=SCALE), "s3://pictures/in")
        two.begin(JobSettings(scale=SCALE), "s3://pictures/in")
        (found,) = there.list()
        figures: dict[str, dict[str, int]] = {}

        def counted(what: str) -> None:
            found = counts()
            found.pop("beat", None)  # every 5 seconds, whatever is done
            figures[what] = dict(sorted(found.items()))

        counts()
        assert one.claim(found, "1_x4.png").verdict == MINE
        counted("claim")
        two.claim(found, "1_x4.png")
        counted("claim of what another has")

        def do(task: Task, _: ShareStrips) -> Outcome:
            Path(task.made).write_bytes(output)
            return Outcome(id=task.id, state=DONE, width=1, height=1, output_size=len(output))

        task = task_of(0, Path("x"), Path(name), "png")
        source_name, goal_name = joined(there, "1.png"), joined(back, "1_x4.png")
        task = replace(task, source=source_name, goal=goal_name, made="png")
        outcome = do_stored(task, do)
        assert outcome.state == DONE, outcome
        counted("actor")
        one.made(found, "1_x4.png", outcome)
        counted("record")
        two.claim(found, "1_x4.png")
        counted("claim of what is done")
        # What the driver itself computes for these requests.
        objects = [Object(f"{i}.png", 1, datetime.now(UTC), "tag") for i in range(100)]
        used, thread = time.process_time(), time.thread_time()
        for each in objects:
            one.claim(each, each.name)
            one.made(each, each.name, outcome)
        driver = (time.process_time() - used) / len(objects)
        calling = (time.thread_time() - thread) / len(objects)
        one.leave()
        two.leave()
        for i in range(listed):
            back.write(f".vdsr/done/{i:07}.png", b"{}")
        counts()
        assert sum(1 for _ in Storage(back.address).list(".vdsr/done")) >= listed
        counted("listing")
        return {
            "by_method": figures,
            "driver_process_seconds": round(driver, 6),
            "driver_thread_seconds": round(calling, 6),
            "input_bytes": input_bytes,
            "output_bytes": output_bytes,
            "listed": listed,
        }


class IdleActor:
    """Stands in for an actor: it answers at once."""

    def open(self, _: dict[str, Any]) -> dict[str, Any]:
        """See `EnlargerActor`."""
        return {"opened": {"workers": 4}}

    def exchange(self, tasks: list[dict[str, Any]], _: int) -> dict[str, Any]:
        """See `EnlargerActor`."""
        ended = [Outcome(id=task["id"], state=DONE).as_dict() for task in tasks]
        return {"ended": ended, "progress": {}}


class BusyActor(IdleActor):
    """Stands in for an actor that will be at work for long."""

    def exchange(self, tasks: list[dict[str, Any]], _: int) -> dict[str, Any]:
        """See `EnlargerActor`."""
        time.sleep(600)
        return {"ended": tasks, "progress": {}}


def driver(count: int, pending: list[int]) -> dict[str, Any]:
    """What a picture, and a look at all that is in work, take of the driver's main thread.

    Args:
        count: pictures.
        pending: answers that are waited for, as many as pictures are in work.
    """
    options = ClusterOptions(address=LOCAL, actor_cpus=1)
    begun = time.perf_counter()
    with connected(options) as ray:
        cluster = time.perf_counter() - begun
        starts = []
        for _ in range(3):
            actors = hands.Actors(ray, options, 1)
            begun = time.perf_counter()
            order = {"model": "vdsr-fast", "precision": "int8", "backend": "auto", "tile": None}
            hand = actors.start(order | {"threads": 1, "max_memory": MEMORY})
            hand.opened()
            starts.append(time.perf_counter() - begun)
            hand.end()
        per_picture = _per_picture(ray, options, count)
        looks = {n: _look(ray, options, n) for n in pending}
    return {
        "cluster_start_seconds": round(cluster, 2),
        "actor_start_seconds": [round(one, 2) for one in starts],
        **per_picture,
        "seconds_of_a_look": {str(n): round(one, 6) for n, one in looks.items()},
    }


def _with(actor: type[Any], ray: Any, options: ClusterOptions) -> tuple[Any, Any]:  # noqa: ANN401
    with patch.object(hands, "EnlargerActor", actor):
        actors = hands.Actors(ray, options, 1)
    hand = actors.start({"any": True})
    hand.opened()
    return actors, hand


def _per_picture(ray: Any, options: ClusterOptions, count: int) -> dict[str, float]:  # noqa: ANN401
    actors, hand = _with(IdleActor, ray, options)
    task = task_of(0, Path("s3://pictures/in//a/picture.jpg"), Path("s3://pictures/out//a"), "png")
    fields = task.as_dict()
    thread, used, begun = time.thread_time(), time.process_time(), time.perf_counter()
    ended = 0
    for i in range(16):
        hand.do(Task(**fields | {"id": i}))
    sent = 16
    while ended < count:
        actors.wait(0.05)
        while not hand.answers.empty():
            if "ended" in hand.answers.get():
                ended += 1
                if sent < count:
                    hand.do(Task(**fields | {"id": sent}))
                    sent += 1
    figures = {
        "picture_main_thread_seconds": round((time.thread_time() - thread) / count, 6),
        "picture_process_seconds": round((time.process_time() - used) / count, 6),
        "picture_seconds": round((time.perf_counter() - begun) / count, 6),
    }
    hand.end()
    return figures


def _look(ray: Any, options: ClusterOptions, pending: int) -> float:  # noqa: ANN401
    """Main thread's seconds of `Actors.wait` when so many answers are waited for."""
    actors, hand = _with(BusyActor, ray, options)
    for _ in range(pending):
        actors.expect(hand, hand.actor.exchange.remote([], 1))
    found = []
    for _ in range(15):
        actors.expect(hand, ray.put({"ended": [], "progress": {}}))
        used = time.thread_time()
        actors.wait(0.05)
        found.append(time.thread_time() - used)
    hand.end()
    return statistics.median(found)


if __name__ == "__main__":
    _serve()
