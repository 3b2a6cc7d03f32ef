"""A split in the layout that CLIP_benchmark evaluates image-text retrieval on, by its `--dataset_root`:

clip_benchmark/<split>/dataset_type.txt          retrieval
clip_benchmark/<split>/test/nshards.txt, 0.tar, 1.tar, …

clip_benchmark eval --dataset wds/salmu --dataset_root clip_benchmark/forget --task zeroshot_retrieval …
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from salmu.data.errors import UserError
from salmu.data.files import write_atomic


def write(folder: Path, split: str, tars: Iterable[str]) -> None:
    """Lay out the tars of a split, which lie in the folder's `webdataset/`, once more."""
    names = list(tars)
    if not names:
        raise UserError(f"publish.clip_benchmark: split {split} has no pairs; remove it from the list")
    target = folder / "clip_benchmark" / split
    (target / "test").mkdir(parents=True)
    for number, name in enumerate(names):
        shutil.copyfile(folder / "webdataset" / name, target / "test" / f"{number}.tar")
    write_atomic(target / "test" / "nshards.txt", f"{len(names)}\n".encode())
    write_atomic(target / "dataset_type.txt", b"retrieval\n")
