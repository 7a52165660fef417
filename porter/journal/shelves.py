"""Where the segments of an archive are had from: a folder, or the controllers' HTTP API, from which they are fetched.

Either may hold segments that overlap, such as those that were copied from another controller's archive.
"""

from __future__ import annotations

import http
import http.client
import json
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from porter.journal.segment import Segment, list_segments, open_segment
from porter.ports import Corrupt, JournalError, JournalUnavailable

LISTING = "/v1/archive"
"""Answers `{"segments": [{name, first, last, lastHash, previousHash, bytes, sha256}]}`."""
CONTENT = "/v1/segment"
"""Answers the segment `name=`, byte by byte."""
SEGMENTS_LISTED_MAX = 100_000
LISTING_BYTES_MAX = 64 * 1024 * 1024
SEGMENT_BYTES_MAX = 1024 * 1024 * 1024
FETCHED_MAX = 64
"""How many segments are kept on this machine, the ones that were read last."""
TIMEOUT_S = 60.0
FETCHING = "porter-archive-"
"""What the names of folders begin with that hold what was fetched."""


class Shelved(NamedTuple):
    """What is known of a segment before it is opened; hashes are hex, `sha256` is that of the whole file or ""."""

    name: str
    first: int
    last: int
    last_hash: str
    previous_hash: str
    bytes: int = 0
    sha256: str = ""


class Shelf(Protocol):
    """Segments by name. Both methods block."""

    told: str

    def listing(self, *, anew: bool = False) -> Sequence[Shelved]:
        """All segments, by where they end; `anew` where what is known may be old.

        Raises:
            JournalError: they cannot be listed.
        """
        ...

    def segment(self, shelved: Shelved) -> Segment:
        """One segment, as a file on this machine.

        Raises:
            Corrupt: it was changed. JournalError: it cannot be had.
        """
        ...

    def close(self) -> None:
        """Remove what was fetched."""
        ...


class FolderShelf:
    """The segments in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = str(folder)
        self._known: dict[str, Segment] = {}

    def listing(self, *, anew: bool = False) -> Sequence[Shelved]:
        """See `Shelf`. What cannot be opened is left out; `porter verify` tells of it."""
        del anew
        if not self.folder.is_dir():
            return ()
        found, _ = list_segments(self.folder, self._known)
        self._known = {one.name: one for one in found}
        return [shelved(one) for one in found]

    def segment(self, shelved: Shelved) -> Segment:
        """See `Shelf`."""
        try:
            return self._known.get(shelved.name) or open_segment(self.folder / shelved.name)
        except OSError as error:
            raise JournalUnavailable(f"{self.folder / shelved.name} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """See `Shelf`."""


class _NoArchive(JournalUnavailable):
    """The controller is of a release without an archive, or has deleted the segment."""


class HttpShelf:
    """The segments of a controller, fetched into a temporary folder when they are wanted."""

    def __init__(self, address: str, token: Callable[[], str] = str, place: Path | None = None) -> None:
        """`token` gives the bearer token at the time of asking: those of Pods are replaced every hour.

        In `place` a folder is made for what is fetched; None is the machine's own for such files.
        """
        self.told = f"the archive of the controller at {address}"
        self._token = token
        self._base = f"http://{address}"
        self._place = place
        self._folder: Path | None = None
        self._fetched: OrderedDict[str, Segment] = OrderedDict()
        self._listing: Sequence[Shelved] | None = None

    def listing(self, *, anew: bool = False) -> Sequence[Shelved]:
        """See `Shelf`. Asked once, and again only where somebody misses something."""
        if self._listing is None or anew:
            try:
                rows = json.loads(self._get(LISTING, LISTING_BYTES_MAX))["segments"]
                self._listing = [_shelved(row) for row in rows[:SEGMENTS_LISTED_MAX]]
            except _NoArchive:
                self._listing = []
            except (ValueError, KeyError, TypeError) as error:
                raise JournalError(f"{self.told} answers something else than its segments: {error}") from error
        return self._listing

    def segment(self, shelved: Shelved) -> Segment:
        """See `Shelf`."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=FETCHING, dir=self._place))
        path = self._folder / shelved.name
        if shelved.name not in self._fetched:
            raw = self._get(f"{CONTENT}?{urllib.parse.urlencode({'name': shelved.name})}", SEGMENT_BYTES_MAX)
            if sha256(raw).hexdigest() != shelved.sha256:
                raise Corrupt(f"{self.told}: {shelved.name} arrived with another digest than was told")
            path.write_bytes(raw)
            self._fetched[shelved.name] = open_segment(path)
            while len(self._fetched) > FETCHED_MAX:
                (self._folder / self._fetched.popitem(last=False)[0]).unlink(missing_ok=True)
        self._fetched.move_to_end(shelved.name)
        return self._fetched[shelved.name]

    def let_go(self, shelved: Shelved) -> None:
        """Somebody took the file of a segment: it is fetched anew where it is wanted again."""
        self._fetched.pop(shelved.name, None)

    def close(self) -> None:
        """See `Shelf`."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._fetched.clear()

    def _get(self, path: str, most: int) -> bytes:
        """What is answered, or so many bytes of it.

        Raises:
            JournalUnavailable: nothing whole is.
        """
        request = urllib.request.Request(f"{self._base}{path}")  # noqa: S310 -- http
        if token := self._token():
            if not (token.isascii() and token.isprintable()):
                # The library's own message would tell it.
                raise JournalUnavailable(f"{self.told} cannot be asked: the token is none, but several lines or binary")
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 -- http
                return cast("bytes", answer.read(most))
        except urllib.error.HTTPError as error:
            kind = _NoArchive if error.code == http.HTTPStatus.NOT_FOUND else JournalUnavailable
            raise kind(f"{self.told} answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise JournalUnavailable(f"{self.told} does not answer: {error}") from error


def shelved(segment: Segment, digest: str = "") -> Shelved:
    """A segment as it is listed."""
    last = segment.last
    return Shelved(
        segment.name, segment.first, last.position, last.hash.hex(), segment.previous.hash.hex(), segment.size, digest
    )


def shelved_json(one: Shelved) -> dict[str, object]:
    """A segment as the HTTP API lists it."""
    return {
        "name": one.name,
        "first": one.first,
        "last": one.last,
        "lastHash": one.last_hash,
        "previousHash": one.previous_hash,
        "bytes": one.bytes,
        "sha256": one.sha256,
    }


def _shelved(row: dict[str, object]) -> Shelved:
    name = str(row["name"])
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no name of a segment")
    first, last, size = (int(str(row[key])) for key in ("first", "last", "bytes"))
    return Shelved(name, first, last, str(row["lastHash"]), str(row["previousHash"]), size, str(row["sha256"]))
