"""ONNX Runtime as a peer: it predicts only."""

from __future__ import annotations

import numpy as np
from base import PredictPeer

OPSET = 20  # the first with Gelu
NODES = {"relu": "Relu", "tanh": "Tanh", "gelu": "Gelu"}


class Predict(PredictPeer):
    """InferenceSession.run on a model of Gemm and activation nodes."""

    title = "ONNX Runtime"
    settings = "session.run, all graph optimizations, denormals flushed"

    def __init__(self, n_threads: int):
        import onnx
        import onnxruntime

        self.onnx, self.ort, self.n_threads = onnx, onnxruntime, n_threads
        self.version = onnxruntime.__version__

    def prepare(self, layers):
        options = self.ort.SessionOptions()
        options.intra_op_num_threads = self.n_threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = self.ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        session = self.ort.InferenceSession(
            self.model(layers).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        run, names = session.run, ["output"]
        return lambda x: run(names, {"x": x})[0]

    def model(self, layers: list[tuple[np.ndarray, np.ndarray]]):
        """Return the net as an ONNX model; the number of rows is open."""
        helper, numpy_helper = self.onnx.helper, self.onnx.numpy_helper
        kind = self.onnx.TensorProto.FLOAT
        nodes, constants, value = [], [], "x"
        for i, (w, b) in enumerate(layers):
            constants += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
            last = i == len(layers) - 1
            result = "output" if last else f"z{i}"
            nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"b{i}"], [result]))
            if not last:
                nodes.append(helper.make_node(NODES[self.net.activation], [result], [f"y{i}"]))
            value = f"y{i}"
        graph = helper.make_graph(
            nodes,
            "mlp",
            [helper.make_tensor_value_info("x", kind, ["rows", self.net.sizes[0]])],
            [helper.make_tensor_value_info("output", kind, ["rows", self.net.sizes[-1]])],
            constants,
        )
        opset = helper.make_opsetid("", OPSET)
        version = helper.find_min_ir_version_for([opset])
        return helper.make_model(graph, opset_imports=[opset], ir_version=version)
