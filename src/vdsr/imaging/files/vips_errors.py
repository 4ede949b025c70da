"""What libvips says of a failure, and of whose.

libvips has one buffer of error texts for the whole process, which whoever asks first reads
and empties (`vips_error_buffer`). Where several pictures fail at once, a thread that asks
for its own text may get another's, both, or nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pyvips

from vdsr.errors import InputError

# Threads of this package that each belong to a picture that another thread decodes.
HELPER = "vdsr-encoder"

_SYSTEM_ERROR = "system error: "
_ROWS = 64
# Others that fail meanwhile disturb one or two of them: three that agree are right.
_TRIES = 16
_AGREEING = 3
# What is left where another thread has taken the cause away.
_VAGUE = ("unable to call", "unable to fetch from region", "unknown error", "image: no property")
_ONE_AT_A_TIME = threading.Lock()


def reason(error: pyvips.Error) -> str:
    """What a libvips error says: the system's reason, else its first line."""
    text = str(getattr(error, "detail", "") or error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    system = [line for line in lines if line.startswith(_SYSTEM_ERROR)]
    return (system or lines or ["unknown error"])[0].removeprefix(_SYSTEM_ERROR)


def own_reason(error: pyvips.Error, open_image: Callable[[], pyvips.Image]) -> str:
    """What libvips says of one picture, whatever else fails at the same time.

    Where other threads run, the text may be theirs: the picture is decoded again, one at a
    time, until its failure is told three times in the same words.

    Args:
        error: that the picture failed with.
        open_image: opens it again, for reading from top to bottom.
    """
    if not _in_company():
        return reason(error)
    told: Counter[str] = Counter()
    with _ONE_AT_A_TIME:
        for _ in range(_TRIES):
            text = _told_again(open_image)
            if text is None:  # it fails only where more is done with it
                return reason(error)
            told[text] += 1
            if told[text] == _AGREEING and not text.startswith(_VAGUE):
                return text
    causes = [text for text, _ in told.most_common() if not text.startswith(_VAGUE)]
    return causes[0] if causes else told.most_common(1)[0][0]


def _in_company() -> bool:
    """Whether other threads could have failed in libvips just now."""
    return sum(not thread.name.startswith(HELPER) for thread in threading.enumerate()) > 1


def _told_again(open_image: Callable[[], pyvips.Image]) -> str | None:
    """What libvips says when a picture is decoded and nothing else is done; None if nothing."""
    try:
        image = open_image()
        region = pyvips.Region.new(image)
        for top in range(0, image.height, _ROWS):
            region.fetch(0, top, image.width, min(_ROWS, image.height - top))
    except pyvips.Error as error:
        return reason(error)
    except InputError:
        return None
    return None
