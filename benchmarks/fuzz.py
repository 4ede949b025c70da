"""Reads thousands of spoiled files: whatever is wrong with one is said in words.

python benchmarks/fuzz.py                # 20,000 inputs of all kinds
python benchmarks/fuzz.py --only models --from 1234 --inputs 1    # one again

Each input is made of a valid file by its kind and its number, so that it is the same at every
run. Readers run in processes of their own: one that crashes, or hangs for over ten seconds, is
named, ended, and the next input is read by another. Prints a line per kind, the inputs that
were not refused as they should be, and a summary; exits with 1 if there is one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_inputs import FAULTS, KINDS, spoiled

INPUTS = 20_000
HANG_SECONDS = 10.0
MOST_MEMORY = 1 << 30
# What a reader may take at all, so that a fault in one does not end the machine's other work.
_ADDRESS_SPACE = 12 << 30
# A reader begins by loading libraries and making valid files.
_START_SECONDS = 120.0


@dataclass
class Tally:
    """What became of the inputs of a kind."""

    read: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: {"tracebacks": 0, "crashes": 0, "hangs": 0}
    )
    peak: int = 0

    def fault(self, what: str, text: str) -> None:
        """Note an input that was neither read nor refused in words."""
        self.counts[what] += 1
        self.faults.append(text)


def reader(kind: str, first: int, last: int) -> None:
    """Read the inputs of a kind from number `first` to `last`; a line of JSON about each."""
    from vdsr.errors import VdsrError

    warnings.simplefilter("ignore")
    # What libraries print is not for this pipe.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    chosen = KINDS[kind]
    chosen.seeds()
    with tempfile.TemporaryDirectory(prefix="vdsr-fuzz-") as name:
        os.chdir(name)
        path = Path(name) / f"in.{chosen.suffix}"
        for number in range(first, last):
            path.write_bytes(spoiled(kind, number))
            out.write(json.dumps({"begun": number}) + "\n")
            ended = {"ended": "read"}
            try:
                chosen.read(path)
            except VdsrError:
                ended = {"ended": "refused"}
            except BaseException as error:
                deepest = traceback.extract_tb(error.__traceback__)[-1]
                cause = f" from {error.__cause__!r}" if error.__cause__ is not None else ""
                where = f"{Path(deepest.filename).name}:{deepest.lineno}"
                ended = {"ended": f"{type(error).__name__}: {error!s:.300}{cause:.300} ({where})"}
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            out.write(json.dumps({**ended, "peak": peak << 10}) + "\n")


class Reader:
    """A process that reads inputs, watched.

    Args:
        kind: of the inputs.
        first, last: their numbers; `last` is not among them.
        patience: seconds that it may take over one.
    """

    def __init__(self, kind: str, first: int, last: int, patience: float) -> None:
        self._patience = patience
        self.kind, self.number, self.last = kind, first, last
        self._begun = False
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--reader", kind, str(first), str(last)],
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        self.since = time.monotonic()
        self._rest = b""

    def hangs(self) -> bool:
        """Whether nothing has been heard for too long."""
        patience = self._patience if self._begun else _START_SECONDS
        return time.monotonic() - self.since > patience

    def hear(self, tally: Tally) -> bool:
        """Take what the process says; False if it has ended."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line), tally)
        return bool(data)

    def _take(self, said: dict[str, object], tally: Tally) -> None:
        self.since = time.monotonic()
        if "begun" in said:
            self._begun = True
            return
        self._begun = False
        ended, peak = str(said["ended"]), int(str(said["peak"]))
        if ended == "read":
            tally.read += 1
        elif ended == "refused":
            tally.refused += 1
        else:
            tally.fault("tracebacks", f"{self.kind} {self.number}: {ended}")
        if peak > max(MOST_MEMORY, tally.peak):
            tally.faults.append(f"{self.kind} {self.number}: {peak >> 20} MiB of memory")
        tally.peak = max(tally.peak, peak)
        self.number += 1

    def close(self, tally: Tally, *, hung: bool) -> None:
        """End it, and note the input that it did not survive."""
        if hung:
            tally.fault("hangs", f"{self.kind} {self.number}: over {self._patience:.0f} s")
            self.process.kill()
        code = self.process.wait()
        if not hung and (code or self.number < self.last):
            self._said.seek(0)
            last = self._said.read()[-200:].decode("utf-8", "replace").strip()
            tally.fault("crashes", f"{self.kind} {self.number}: exit code {code}: {last}")
        if hung or code or self.number < self.last:
            self.number += 1
        self._said.close()
        assert self.process.stdout is not None
        self.process.stdout.close()


def read_all(kind: str, first: int, count: int, workers: int, patience: float) -> Tally:
    """Read `count` inputs of a kind, in `workers` processes at once."""
    tally = Tally()
    edges = [first + count * i // workers for i in range(workers + 1)]
    with selectors.DefaultSelector() as selector:

        def start(begin: int, end: int) -> None:
            if begin < end:
                one = Reader(kind, begin, end, patience)
                assert one.process.stdout is not None
                selector.register(one.process.stdout, selectors.EVENT_READ, one)

        for begin, end in itertools.pairwise(edges):
            start(begin, end)
        while watched := list(selector.get_map().values()):
            ready = {id(key.data) for key, _ in selector.select(timeout=0.5)}
            for key in watched:
                one: Reader = key.data
                alive = one.hear(tally) if id(one) in ready else True
                if not alive or one.hangs():
                    selector.unregister(key.fileobj)
                    one.close(tally, hung=alive)
                    start(one.number, one.last)
    return tally


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, add_help=True)
    options.add_argument("--inputs", type=int, default=INPUTS, help="how many, of all kinds")
    options.add_argument("--from", type=int, default=0, dest="first", help="number of the first")
    options.add_argument("--only", choices=KINDS, help="one kind")
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options.add_argument("--patience", type=float, default=HANG_SECONDS, help="seconds for one")
    options.add_argument("--reader", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.reader:
        kind, first, last = given.reader
        with contextlib.suppress(BrokenPipeError):
            reader(kind, int(first), int(last))
        return
    kinds = [given.only] if given.only else [kind for kind in KINDS if kind != FAULTS]
    tallies = {}
    for i, kind in enumerate(kinds):
        share = given.inputs * (i + 1) // len(kinds) - given.inputs * i // len(kinds)
        started = time.monotonic()
        tally = tallies[kind] = read_all(kind, given.first, share, given.workers, given.patience)
        print(
            f"{kind:<12} {share:>6} inputs: {tally.read} read, {tally.refused} refused,"
            f" {sum(tally.counts.values())} neither; {tally.peak >> 20} MiB,"
            f" {time.monotonic() - started:.0f} s",
            flush=True,
        )
        for fault in tally.faults:
            print(f"    {fault}")
    total = {
        name: sum(tally.counts[name] for tally in tallies.values())
        for name in ("tracebacks", "crashes", "hangs")
    }
    peak = max(tally.peak for tally in tallies.values())
    print(
        f"inputs {given.inputs}, tracebacks of foreign types {total['tracebacks']}, crashes"
        f" {total['crashes']}, hangs over {given.patience:.0f} s {total['hangs']}, peak memory"
        f" {peak >> 20} MiB"
    )
    sys.exit(any(total.values()) or peak > MOST_MEMORY)


if __name__ == "__main__":
    main()
