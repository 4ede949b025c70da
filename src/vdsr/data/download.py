"""Downloads that are whole and as expected, or not there."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from vdsr.errors import InputError, OutputError
from vdsr.version import __version__

OnBytes = Callable[[int, int | None], None]

_CHUNK = 1 << 18
_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 4
_PARTIAL_CONTENT = 206
_RANGE_NOT_SATISFIABLE = 416


def download(
    url: str,
    goal: Path,
    sha256: str,
    *,
    most: int,
    progress: OnBytes | None = None,
    pause: float = 2.0,
) -> None:
    """Fetch `url` into `goal`, unless it is there already.

    What has arrived lies beside the goal as `NAME.part`, and the next try, in this run or
    a later one, goes on from there (HTTP Range). It is renamed when its checksum is right.

    Args:
        url: http or https. What begins as https is never led to anything else.
        goal: the file; its folder is made.
        sha256: of the whole file, 64 hexadecimal digits.
        most: size in bytes above which nothing more is taken.
        progress: called with the bytes there are and, if known, the bytes there will be.
        pause: seconds before the second try, doubled for each further one.

    Raises:
        InputError: if it cannot be fetched, or is not what was expected.
        OutputError: if it cannot be written.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url}: only http and https addresses are fetched")
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        if goal.exists() and digest(goal) == sha256:
            return
        part = goal.with_name(goal.name + ".part")
        _fetch(url, part, most, progress, pause)
        found = digest(part)
        if found != sha256:
            part.unlink()
            raise InputError(
                f"{url}: its checksum is {found[:12]}..., not {sha256[:12]}...: it was changed or"
                " damaged on the way; nothing of it was kept"
            )
        part.replace(goal)
    except OSError as error:
        raise OutputError(f"{goal}: it cannot be written: {error.strerror or error}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(url: str, part: Path, most: int, progress: OnBytes | None, pause: float) -> None:
    """Fill `part`, going on where it ends.

    Raises:
        InputError: if the last attempt failed too.
        OSError: if it cannot be written.
    """
    for attempt in range(_ATTEMPTS):
        try:
            _receive(url, part, most, progress)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == _RANGE_NOT_SATISFIABLE and _received(part):
                part.unlink()  # longer than the file is: it is of something else
                failure: Exception = error
            elif error.code < 500:
                raise InputError(f"{url}: the server answers {error.code} {error.reason}") from None
            else:
                failure = error
        except (urllib.error.URLError, http.client.HTTPException, _Broken) as error:
            failure = error
        if attempt + 1 < _ATTEMPTS:
            time.sleep(pause * 2**attempt)
    raise InputError(
        f"{url}: it cannot be fetched: {getattr(failure, 'reason', None) or failure}: run the"
        " command again to go on, or give the folder of a copy"
    ) from failure


class _Broken(Exception):
    """The connection ended before the file did."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, but not out of https, nor to another protocol."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise InputError(
                f"{req.full_url}: the server leads to {newurl[:200]!r}, which is not safe:"
                " nothing was fetched"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(url: str, part: Path, most: int, progress: OnBytes | None) -> None:
    done = _received(part)
    headers = {"User-Agent": f"vdsr/{__version__}"}
    if done:
        headers["Range"] = f"bytes={done}-"
    request = urllib.request.Request(url, headers=headers)
    opener = urllib.request.build_opener(_Redirects)
    with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
        if response.status != _PARTIAL_CONTENT:
            done = 0
        length = response.headers.get("Content-Length", "")
        total = done + int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        _check_size(url, part, max(done, total or 0), most)
        with _opened(part, done) as file:
            while chunk := _read(response):
                file.write(chunk)
                done += len(chunk)
                _check_size(url, part, done, most)
                if progress is not None:
                    progress(done, total)
    if total is not None and done < total:
        raise _Broken(f"the connection ended after {done} of {total} bytes")


def _received(part: Path) -> int:
    """Bytes that an earlier try left; what it cannot have left is removed.

    The name is one that anybody can foresee: where others may write, too, it may be a link to
    another file, or somebody else's.
    """
    try:
        found = part.lstat()
    except FileNotFoundError:
        return 0
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and own:
        return found.st_size
    part.unlink()
    return 0


def _opened(part: Path, done: int) -> IO[bytes]:
    """The unfinished file, to go on with behind its first bytes; links are not followed."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if done else os.O_TRUNC)
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"):
        flags |= getattr(os, name, 0)
    return os.fdopen(os.open(part, flags, 0o666), "ab" if done else "wb")


def _check_size(url: str, part: Path, size: int, most: int) -> None:
    if size > most:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{url}: it has more than the {most / 1e6:.0f} MB that were expected; nothing of it"
            " was kept"
        )


def _read(response: http.client.HTTPResponse) -> bytes:
    """Some bytes; what the network does wrong is told apart from what the disk does."""
    try:
        return response.read1(_CHUNK)
    except OSError as error:
        raise _Broken(str(error)) from error
