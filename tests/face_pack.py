"""Makes a face pack in the layout of insightface's buffalo_l with weights set by hand or at random: a detector of red
blobs, a recogniser blind to colour, gender and age."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

STRIDES = (8, 16, 32)
# ArcFace's five points in a crop of 112 pixels
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


def make_face_pack(folder: Path, threshold: float = 0.35) -> Path:
    """det_10g.onnx, w600k_r50.onnx and genderage.onnx in the folder. `threshold`: how red a spot must be to be a face,
    -2 (anything, noise too) .. 1."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _detector(folder / "det_10g.onnx", threshold)
    _pooled(folder / "w600k_r50.onnx", side=112, outputs=512, seed=0, centred=True)
    _pooled(folder / "genderage.onnx", side=96, outputs=3, seed=1, scale=0.05, bias=np.array([0, 0, 0.4], "f4"))
    return folder


def _detector(path: Path, threshold: float, gain: float = 20.0, half: float = 1.6) -> None:
    """SCRFD's form: nine outputs, scores, boxes and landmarks of the strides 8, 16 and 32, two anchors a cell.

    A cell of stride 32 fires where its mean red - (green + blue) / 2, in units of 128, is above the threshold and the
    highest of its neighbourhood. Box: `half` cells to each side of its centre. The other strides never fire."""
    landmarks = ((ARCFACE / 112 - 0.5) * 2 * half + 0.5).reshape(-1)  # + 0.5: anchors sit at the cell's corner
    box = np.array([half - 0.5, half - 0.5, half + 0.5, half + 0.5])
    nodes, weights, outputs = [], {"hundred": np.float32(100)}, {}
    for stride in STRIDES:
        pooled = f"pooled{stride}"
        nodes.append(
            helper.make_node("AveragePool", ["input.1"], [pooled], kernel_shape=[stride] * 2, strides=[stride] * 2)
        )
        fires = stride == 32
        red = np.array([gain, -gain / 2, -gain / 2]) if fires else np.zeros(3)
        level = -gain * threshold if fires else -20.0
        for kind, size, weight, bias in (
            ("score", 1, np.tile(red, (2, 1)), np.full(2, level)),
            ("box", 4, np.zeros((8, 3)), np.tile(box, 2)),
            ("landmarks", 10, np.zeros((20, 3)), np.tile(landmarks, 2)),
        ):
            name = f"{kind}{stride}"
            weights[f"{name}.weight"] = weight.astype("f4")[:, :, None, None]
            weights[f"{name}.bias"] = bias.astype("f4")
            weights[f"{name}.shape"] = np.array([-1, size], "i8")
            last = f"{name}.conv"
            nodes.append(
                helper.make_node("Conv", [pooled, f"{name}.weight", f"{name}.bias"], [last], kernel_shape=[1, 1])
            )
            if kind == "score":
                nodes += _highest_only(name, last)
                last = f"{name}.probability"
            nodes.append(helper.make_node("Transpose", [last], [f"{name}.cells"], perm=[0, 2, 3, 1]))
            nodes.append(helper.make_node("Reshape", [f"{name}.cells", f"{name}.shape"], [name]))
            outputs[kind, stride] = helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}.n", size])
    order = [outputs[kind, stride] for kind in ("score", "box", "landmarks") for stride in STRIDES]
    _write(path, nodes, weights, ("input.1", [1, 3, "h", "w"]), order)


def _highest_only(name: str, score: str) -> list:
    """sigmoid(score + 100 (score - the highest of its 5 x 5 neighbourhood))"""
    return [
        helper.make_node("MaxPool", [score], [f"{name}.highest"], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4),
        helper.make_node("Sub", [score, f"{name}.highest"], [f"{name}.below"]),
        helper.make_node("Mul", [f"{name}.below", "hundred"], [f"{name}.penalty"]),
        helper.make_node("Add", [score, f"{name}.penalty"], [f"{name}.logit"]),
        helper.make_node("Sigmoid", [f"{name}.logit"], [f"{name}.probability"]),
    ]


def _pooled(path: Path, side: int, outputs: int, seed: int, centred=False, scale=1.0, bias=None) -> None:
    """A square input, pooled by 16, times a random matrix; `centred`: blind to each channel's mean."""
    rng = np.random.default_rng(seed)
    cells = (side // 16) ** 2
    weight = rng.normal(size=(3, cells, outputs)) * scale
    if centred:
        weight -= weight.mean(1, keepdims=True)
    nodes = [
        helper.make_node("AveragePool", ["data"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["cells"], axis=1),
        helper.make_node("Gemm", ["cells", "weight", "bias"], ["out"]),
    ]
    bias = rng.normal(size=outputs).astype("f4") * 0.01 if bias is None else bias
    weights = {"weight": weight.reshape(-1, outputs).astype("f4"), "bias": bias}
    given = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", outputs])
    _write(path, nodes, weights, ("data", ["n", 3, side, side]), [given])


def _write(path: Path, nodes: list, weights: dict, given: tuple[str, list], outputs: list) -> None:
    inputs = [helper.make_tensor_value_info(given[0], TensorProto.FLOAT, given[1])]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, str(path))
