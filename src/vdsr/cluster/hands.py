"""Actors, each seen as what does a crew's pictures; and waiting for all of them at once."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Sequence
from typing import Any

from vdsr.cluster.actor import EnlargerActor
from vdsr.cluster.options import DEFAULT_CPUS, ClusterOptions
from vdsr.errors import ClusterError, UsageError
from vdsr.jobs.child import Answer, opened_of
from vdsr.jobs.enlarger import PER_THREAD
from vdsr.jobs.picture import Task

# Seconds to wait for an actor to open; and until one that found nothing to help with asks again.
_LOOK = 1.0
# Calls at once of an actor that has pictures in work and gets more.
_EXCHANGES = 2


class ActorHand:
    """An actor that does pictures; see `vdsr.jobs.crew.Hand`.

    Args:
        actors: who waits for its answers.
        actor: Ray's handle.
        room: pictures that it has in work at once.

    Attributes:
        answers, blameless: see there.
        is_open: whether it has answered what it has opened.
        is_dead: whether it has ended.
        is_helping: whether it is at work on a picture of another one.
    """

    def __init__(self, actors: Actors, actor: Any, room: int) -> None:  # noqa: ANN401
        self.answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self.blameless = False
        self.is_open = self.is_dead = self.is_helping = False
        self.actor = actor
        self._actors = actors
        self._enough = max(1, room // 2)
        self._opened: Answer = {}
        self._death = ""
        self._backlog: list[Task] = []
        self._in_work: set[int] = set()
        self._exchanges = 0
        self._helped = 0
        self._help_again = 0.0

    def opened(self) -> Answer:
        """What it has opened; waits for it.

        Raises:
            UsageError: if the model, backend or precision cannot be had.
            ClusterError: if it died.
        """
        while not self.is_open and not self.is_dead:
            self._actors.wait(_LOOK)
        if self.is_dead:
            raise ClusterError(f"the actor that enlarges {self._death} before it began")
        return opened_of(self._opened)

    def do(self, task: Task) -> None:
        """Have a picture done."""
        self._backlog.append(task)

    def exchange(self) -> None:
        """Send what is to be done, all at once, and ask for what is done."""
        if self.is_dead or self._exchanges >= (_EXCHANGES if self._backlog else 1):
            return
        tasks, self._backlog = self._backlog, []
        # Whatever is sent counts as begun where it dies: it may be.
        for task in tasks:
            self._in_work.add(task.id)
            self.answers.put({"begun": task.id})
        if self._in_work:
            self._exchanges += 1
            sent = [task.as_dict() for task in tasks]
            self._actors.expect(self, self.actor.exchange.remote(sent, self._enough))

    def help(self, tasks: Sequence[Task]) -> None:
        """Have it make strips of one of these pictures of others, unless it is doing so."""
        now = time.monotonic()
        if tasks and not (self.is_helping or self.is_dead or now < self._help_again):
            self.is_helping = True
            # One after the other: what cannot be helped with must not keep it from the rest.
            task = tasks[self._helped % len(tasks)]
            self._helped += 1
            self._actors.expect(self, self.actor.help.remote(task.as_dict()))

    @property
    def begun(self) -> set[int]:
        """The pictures that it has in work, or had when it died."""
        return self._in_work

    def hear(self, answer: Any) -> None:  # noqa: ANN401 - what the actor's methods return
        """Take what one of its methods has returned."""
        if not self.is_open:
            self._opened, self.is_open = answer, True
        elif "helped" in answer:
            self.is_helping = False
            if not answer["helped"]:
                self._help_again = time.monotonic() + _LOOK
        else:
            self._exchanges -= 1
            for outcome in answer["ended"]:
                self._in_work.discard(outcome["id"])
                self.answers.put({"ended": outcome})
            for id, (done, total) in answer["progress"].items():
                self.answers.put({"progress": [id, done, total]})

    def die(self, death: str, *, blameless: bool) -> None:
        """It has ended."""
        if not self.is_dead:
            self.is_dead, self._death, self.blameless = True, death, blameless
            self.answers.put(None)

    def pause(self, *, stop: bool) -> None:
        """What is in work comes to its end; nothing new is begun meanwhile."""

    def death(self) -> str:
        """How it ended, in words."""
        return self._death

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._actors.dismiss(self)


class Actors:
    """The actors of a job.

    Args:
        ray: the module, connected.
        options: what each of them has.
        threads: of each of them; None is as many as it has CPUs.

    Raises:
        UsageError: if no machine of the cluster has so much.
    """

    def __init__(self, ray: Any, options: ClusterOptions, threads: int | None) -> None:  # noqa: ANN401
        self._ray = ray
        self._gpus = options.actor_gpus
        machines = self._machines()
        most = [int(machine.get("CPU", 0)) for machine in machines]
        few = min((cpus for cpus in most if cpus > 0), default=1)
        self._cpus = options.actor_cpus or min(DEFAULT_CPUS, few)
        self.threads = threads or self._cpus
        self._hands: list[ActorHand] = []
        self._waiting: dict[Any, ActorHand] = {}
        self._class = ray.remote(EnlargerActor)
        if not self.capacity():
            gpus = f" and {self._gpus:g} GPUs" if self._gpus else ""
            raise UsageError(
                f"no machine of the cluster has {self._cpus} CPUs{gpus} for an actor: ask for less"
            )

    def _machines(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def capacity(self) -> int:
        """How many of them the cluster has room for, as it is now."""
        count = 0
        for machine in self._machines():
            room = machine.get("CPU", 0) // self._cpus
            if self._gpus:
                room = min(room, machine.get("GPU", 0) // self._gpus)
            count += int(room)
        return count

    def start(self, order: dict[str, Any]) -> ActorHand:
        """Start one, and have it open a model; see `EnlargerActor.open`."""
        room = PER_THREAD * self.threads
        actor = self._class.options(
            num_cpus=self._cpus,
            num_gpus=self._gpus,
            # One that has died is replaced by whoever knows what it had in work.
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=_EXCHANGES + 1,  # and helping
        ).remote()
        hand = ActorHand(self, actor, room)
        self._hands.append(hand)
        self.expect(hand, actor.open.remote(order))
        return hand

    def expect(self, hand: ActorHand, answer: Any) -> None:  # noqa: ANN401 - a reference
        """Wait for what a method returns, too."""
        self._waiting[answer] = hand

    def wait(self, seconds: float) -> None:
        """Send what is to be done; wait for answers, so long at most, and hand them on.

        Args:
            seconds: how long.

        Raises:
            ClusterError: if this program cannot run in the cluster.
        """
        for hand in self._hands:
            hand.exchange()
        if not self._waiting:
            return
        ready, _ = self._ray.wait(list(self._waiting), num_returns=1, timeout=seconds)
        if ready:
            everything = list(self._waiting)
            ready, _ = self._ray.wait(everything, num_returns=len(everything), timeout=0)
        for answer in ready:
            # One that has died meanwhile is not waited for any more.
            if answer in self._waiting:
                self._take(self._waiting.pop(answer), answer)

    def _take(self, hand: ActorHand, answer: Any) -> None:  # noqa: ANN401 - a reference
        exceptions = self._ray.exceptions
        try:
            hand.hear(self._ray.get(answer))
        except exceptions.RayTaskError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ClusterError(
                f"the program cannot run in the cluster: {reason}: is the same vdsr installed on"
                " each of its machines?"
            ) from error
        except exceptions.RayActorError as error:
            # Not to be reached is no death by itself: it is left to itself, and ended.
            gone = isinstance(error, exceptions.ActorUnavailableError) or error.preempted
            blameless = gone or "node" in str(error).lower().partition("its ")[2][:16]
            self._forget(hand)
            hand.die("died", blameless=blameless)

    def dismiss(self, hand: ActorHand) -> None:
        """End one, whatever it is doing."""
        self._forget(hand)
        hand.die("was ended", blameless=True)
        self._ray.kill(hand.actor)

    def _forget(self, hand: ActorHand) -> None:
        with contextlib.suppress(ValueError):
            self._hands.remove(hand)
        for answer in [answer for answer, one in self._waiting.items() if one is hand]:
            del self._waiting[answer]
