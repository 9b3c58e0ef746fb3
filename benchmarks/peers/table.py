"""The table of peers: which class in which file does which kind of work. A new peer is a line here."""

from __future__ import annotations

from importlib import import_module

PEERS = {
    "train": {
        "minidl": ("lib_minidl", "Fit"),
        "minidl_per_call": ("lib_minidl", "StepByStep"),
        "torch": ("lib_torch", "Train"),
        "torch_compile": ("lib_torch", "TrainCompiled"),
        "jax": ("lib_jax", "Jit"),
        "jax_scan": ("lib_jax", "Scan"),
        "sklearn": ("lib_sklearn", "Train"),
        "numpy": ("lib_numpy", "Train"),
    },
    "predict": {
        "minidl": ("lib_minidl", "Predict"),
        "torch": ("lib_torch", "Predict"),
        "torch_compile": ("lib_torch", "PredictCompiled"),
        "jax": ("lib_jax", "Predict"),
        "sklearn": ("lib_sklearn", "Predict"),
        "onnxruntime": ("lib_onnxruntime", "Predict"),
        "numpy": ("lib_numpy", "Predict"),
    },
    "matmul": {
        "minidl": ("lib_minidl", "Matmul"),
        "minidl_kernel": ("lib_minidl", "MatmulKernel"),
        "torch": ("lib_torch", "Matmul"),
        "numpy": ("lib_numpy", "Matmul"),
    },
    "machine": {"roofs": ("roofs", "Roofs")},
}
OURS = ("minidl", "minidl_per_call", "minidl_kernel")


def peer_class(subject: str, name: str) -> type:
    """Import the file of a peer, and nothing of the others."""
    module, attribute = PEERS[subject][name]
    return getattr(import_module(module), attribute)


def title(subject: str, name: str) -> str:
    """Return the name of a peer for the tables; its library need not be there."""
    return peer_class(subject, name).title
