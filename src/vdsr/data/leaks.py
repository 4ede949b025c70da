"""Evaluation pictures among training pictures, found by what they show.

A fingerprint is 256 signs: of the differences between neighbors along the rows of the
luma, shrunk to 64x64 and then to 16x17 px ("dHash": N. Krawetz, "Kind of Like That", 2013,
https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html, there
with 8x9 px). It survives another size, format, compression or color range; a picture
mirrored or turned is looked for in all eight positions. A crop is not found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from vdsr.imaging.resample import imresize

Fingerprint = NDArray[np.bool_]

_SIDE = 16
_SQUARE = 64
# Of 256 signs, strangers share about 128, and copies all but a few.
_TOLERANCE = 25


def fingerprint(luma: NDArray[np.uint8]) -> Fingerprint:
    """256 signs that tell a picture from others.

    Args:
        luma: uint8 `[H, W]`.
    """
    return _signs(_small(luma))


def _small(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A square, so that turning it eight ways costs nothing."""
    return imresize(luma.astype(np.float32), size=(_SQUARE, _SQUARE))


def _signs(square: NDArray[np.float32]) -> Fingerprint:
    small = imresize(square, size=(_SIDE, _SIDE + 1))
    signs: Fingerprint = (np.diff(small, axis=1) > 0).ravel()
    return signs


def find(luma: NDArray[np.uint8], known: Mapping[str, Fingerprint]) -> str | None:
    """The name of the known picture that this one is, or None.

    Args:
        luma: uint8 `[H, W]`.
        known: fingerprints by name.
    """
    if not known:
        return None
    names, prints = list(known), np.stack(list(known.values()))
    square = _small(luma)
    for position in range(8):
        turned = np.rot90(square, position % 4)
        own = _signs(turned[:, ::-1] if position > 3 else turned)
        distances = (prints != own).sum(1)
        if distances.min() <= _TOLERANCE:
            return names[int(distances.argmin())]
    return None


@lru_cache(maxsize=1)
def published() -> dict[str, Fingerprint]:
    """Fingerprints of Set5 and Set14, the pictures that every table is about."""
    text = (resources.files("vdsr.training") / "evaluation_pictures.json").read_text("utf-8")
    return {name: unpack(signs) for name, signs in json.loads(text).items()}


def pack(signs: Fingerprint) -> str:
    """A fingerprint as 64 hexadecimal digits."""
    return np.packbits(signs).tobytes().hex()


def unpack(text: str) -> Fingerprint:
    """What `pack` wrote."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)).astype(bool)
