"""Bridges to other libraries; each module imports its partner when one of its functions is called.

Examples
--------
>>> from minidl.interop import torch
>>> torch.layout("ConvTranspose2d").fans((32, 64, 3, 3))
(288, 576)
"""
