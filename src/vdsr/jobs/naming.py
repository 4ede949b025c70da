"""Names of outputs: by a pattern, told apart where two would be the same, never too long."""

from __future__ import annotations

import hashlib
import os
import posixpath
import string
from pathlib import Path

from vdsr.errors import UsageError
from vdsr.imaging.files.formats import FORMATS
from vdsr.inference.target import Target

# Formats by the suffixes of files that can be written.
_WRITTEN = {suffix: one.name for one in FORMATS.values() for suffix in one.suffixes}
# Longest name in bytes where the file system does not say.
_LONGEST = 255
_FIELDS = ("stem", "suffix", "scale", "size")
# How often a name may be made more particular: see `NamePattern.name`.
LEVELS = 4


class NamePattern:
    """How the outputs of a job are named.

    Args:
        pattern: text with `{stem}` (the name of the input without its suffix), `{suffix}`
            (of the output, with its dot), `{scale}` (`4`; for a scale only) and `{size}`
            (`x4`, `1920w`, `1080h`, `1920x1080`, `restored`). None is
            `{stem}_x{scale}{suffix}` for a scale, else `{stem}_{size}{suffix}`. Without a
            suffix at its end it gets `{suffix}`.
        target: what size is asked for.
        format: name of the outputs' format; None for that of each input.
        mark: stands before the suffix of every name.

    Raises:
        UsageError: for a pattern that cannot be used.
    """

    def __init__(
        self, pattern: str | None, target: Target, format: str | None, mark: str = ""
    ) -> None:
        self._fields = {"size": size_label(target)}
        scale = target.asked_scale
        if scale is not None:
            self._fields["scale"] = f"{scale:g}"
        if pattern is None:
            pattern = "{stem}_{size}{suffix}"
        else:
            self._check(pattern)
        end = posixpath.splitext(pattern)[1].lower()
        if not pattern.endswith("{suffix}") and end not in _WRITTEN:
            pattern += "{suffix}"
        elif end in _WRITTEN and format is None:
            format = _WRITTEN[end]
        end = "{suffix}" if pattern.endswith("{suffix}") else pattern[-len(end) :]
        self._pattern = f"{pattern.removesuffix(end)}{mark}{end}"
        self._format = format

    def _check(self, pattern: str) -> None:
        try:
            parts = list(string.Formatter().parse(pattern))
        except ValueError as error:
            raise UsageError(f"the name pattern {pattern!r} is malformed: {error}") from error
        used = [name for _, name, _, _ in parts if name is not None]
        for _, name, spec, conversion in parts:
            if name is not None and (name not in _FIELDS or spec or conversion):
                known = ", ".join(f"{{{field}}}" for field in _FIELDS)
                raise UsageError(f"{{{name}}} in the name pattern {pattern!r}: {known} are known")
        if "stem" not in used:
            raise UsageError(
                f"the name pattern {pattern!r} has no {{stem}}: all names would be the same"
            )
        if "scale" in used and "scale" not in self._fields:
            raise UsageError(
                f"the name pattern {pattern!r}: what {{scale}} is differs from picture to picture"
                " where a size is asked for: use {size}"
            )
        if any(separator in pattern for separator in ("/", os.sep, os.altsep or "/", "\0")):
            raise UsageError(f"the name pattern {pattern!r} is for names, not for folders")

    def format(self, source: str) -> str:
        """The name of the format of the output of a file of this name."""
        return self._format or _WRITTEN.get(posixpath.splitext(source)[1].lower(), "png")

    def name(self, relative: str, source: str, level: int, longest: int) -> str:
        """The name of the output.

        Args:
            relative: where the output belongs, with the name of the input, with `/`;
                undecodable bytes as surrogates (`os.fsdecode`).
            source: the input's own path.
            level: 0 for the plain name; above it `a.jpg` and `a.png` differ by their
                suffixes (1), the folders they are in (2), a digest of their path (3).
            longest: bytes that a name may have.

        Returns:
            A path relative to the output folder, with `/`.
        """
        # Not by `pathlib`, which takes five times as long for 100,000 names.
        folder, own = posixpath.split(relative)
        stem, suffix = posixpath.splitext(own)
        fields = {**self._fields, "suffix": self._suffix(suffix)}
        if level >= 1:
            stem = own
        if level >= 2:
            stem = f"{Path(source).parent.name}_{stem}"
        if level >= 3:
            stem = f"{stem}~{_digest(source)}"
        name = self._pattern.format(stem=stem, **fields)
        excess = len(os.fsencode(name)) - longest
        if excess > 0:
            # Cut names may agree where the whole ones did not.
            mark = f"~{_digest(source)}"
            stem = _shortened(stem, excess + len(mark)) + mark
            name = self._pattern.format(stem=stem, **fields)
        return posixpath.join(folder, name)

    def _suffix(self, suffix: str) -> str:
        """The suffix of an output: the input's own, as it is written there, where it fits."""
        lower = suffix.lower()
        format = FORMATS[self._format or _WRITTEN.get(lower, "png")]
        return suffix if lower in format.suffixes else format.suffixes[0]


def _digest(source: str) -> str:
    return hashlib.sha256(os.fsencode(source)).hexdigest()[:8]


def _shortened(text: str, excess: int) -> str:
    """A text without the last characters, as many as have this many bytes."""
    while text and excess > 0:
        excess -= len(os.fsencode(text[-1]))
        text = text[:-1]
    return text


def longest_name(folder: Path) -> int:
    """Bytes that a name in a folder may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        return _LONGEST


def size_label(target: Target) -> str:
    """What is asked for, as a part of a file's name."""
    if target.restore:
        return "restored"
    scale = target.asked_scale
    if scale is not None:
        return f"x{scale:g}"
    if target.fit is not None:
        return f"fit{target.fit[0]}x{target.fit[1]}"
    if target.width is None:
        return f"{target.height}h"
    return f"{target.width}w" if target.height is None else f"{target.width}x{target.height}"
