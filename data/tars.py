"""Reads tar archives that nobody vouches for: a cut one is an error, and no header or number of members is unbounded.

for member, read in members(path):
    content = read() if member.isfile() and member.size < LIMIT else None
"""

import contextlib
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

LARGEST_HEADER = 2**20  # bytes of a long name or of a pax header, which tarfile reads whole
MOST_MEMBERS = 5_000_000
LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Strict(tarfile.TarInfo):
    """A header that must be there: tarfile takes a missing, cut or damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, where another file or the end mark should be") from None

    @classmethod
    def frombuf(cls, *arguments) -> tarfile.TarInfo:
        info = super().frombuf(*arguments)
        if info.type in LONG_HEADERS and info.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {info.size} bytes")
        return info


def members(source: Path | BinaryIO) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes]]]:
    """The members of a tar file that is not compressed, in order, each with a function that reads its content before
    the next one is asked for; `source`: a path, or a stream, which is read once.

    Memory stays bounded but for the contents that are read. Raises tarfile.TarError where the archive is cut, damaged
    or makes no sense, and OSError."""
    with _tar_errors():
        mode = {"name": source, "mode": "r:"} if isinstance(source, Path) else {"fileobj": source, "mode": "r|"}
        archive = tarfile.open(**mode, tarinfo=_Strict)
    with archive:
        for _ in range(MOST_MEMBERS):
            with _tar_errors():
                member = archive.next()
            if member is None:
                return
            archive.members.clear()  # else it keeps all headers
            if member.issparse():
                raise tarfile.ReadError(f"sparse member {member.name!r}")
            yield member, partial(_content, archive, member)
    raise tarfile.ReadError(f"more than {MOST_MEMBERS:,} members")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return archive.extractfile(member).read()


@contextlib.contextmanager
def _tar_errors() -> Iterator[None]:
    """Numbers, names and nesting of pax headers make tarfile raise anything."""
    try:
        yield
    except (tarfile.TarError, OSError, MemoryError):
        raise
    except Exception as error:
        raise tarfile.ReadError(f"a header cannot be read ({type(error).__name__})") from None
