"""Which face models are used: the embedded pack, a pack in insightface's layout, or that of tasks/photographs.py."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from salmu.data.documents import loaded
from salmu.data.errors import UserError
from salmu.data.keyed import digest
from salmu.data.licences import Model, model
from salmu.data.settings import Settings
from salmu.tasks import photographs

EMBEDDED_PACK = Path(__file__).parent.parent / "data" / "models" / "faces"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class PackJson(BaseModel):
    """pack.json in a pack's folder, where there is one."""

    model_config = ConfigDict(extra="forbid")
    detection_size: int = Field(640, ge=64, le=2048, multiple_of=32)


class FaceSettings(Settings):
    """Which face models are used, and how."""

    pack: str = Field(
        "embedded",
        description="'embedded' (drawn faces), 'photographs' (packages, pip install 'salmu[photographs]'), a folder of "
        "ONNX files, or the name of a pack under root/models (buffalo_l).",
    )
    root: str = Field(
        "~/.insightface",
        description="Folder with insightface's packs, each in models/<name>; read only, never downloaded to.",
    )
    detection_threshold: float = Field(0.5, gt=0, lt=1, description="Lowest score of a detection.")
    detection_size: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=32,
        description=(
            "Side in pixels of the square into which an image is fitted for detection; null: what the pack's pack.json "
            "says; else 160 for the embedded pack, 128 and 640 for packs with a manifest.json, 640 for others."
        ),
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where onnxruntime computes; auto: CUDA where it is available."
    )


def pack_folder(settings: FaceSettings) -> Path:
    """The folder of the pack. Raises UserError if it is missing or holds no ONNX files: nothing is ever downloaded."""
    if settings.pack == photographs.NAME:
        return photographs.folder()
    if settings.pack == "embedded":
        folder = EMBEDDED_PACK
    else:
        named = Path(settings.root).expanduser() / "models" / settings.pack
        folder = given if (given := Path(settings.pack).expanduser()).is_dir() else named
    if not pack_files(folder):
        raise UserError(
            f"{folder}: no face pack {settings.pack!r} here (a folder of .onnx files); unpack it there, for example "
            "insightface's buffalo_l.zip, or set faces.pack to its folder, or to 'embedded'"
        )
    return folder


def pack_files(folder: Path) -> list[Path]:
    """The ONNX files of a pack, with those of subfolders where it has a manifest.json, and its documents."""
    models = list(folder.glob("**/*.onnx" if (folder / "manifest.json").is_file() else "*.onnx"))
    documents = [folder / name for name in ("manifest.json", "pack.json") if (folder / name).is_file()]
    return sorted(models + documents) if models else []


def face_revision(settings: FaceSettings) -> str:
    """Digest of the pack's files."""
    if settings.pack == photographs.NAME:
        return photographs.revision()
    folder = pack_folder(settings)
    files = [(str(path.relative_to(folder)), path) for path in pack_files(folder)]
    return digest([[name, hashlib.sha256(path.read_bytes()).hexdigest()] for name, path in files])


def pack_licence(settings: FaceSettings, use: str) -> Model:
    """The pack with its licence."""
    if settings.pack == photographs.NAME:
        return Model(photographs.NAME, photographs.revision()[:12], photographs.pack().licence, use)
    return model(settings.pack, "", use)


def detection_size(settings: FaceSettings, folder: Path) -> tuple[int, int] | None:
    """Width and height that a pack detects at; None: insightface's own two sizes. Raises UserError for a faulty
    pack.json."""
    side = settings.detection_size
    if side is None and (folder / "pack.json").is_file():
        side = loaded(folder / "pack.json", PackJson).detection_size
    if side is None and (folder / "manifest.json").is_file():
        return None
    side = side or (160 if folder == EMBEDDED_PACK else 640)
    return side, side


def uses_cuda(settings: FaceSettings) -> bool:
    """Whether the pack would run on a GPU here."""
    import onnxruntime

    return (
        settings.pack != photographs.NAME
        and settings.provider != "cpu"
        and PROVIDERS["cuda"] in onnxruntime.get_available_providers()
    )
