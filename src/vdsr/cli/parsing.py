"""What is typed as one word: sizes, lists of numbers and of names."""

from __future__ import annotations

import re

from vdsr.errors import UsageError


def parse_box(text: str) -> tuple[int, int]:
    """(width, height) from a text like `1920x1080`.

    Raises:
        UsageError: if it is something else.
    """
    match = re.fullmatch(r"\s*(\d{1,9})\s*[x×X]\s*(\d{1,9})\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is not a size: write WIDTHxHEIGHT, as 1920x1080")
    return int(match[1]), int(match[2])


def parse_numbers(text: str, option: str, example: str) -> tuple[int, ...]:
    """Whole numbers with commas between, each once.

    Args:
        text: what was typed.
        option: for the message.
        example: what could have been typed.

    Raises:
        UsageError: if it is something else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        raise UsageError(f"{option} {text!r}: whole numbers with commas between, as {example}")
    return tuple(dict.fromkeys(int(part) for part in parts))


def parse_names(text: str) -> list[str]:
    """Names with commas between, each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def parse_seconds(text: str) -> float:
    """Seconds from a text like `90`, `1:30` or `0:01:30.5`.

    Raises:
        UsageError: if it is something else.
    """
    match = re.fullmatch(r"(?:(?:(\d{1,3}):)?(\d{1,2}):)?(\d{1,9}(?:\.\d{1,6})?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a time: write seconds, as 90, or 1:30, or 0:01:30.5")
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + float(match[3])
