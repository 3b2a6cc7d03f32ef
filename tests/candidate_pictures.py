"""Pictures, archives and settings that tests of the stage candidates share."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from insightface.app.common import Face
from PIL import Image

from salmu.data.keyed import generator
from salmu.tasks.candidates import measure, stage
from salmu.tasks.candidates.sources import list_pictures

SAMPLES = Path(__file__).parent / "fixtures" / "salmu_samples"
FIVE = np.array([[45, 50], [75, 50], [60, 66], [48, 85], [72, 85]], np.float32)


def face(box=(30, 20, 90, 110), score=0.9) -> Face:
    return Face(bbox=np.array(box, np.float32), kps=FIVE, det_score=score)


NO_MODELS = measure.Engine(None, None, None)


def run_all(settings: stage.Settings, engine=NO_MODELS) -> tuple[list[dict], list]:
    results = [stage.run(shard, settings, {}, engine) for shard in stage.plan(settings, {})]
    return [row for made in results for row in made.rows], [reject for made in results for reject in made.rejects]


def reading(*paths, **settings) -> stage.Settings:
    return stage.Settings(source="images", images=[str(path) for path in paths], **settings)


def names_of(settings: stage.Settings) -> list[str]:
    """The pictures that would be read, relative to their folders or archives."""
    return [picture.name for picture, _ in list_pictures(settings.images)]


def picture(*key, size=(160, 160), kind="JPEG", **options) -> bytes:
    coarse = generator("picture", *key).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(coarse).resize(size).save(sink, kind, **options)
    return sink.getvalue()


def save(path: Path, content: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(path.name) if content is None else content)
    return path


def packed(path: Path, files: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    """A zip or tar file of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path
