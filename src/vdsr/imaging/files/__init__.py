"""Picture files through libvips: decoded and encoded strip by strip, nothing lost.

`PictureReader` gives the samples of a file as they are stored (uint8, uint16 or
float32, channels last) in strips from top to bottom; `PictureWriter` takes such
strips and leaves either a whole file or none.
"""

import logging

from vdsr.imaging.files.decode import PictureReader as PictureReader
from vdsr.imaging.files.encode import PictureWriter as PictureWriter
from vdsr.imaging.files.formats import FORMATS as FORMATS
from vdsr.imaging.files.formats import SUFFIXES as SUFFIXES
from vdsr.imaging.files.formats import Format as Format
from vdsr.imaging.files.formats import PixelLayout as PixelLayout
from vdsr.imaging.files.formats import format_of as format_of

# Python prints warnings that nobody listens to; those of libvips are about single tags.
logging.getLogger("pyvips").addHandler(logging.NullHandler())
