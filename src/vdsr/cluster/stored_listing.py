"""What a job in storage has before it: pictures, records and outputs, listed side by side."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from vdsr.cluster.folder_storage import place_at
from vdsr.cluster.storage import HOME, Object, Place
from vdsr.cluster.stored_state import StoredState
from vdsr.errors import UsageError
from vdsr.imaging.files.formats import SUFFIXES
from vdsr.jobs.balance import Balance
from vdsr.jobs.discovery import OTHER_SUFFIXES, Selection
from vdsr.jobs.runner import RunOptions
from vdsr.jobs.settings import JobSettings

# Names that are held at most: outputs that come before those asked for.
_HELD = 100_000
_LONGEST = 255


def check_places(source: Place, goal: Place, settings: JobSettings, options: RunOptions) -> None:
    """Check that a job can be one from storage to storage.

    Raises:
        UsageError: if it cannot.
    """
    for asked, name in (
        (settings.residual, "residual"),
        (settings.compare, "report"),
        (settings.preview, "preview"),
    ):
        if asked:
            raise UsageError(f"{name} is for folders, and not for addresses of storage")
    if source.address == goal.address:
        raise UsageError(f"{source.address}: it is the address of the outputs, too: name another")


@dataclass
class Listing:
    """What lies at the address of the inputs, and is not known to be done.

    Attributes:
        source, goal: where pictures are, and outputs.
        state: of the job.
        settings: what is done with each picture.
        selection: which objects are meant.
        redo: whether nothing that is recorded counts.
        found: objects so far.
        done: of them, known to be done.
        skipped: and no pictures to work on, by the reason.
    """

    source: Place
    goal: Place
    state: StoredState
    settings: JobSettings
    selection: Selection
    redo: bool = False
    found: int = 0
    done: int = 0
    skipped: dict[str, int] = field(default_factory=dict)

    def pictures(self) -> Iterator[Object]:
        """Pictures that are not known to be done, of three listings side by side.

        A picture is known to be done if its record is no older than itself and its output.
        Whatever else is found, or missing, is looked into when the picture is claimed.
        """
        done = iter(()) if self.redo else self.state.done()
        record = next(done, None)
        made = Outputs(self._outputs())
        outputs = self.goal.address.removeprefix(f"{self.source.address}/")
        inside = outputs != self.goal.address
        for one in self.source.list():
            if inside and one.name.startswith(f"{outputs}/"):
                continue
            self.found += 1
            skipped = _skipped(one.name, self.selection)
            if skipped is None:
                skipped = self.goal.refusal(one.name) or self.goal.refusal(self.output(one.name))
            if skipped is not None:
                self.skipped[skipped] = self.skipped.get(skipped, 0) + 1
                continue
            key = _key(one.name)
            while record is not None and _key(record.name) < key:
                record = next(done, None)
            if record is not None and record.name == one.name and record.changed >= one.changed:
                output = made.find(self.output(one.name))
                if output is not None and record.changed >= output.changed:
                    self.done += 1
                    continue
            yield one

    def anew(self) -> Listing:
        """The same, to be read once more."""
        return replace(self, found=0, done=0, skipped={})

    def _outputs(self) -> Iterator[Object]:
        """All that lies beside the state, which is passed over: it has a record for each."""
        for one in self.goal.list():
            if one.name.startswith(f"{HOME}/"):
                yield from self.goal.list(after=f"{HOME}/{chr(0x10FFFF)}")
                return
            yield one

    def output(self, name: str) -> str:
        """The name of the output; told from its likes where the suffix changes."""
        pattern = self.settings.pattern
        plain = pattern.name(name, name, 0, _LONGEST)
        same = posixpath.splitext(plain)[1] == posixpath.splitext(name)[1]
        return plain if same else pattern.name(name, name, 1, _LONGEST)


@dataclass(frozen=True, kw_only=True)
class StoredPlan:
    """What a job in storage would do.

    Attributes:
        balance: how it stands.
        size: bytes of the pictures that are to be done.
        listing: of all.
    """

    balance: Balance
    size: int
    listing: Listing

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Addresses of the pictures that are to be done, and of their outputs; listed again."""
        listing = self.listing.anew()
        for one in listing.pictures():
            yield listing.source.at(one.name), listing.goal.at(listing.output(one.name))


def plan_stored(source: str, goal: str, settings: JobSettings, options: RunOptions) -> StoredPlan:
    """Find out what a job would do, without doing or writing anything.

    A picture whose record or output is missing counts as not done, although a run may find,
    when it looks into it, that it is done, or cannot be.

    Args:
        source, goal, settings, options: see `vdsr.cluster.stored_job.run_stored`.

    Raises:
        UsageError, InputError: see there.
    """
    back = place_at(goal)
    state = StoredState(back, overwrite=False, retry=False)
    listing = Listing(place_at(source), back, state, settings, options.selection)
    check_places(listing.source, listing.goal, settings, options)
    if options.redo:
        listing.redo = True
    else:
        listing.state.compare(settings)
    size = sum(one.size for one in listing.pictures())
    left = listing.found - listing.done - sum(listing.skipped.values())
    balance = Balance(
        inputs=listing.found,
        done=listing.done,
        failed=0,
        quarantined=0,
        skipped=listing.skipped,
        left=left,
        faults=(),
    )
    return StoredPlan(balance=balance, size=size, listing=listing)


class Outputs:
    """The outputs of a job, by their names, read page by page.

    Outputs come in nearly the order of their pictures: `a.png` before `aZ.png`, but
    `aZ_x4.png` before `a_x4.png`. So those that were read and not asked for are held for a
    while; what nobody asks for, an object of others, is forgotten at last. An output may not
    be found, then, although it is there.

    Args:
        listed: the outputs, in the order of their names.
    """

    def __init__(self, listed: Iterator[Object]) -> None:
        self._listed = listed
        self._held: dict[str, Object] = {}
        self._last = b""

    def find(self, name: str) -> Object | None:
        """The output of a name; asked for once, and in nearly the order of the names."""
        key = _key(name)
        while self._last < key:
            one = next(self._listed, None)
            if one is None:
                self._last = key
                break
            self._last = _key(one.name)
            self._held[one.name] = one
            if len(self._held) > _HELD:
                del self._held[next(iter(self._held))]
        return self._held.pop(name, None)


def _key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _skipped(name: str, selection: Selection) -> str | None:
    """Why an object is not worked on; None for a picture, which it is by its suffix alone."""
    parts = name.split("/")
    if any(part.startswith(".") for part in parts):
        return "hidden"
    folders = ("/".join(parts[:i]) for i in range(1, len(parts)))
    if not selection.takes(name) or any(map(selection.leaves_out, folders)):
        return "excluded"
    suffix = posixpath.splitext(name)[1].lower()
    return None if suffix in SUFFIXES or suffix in OTHER_SUFFIXES else "no picture"
