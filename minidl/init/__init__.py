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
from minidl.init.centered import Centered
from minidl.init.clipped import Clipped
from minidl.init.concat import Concat
from minidl.init.constant import Constant, Ones, Zeros
from minidl.init.critical import Critical, EdgeOfChaos
from minidl.init.data import DataInitializer
from minidl.init.defaults import SklearnDefault, TorchDefault
from minidl.init.delta_orthogonal import DeltaOrthogonal
from minidl.init.distributions import Normal, TruncatedNormal, Uniform
from minidl.init.from_model import FromModel
from minidl.init.gain import Gain
from minidl.init.gradinit import GradInit
from minidl.init.identity import Dirac, Identity
from minidl.init.idinit import IDInit
from minidl.init.joint import Pair, Split
from minidl.init.krahenbuhl import KrahenbuhlBetween, KrahenbuhlWithin
from minidl.init.law import Law
from minidl.init.layouts import Layout, fans
from minidl.init.lsuv import LSUV
from minidl.init.metainit import MetaInit
from minidl.init.mirrored import Mirrored
from minidl.init.mup import MuP
from minidl.init.nguyen_widrow import NguyenWidrow
from minidl.init.ntk import NTK
from minidl.init.orthogonal import Orthogonal, SemiOrthogonal, SphereCoordinate
from minidl.init.override import Plan
from minidl.init.plan import InitPlan, LayerPlan
from minidl.init.prior_bias import PriorBias
from minidl.init.rai import RAI
from minidl.init.random_walk import RandomWalk
from minidl.init.registry import from_dict, get, names, register
from minidl.init.report import InitReport, LayerReport
from minidl.init.residual import DeepNorm, DepthScaled, Fixup, ResidualRule, SkipInit
from minidl.init.scaled import DepthPower, Scaled
from minidl.init.selu import Selu
from minidl.init.sinusoidal import Sinusoidal
from minidl.init.siren import Siren
from minidl.init.small_init import SmallInit
from minidl.init.sparse import Sparse
from minidl.init.spec import LayerSpec
from minidl.init.spectral import Spectral
from minidl.init.streams import Stream
from minidl.init.swim import SWIM
from minidl.init.tanh_init import TanhInit
from minidl.init.then import Then
from minidl.init.variance_scaling import He, LeCun, VarianceScaling, Xavier
from minidl.init.weight_norm import WeightNormInit
from minidl.init.zero import ZerO

__all__ = [
    "LSUV",
    "NTK",
    "RAI",
    "SWIM",
    "Auto",
    "Centered",
    "Clipped",
    "Concat",
    "Constant",
    "Critical",
    "DataInitializer",
    "DeepNorm",
    "DeltaOrthogonal",
    "DepthPower",
    "DepthScaled",
    "Dirac",
    "EdgeOfChaos",
    "Fixed",
    "Fixup",
    "FromFunction",
    "FromModel",
    "Gain",
    "GradInit",
    "He",
    "IDInit",
    "Identity",
    "InitPlan",
    "InitReport",
    "Initializer",
    "KrahenbuhlBetween",
    "KrahenbuhlWithin",
    "Law",
    "LayerPlan",
    "LayerReport",
    "LayerSpec",
    "Layout",
    "LeCun",
    "MetaInit",
    "Mirrored",
    "MuP",
    "NguyenWidrow",
    "Normal",
    "Ones",
    "Orthogonal",
    "Pair",
    "Plan",
    "PriorBias",
    "RandomWalk",
    "ResidualRule",
    "Rule",
    "Scaled",
    "Selu",
    "SemiOrthogonal",
    "Sinusoidal",
    "Siren",
    "SkipInit",
    "SklearnDefault",
    "SmallInit",
    "Sparse",
    "Spectral",
    "SphereCoordinate",
    "Split",
    "Stream",
    "TanhInit",
    "Then",
    "TorchDefault",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "WeightNormInit",
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
