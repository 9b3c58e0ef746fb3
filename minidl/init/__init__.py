"""Weight initialization: strategies that fill the weight and the bias of a layer from a seed.

Examples
--------
>>> import numpy as np
>>> from minidl import init
>>> he = init.get("he_normal")
>>> weight, bias = np.empty((784, 256), np.float32), np.empty(256, np.float32)
>>> he.init_layer(init.LayerSpec("0", (784, 256)), seed=7, weight=weight, bias=bias)
>>> bool(np.all(weight == he.init((784, 256), rng=init.Stream(7, "0", "weight"))))
True
"""

from minidl.init.arrays import Fixed, FromFunction
from minidl.init.auto import Auto, auto
from minidl.init.base import Initializer, Rule
from minidl.init.constant import Constant, Ones, Zeros
from minidl.init.delta_orthogonal import DeltaOrthogonal
from minidl.init.distributions import Normal, TruncatedNormal, Uniform
from minidl.init.identity import Dirac, Identity
from minidl.init.idinit import IDInit
from minidl.init.joint import Pair
from minidl.init.law import Law
from minidl.init.layouts import Layout, fans
from minidl.init.mirrored import Mirrored
from minidl.init.orthogonal import Orthogonal, SemiOrthogonal, SphereCoordinate
from minidl.init.plan import InitPlan, LayerPlan
from minidl.init.registry import from_dict, get, names, register
from minidl.init.sinusoidal import Sinusoidal
from minidl.init.sparse import Sparse
from minidl.init.spec import LayerSpec
from minidl.init.streams import Stream
from minidl.init.variance_scaling import He, LeCun, VarianceScaling, Xavier
from minidl.init.zero import ZerO

__all__ = [
    "Auto",
    "Constant",
    "DeltaOrthogonal",
    "Dirac",
    "Fixed",
    "FromFunction",
    "He",
    "IDInit",
    "Identity",
    "InitPlan",
    "Initializer",
    "Law",
    "LayerPlan",
    "LayerSpec",
    "Layout",
    "LeCun",
    "Mirrored",
    "Normal",
    "Ones",
    "Orthogonal",
    "Pair",
    "Rule",
    "SemiOrthogonal",
    "Sinusoidal",
    "Sparse",
    "SphereCoordinate",
    "Stream",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "Xavier",
    "ZerO",
    "Zeros",
    "auto",
    "fans",
    "from_dict",
    "get",
    "names",
    "register",
]
