"""Find and recognise faces with insightface: the embedded pack, or any pack in insightface's layout (buffalo_l), by the
same code.

A pack is a folder of ONNX files. insightface tells them apart by their shapes: a detector in SCRFD's form (nine
outputs), a recogniser of ArcFace's kind (square input from 112 pixels, one embedding), and, if there is one, genderage
(96 pixels, three outputs)."""

import contextlib
import hashlib
import io
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from data.errors import UserError
from data.keyed import digest
from data.settings import Settings

EMBEDDED_PACK = Path(__file__).parent.parent / "data" / "models" / "faces"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class FaceSettings(Settings):
    """Which face models are used, and how."""

    pack: str = Field(
        "embedded",
        description="'embedded', a folder of ONNX files, or the name of a pack under root/models (buffalo_l).",
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
            "Side in pixels of the square that an image is fitted into for detection; unless given, 160 for the "
            "embedded pack, else 640."
        ),
    )
    provider: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where onnxruntime computes; auto: CUDA where it is available."
    )


def pack_folder(settings: FaceSettings) -> Path:
    """The folder of the pack. Raises UserError if it is missing or holds no ONNX files: nothing is ever downloaded."""
    if settings.pack == "embedded":
        folder = EMBEDDED_PACK
    else:
        named = Path(settings.root).expanduser() / "models" / settings.pack
        folder = given if (given := Path(settings.pack).expanduser()).is_dir() else named
    if not any(folder.glob("*.onnx")):
        raise UserError(
            f"{folder}: no face pack {settings.pack!r} here (a folder of .onnx files); unpack it there, for example "
            "insightface's buffalo_l.zip, or set faces.pack to its folder, or to 'embedded'"
        )
    return folder


def face_revision(settings: FaceSettings) -> str:
    """Digest of the pack's files."""
    files = sorted(pack_folder(settings).glob("*.onnx"))
    return digest([[file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])


def load_faces(settings: FaceSettings):
    """insightface's FaceAnalysis on the pack, one thread a session, so that results depend on no machine's core count.

    Raises UserError if the pack is missing, damaged or incomplete, or the provider is not available."""
    import onnxruntime
    from insightface.app import FaceAnalysis

    folder = pack_folder(settings)
    providers = _providers(settings.provider, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            app = FaceAnalysis(
                name=str(folder),
                allowed_modules=["detection", "recognition", "genderage"],
                providers=providers,
                sess_options=options,
            )
            size = settings.detection_size or (160 if settings.pack == "embedded" else 640)
            app.prepare(
                ctx_id=0 if "CUDA" in providers[0] else -1,
                det_thresh=settings.detection_threshold,
                det_size=(size, size),
            )
    except Exception as error:  # onnxruntime's and protobuf's errors share no base
        raise UserError(
            f"{folder}: the face pack cannot be loaded, restore its files: {type(error).__name__} {error}"
        ) from None
    if missing := {"detection", "recognition"} - app.models.keys():
        raise UserError(f"{folder}: the face pack has no model for {' and '.join(sorted(missing))}; restore its files")
    return app


def find_faces(app, image: np.ndarray) -> list:
    """The faces in an RGB image (uint8 [h, w, 3]), the largest first.

    Each has bbox [4] and kps [5, 2] in pixels, det_score, normed_embedding [512], and with a genderage model sex ('F',
    'M') and age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-image's, of a call inside insightface
        faces = app.get(np.ascontiguousarray(image[:, :, ::-1]))
    return sorted(faces, key=lambda face: float(np.prod(face.bbox[2:] - face.bbox[:2])), reverse=True)


def _providers(wanted: str, available: list[str]) -> list[str]:
    if wanted == "cuda" and PROVIDERS["cuda"] not in available:
        raise UserError(
            "faces.provider is 'cuda', but this onnxruntime has no CUDA: pip uninstall -y onnxruntime, then "
            "pip install --no-deps onnxruntime-gpu; or set faces.provider to 'auto'"
        )
    use_cuda = wanted != "cpu" and PROVIDERS["cuda"] in available
    return [PROVIDERS["cuda"], PROVIDERS["cpu"]] if use_cuda else [PROVIDERS["cpu"]]
