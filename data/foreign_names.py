"""Names of files that other people's machines gave: which are no content, and which are no text."""

import re

# of macOS, in zips; of Synology, in every folder; bins; and what a damaged disk gave back
OF_SYSTEMS = {"__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "lost+found", "system volume information"}
NOT_TEXT = re.compile(r"[\ud800-\udfff]")  # how Python holds the bytes of a name that is not UTF-8


def is_content(path: str) -> bool:
    """Whether a relative path names data: not a hidden file or folder, nor one that a system adds by itself
    (._1.jpg, .ipynb_checkpoints, @eaDir, lost+found)."""
    return not any(
        part.lower() in OF_SYSTEMS or part.startswith(".") and part not in (".", "..") for part in path.split("/")
    )


def is_utf8(name: str) -> bool:
    """Whether the bytes of a name on disk or in an archive are UTF-8."""
    return not NOT_TEXT.search(name)


def printable(name: str) -> str:
    """The name with \\xff for each byte that is not UTF-8, so that it can be stored and printed."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if not is_utf8(name) else name
