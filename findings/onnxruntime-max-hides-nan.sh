#!/usr/bin/env bash
# onnxruntime 1.32.0 on a CPU: ReduceMax keeps a NaN that comes first and skips one that comes later. ArgMax, MaxPool
# and GlobalMaxPool skip NaN as well; a MaxPool window of nothing but NaN gives -3.4e38.
#
# Guess before the run: NaN propagates, as in numpy, in PyTorch and in onnxruntime's own Relu, Max and TopK.
# Seen: as above. onnx's reference implementation gives NaN for ReduceMax and GlobalMaxPool wherever it stands.
# It matters if you export a model and check its output for NaN: after a pooling layer a broken model returns ordinary
# numbers, and a row with NaN among its scores gets a label like any other. Look for NaN before such operators
# (IsNaN), or in the weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

FIRST, LATER = [np.nan, 1, 2], [1, np.nan, 2]


def results(operator, values, kind=TensorProto.FLOAT, **attributes):
    """The result of one operator by onnxruntime, and by onnx's reference implementation where it has one."""
    x = np.array(values, np.float32)
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)]
    outputs = [helper.make_tensor_value_info("y", kind, [None] * (1 if x.ndim == 1 else 3))]
    graph = helper.make_graph([node], "one", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ran = session.run(None, {"x": x})[0].ravel().tolist()
    if operator == "MaxPool":
        return ran, None
    return ran, ReferenceEvaluator(model).run(None, {"x": x})[0].ravel().tolist()


def pooled(values):
    return results("MaxPool", [[values]], kernel_shape=[3])


found = {
    "ReduceMax, NaN first": results("ReduceMax", FIRST),
    "ReduceMax, NaN later": results("ReduceMax", LATER),
    "ArgMax, NaN later": results("ArgMax", LATER, TensorProto.INT64),
    "GlobalMaxPool, NaN first": results("GlobalMaxPool", [[FIRST]]),
    "MaxPool, NaN first": pooled(FIRST),
    "MaxPool, only NaN": pooled([np.nan] * 3),
    "Relu, NaN later": results("Relu", LATER),
}
print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
for name, (ran, reference) in found.items():
    print(f"{name}: onnxruntime {ran}, reference {reference}")
ran = {name: values for name, (values, _) in found.items()}
assert np.isnan(ran["ReduceMax, NaN first"][0]) and np.isnan(ran["Relu, NaN later"][1])
assert ran["ReduceMax, NaN later"] == ran["GlobalMaxPool, NaN first"] == ran["MaxPool, NaN first"] == [2]
assert ran["ArgMax, NaN later"] == [2] and np.argmax(LATER) == 1
assert ran["MaxPool, only NaN"] == [np.finfo(np.float32).min]
for name in ("ReduceMax, NaN first", "ReduceMax, NaN later", "GlobalMaxPool, NaN first"):
    assert np.isnan(found[name][1][0])
PYTHON
