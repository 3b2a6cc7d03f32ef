"""Find and recognise faces with insightface: the embedded pack, or any pack in insightface's layout (buffalo_l), by the
same code; or with the pack of tasks/photographs.py.

A pack is a folder of ONNX files. insightface tells them apart by their shapes: a detector in SCRFD's form (nine
outputs), a recogniser of ArcFace's kind (square input from 112 pixels, one embedding), and, if there is one, genderage
(96 pixels, three outputs)."""

import contextlib
import io
import warnings
from pathlib import Path

import cv2
import numpy as np

from salmu.data.errors import UserError
from salmu.data.schemas import GENDERS
from salmu.tasks import photographs
from salmu.tasks.face_packs import PROVIDERS, FaceSettings, detection_size, pack_folder

GPU_BATCH = 64  # faces that the recogniser sees at once on a GPU; one on a CPU, where more gain nothing
# The mean face, five points x, y, z (towards the camera) in eye distances: x and y are those of ArcFace's alignment
# template, the depths those with which the yaw of drawn faces comes out to scale.
MEAN_FACE = np.array(
    [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.575, 0.6], [-0.41, 1.155, 0.1], [0.415, 1.15, 0.1]], np.float64
)


def load_faces(settings: FaceSettings):
    """insightface's FaceAnalysis on the pack, one thread a session, so that results depend on no machine's core count.

    Raises UserError if the pack is missing, damaged or incomplete, or the provider is not available."""
    import onnxruntime
    from insightface.app import FaceAnalysis

    if settings.pack == photographs.NAME:
        return photographs.Photographs(settings.detection_threshold, settings.detection_size)
    folder = pack_folder(settings)
    size = detection_size(settings, folder)
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
            app.prepare(
                ctx_id=0 if "CUDA" in providers[0] else -1, det_thresh=settings.detection_threshold, det_size=size
            )
    except Exception as error:  # onnxruntime's and protobuf's errors share no base
        raise UserError(
            f"{folder}: the face pack cannot be loaded, restore its files: {type(error).__name__} {error}"
        ) from None
    _require_one_of_each(app, folder, providers, options)
    if missing := {"detection", "recognition"} - app.models.keys():
        raise UserError(f"{folder}: the face pack has no model for {' and '.join(sorted(missing))}; restore its files")
    if not app.det_model.use_kps:
        raise UserError(
            f"{folder}: the face pack's detector gives no landmarks, so faces cannot be aligned; use another"
        )
    return app


def _require_one_of_each(app, folder: Path, providers: list[str], options) -> None:
    """insightface takes the first file of a kind, in silence. Raises UserError if another file is of a kind in use;
    where a manifest says which file is which, there is no doubt."""
    from insightface.model_zoo import get_model

    if app.model_package is not None:
        return
    used = {Path(model.model_file).name: kind for kind, model in app.models.items()}
    for path in sorted(folder.glob("*.onnx")):
        if path.name in used:
            continue
        model = get_model(str(path), providers=providers, sess_options=options)
        for name, kind in used.items():
            if model is not None and model.taskname == kind:
                raise UserError(
                    f"{folder}: {name} and {path.name} are both models for {kind}; move one of them out of the pack"
                )


def find_faces(app, image: np.ndarray) -> list:
    """The faces in an RGB image (uint8 [h, w, 3]), the largest first.

    Each has bbox [4] and kps [5, 2] in pixels, det_score, normed_embedding [512], and with a genderage model sex ('F',
    'M') and age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-image's, of a call inside insightface
        faces = app.get(bgr(image))
    return sorted(faces, key=face_area, reverse=True)


def detect_faces(app, image: np.ndarray) -> list:
    """The faces in an RGB image (uint8 [h, w, 3]), the largest first, each with bbox, kps and det_score only."""
    from insightface.app.common import Face

    boxes, points = app.det_model.detect(bgr(image))
    faces = [Face(bbox=box[:4], kps=five, det_score=box[4]) for box, five in zip(boxes, points, strict=True)]
    return sorted(faces, key=face_area, reverse=True)


def bgr(image: np.ndarray) -> np.ndarray:
    """An RGB image (uint8 [h, w, 3]) in the order that insightface wants."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR)


def face_area(face) -> float:
    """Of the face's box, in square pixels."""
    return float(np.prod(face.bbox[2:] - face.bbox[:2]))


def aligned_crop(image: np.ndarray, landmarks: np.ndarray, size: int = 112) -> np.ndarray:
    """The face turned and scaled as ArcFace wants it: [size, size, 3] of an image [h, w, 3], by five landmarks [5, 2];
    `size` is a multiple of 112 or 128.

    The same to the byte as insightface's norm_crop, whose library takes ten times as long to fit five points."""
    from insightface.utils.face_align import arcface_dst

    template = arcface_dst * (size / (128.0 if size % 112 else 112.0))
    if size % 112:
        template[:, 0] += 8.0 * size / 128
    turn = similarity_transform(np.asarray(landmarks, np.float32).reshape(5, 2), template)
    return cv2.warpAffine(image, turn, (size, size), borderValue=0.0)


def similarity_transform(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rotation, scale and shift [2, 3] that bring points [n, 2] nearest to targets [n, 2] (Umeyama, "Least-squares
    estimation of transformation parameters between two point patterns", PAMI 1991)."""
    centre, target_centre = points.mean(axis=0), targets.mean(axis=0)
    centred = points - centre
    covariance = (targets - target_centre).T @ centred / len(points)
    (across, skew), (slant, down) = covariance.tolist()
    signs = np.array([1.0, 1.0 if across * down >= skew * slant else -1.0])  # no mirror image
    left, values, right = np.linalg.svd(covariance)
    turn = left * signs @ right
    scale = 1.0 / centred.var(axis=0).sum() * (values @ signs)
    found = np.empty((2, 3))
    found[:, :2], found[:, 2] = turn * scale, target_centre - scale * (turn @ centre)
    return found


def framed_crop(image: np.ndarray, landmarks: np.ndarray, side: int, face: float) -> np.ndarray:
    """The head, turned and scaled so that what `aligned_crop` shows fills the middle share `face` of its sides:
    [side, side, 3] of an image [h, w, 3], by five landmarks [5, 2]."""
    from insightface.utils.face_align import estimate_norm

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        matrix = estimate_norm(np.asarray(landmarks, np.float32).reshape(5, 2), 112) * side * face / 112
    matrix[:, 2] += side * (1 - face) / 2
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def recognise(app, crops: list[np.ndarray]) -> np.ndarray:
    """Unit embeddings [n, 512], or [n, 128] of the pack photographs, of aligned RGB crops, many at once on a GPU if the
    recogniser allows it."""
    model = app.models["recognition"]
    fixed = isinstance(model.input_shape[0], int)
    batch = 1 if fixed or PROVIDERS["cuda"] not in model.session.get_providers() else GPU_BATCH
    flipped = [bgr(crop) for crop in crops]
    found = np.concatenate([model.get_feat(flipped[start : start + batch]) for start in range(0, len(flipped), batch)])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def crop_size(app) -> int:
    """Side in pixels of the aligned crop that the pack's recogniser takes."""
    return app.models["recognition"].input_size[0]


def gender_and_age(app, image: np.ndarray, face) -> tuple[str | None, int | None]:
    """What the pack's genderage model says of a face of an RGB image: one of GENDERS, years; None, None without one."""
    model = app.models.get("genderage")
    if model is None:
        return None, None
    if isinstance(model, photographs.GenderAge):
        gender, age = model.get(bgr(image), face)
        return GENDERS[gender], age
    side = model.input_size[0]
    crop = _box_crop(image, face.bbox, side)
    means = (model.input_mean,) * 3
    pixels = cv2.dnn.blobFromImage(crop, 1 / model.input_std, (side, side), means)
    *genders, age = model.session.run(None, {model.input_name: pixels})[0][0]
    return GENDERS[int(np.argmax(genders))], int(np.round(age * 100))


def _box_crop(image: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """[side, side, 3] with two thirds of its sides for the longer side of a face's box: what insightface shows to a
    genderage model, the same to the byte."""
    scale = side / (max(box[2:] - box[:2]) * 1.5)
    x, y = ((box[:2] + box[2:]) / 2 * scale).tolist()
    return cv2.warpAffine(image, np.array([[scale, 0, side / 2 - x], [0, scale, side / 2 - y]]), (side, side))


def pose(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Yaw (> 0 to the image's right), pitch (> 0 up) and roll (> 0 clockwise) of a face in degrees, from five landmarks
    [5, 2].

    Roll is the slope of eyes and mouth; then the weak-perspective camera is fitted to a mean face in three dimensions
    (DeMenthon and Davis, "Model-based object pose in 25 lines of code", IJCV 1995) and turned into the nearest
    rotation. Pitch is the weakest of the three: a long nose looks like a lowered head."""
    points = np.asarray(landmarks, np.float64).reshape(5, 2)
    across = points[1] - points[0] + points[4] - points[3]
    roll = np.arctan2(across[1], across[0])
    cos, sin = np.cos(roll), np.sin(roll)
    level = points @ [[cos, -sin], [sin, cos]]
    mean = MEAN_FACE - MEAN_FACE.mean(axis=0)
    camera = np.linalg.lstsq(mean, level - level.mean(axis=0), rcond=None)[0].T
    left, _, right = np.linalg.svd(camera, full_matrices=False)
    rotation = left @ right  # the first two rows of one
    yaw, pitch = np.arctan2(rotation[0, 2], rotation[0, 0]), np.arctan2(-rotation[1, 2], rotation[1, 1])
    return tuple(float(angle) for angle in np.degrees([yaw, pitch, roll]))


def sharpness(crop: np.ndarray) -> float:
    """Variance of the Laplacian of an aligned crop's luma: high where there is fine detail (Pech-Pacheco et al.,
    "Diatom autofocusing in brightfield microscopy", ICPR 2000)."""
    return float(cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def _providers(wanted: str, available: list[str]) -> list[str]:
    if wanted == "cuda" and PROVIDERS["cuda"] not in available:
        raise UserError(
            "faces.provider is 'cuda', but this onnxruntime has no CUDA: pip uninstall -y onnxruntime, then "
            "pip install --no-deps onnxruntime-gpu; or set faces.provider to 'auto'"
        )
    use_cuda = wanted != "cpu" and PROVIDERS["cuda"] in available
    return [PROVIDERS["cuda"], PROVIDERS["cpu"]] if use_cuda else [PROVIDERS["cpu"]]
