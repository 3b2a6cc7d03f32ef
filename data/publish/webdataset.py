"""WebDataset shards: `<split>-000000.tar` with jpg, txt and json of each sample, and sizes.json, which open_clip reads.

Every sample has the same members and its json the same keys, all strings or numbers (an empty string where a value is
missing), since readers infer the types from the first few. Owner and time are fixed: equal samples give equal bytes.
"""

import io
import json
import tarfile
from pathlib import Path

from salmu.data.publish.columns import COLUMNS


class ShardWriter:
    """Writes the samples of a split to tars of `samples_per_tar`. A context manager. `sizes`: tar -> samples in it."""

    def __init__(self, folder: Path, split: str, samples_per_tar: int):
        self.folder, self.split, self.samples_per_tar = folder, split, samples_per_tar
        self.sizes: dict[str, int] = {}
        self._tar: tarfile.TarFile | None = None
        self._name = ""

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_) -> None:
        if self._tar:
            self._tar.close()

    def write(self, sample: dict) -> None:
        """Append a sample; `image` holds the bytes of its file."""
        if self._tar is None or self.sizes[self._name] == self.samples_per_tar:
            self._next()
        fields = {column.name: sample[column.name] for column in COLUMNS if column.name not in ("image", "text")}
        fields = {name: "" if value is None else value for name, value in fields.items()}
        members = {
            "jpg": sample["image"],
            "txt": sample["text"].encode(),
            "json": json.dumps(fields, ensure_ascii=False).encode(),
        }
        for extension, content in members.items():
            member = tarfile.TarInfo(f"{key_of(sample['file_name'])}.{extension}")
            member.size = len(content)
            self._tar.addfile(member, io.BytesIO(content))
        self.sizes[self._name] += 1

    def _next(self) -> None:
        if self._tar:
            self._tar.close()
        self._name = f"{self.split}-{len(self.sizes):06}.tar"
        self._tar = tarfile.open(self.folder / self._name, "w", format=tarfile.USTAR_FORMAT)
        self.sizes[self._name] = 0


def key_of(file_name: str) -> str:
    """The sample's key: the file name without extension, its dots replaced, since the first dot ends a key."""
    return Path(file_name).stem.replace(".", "_")
