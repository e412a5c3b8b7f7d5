"""ONNX's operators and which builder of ours takes each."""

from edgert.convert.importers.onnx import arithmetic, convolutions, layout, matrices, quantised, reductions
from edgert.convert.importers.onnx import resize as resizing
from edgert.convert.unsupported import Unsupported

DEFAULT = ("", "ai.onnx")
_binary, _unary, _reduce = arithmetic.binary, arithmetic.unary, reductions.reduce
_compare, _logical = arithmetic.comparison, arithmetic.logical
_SIGNED = ("float32", "int32", "int64")

OPERATORS = {
    "Conv": convolutions.conv,
    "ConvTranspose": convolutions.conv_transpose,
    "Gemm": matrices.gemm,
    "MatMul": matrices.matmul,
    "MaxPool": convolutions.max_pool,
    "AveragePool": convolutions.average_pool,
    "LpPool": convolutions.lp_pool,
    "GlobalAveragePool": convolutions.over_the_picture("mean"),
    "GlobalMaxPool": convolutions.over_the_picture("max"),
    "BatchNormalization": reductions.batch_normalization,
    "InstanceNormalization": reductions.instance_normalization,
    "GroupNormalization": reductions.group_normalization,
    "LayerNormalization": reductions.layer_normalization,
    "RMSNormalization": reductions.rms_normalization,
    "MeanVarianceNormalization": reductions.mean_variance_normalization,
    "LpNormalization": reductions.lp_normalization,
    "LRN": reductions.local_response,
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": _binary("div"),
    "Sum": arithmetic.variadic("add"),
    "Mean": arithmetic.mean,
    "Max": arithmetic.variadic("maximum"),
    "Min": arithmetic.variadic("minimum"),
    "Mod": arithmetic.modulo,
    "Pow": arithmetic.power,
    "Equal": _compare("equal"),
    "Less": _compare("less"),
    "LessOrEqual": _compare("less_equal"),
    "Greater": _compare("greater"),
    "GreaterOrEqual": _compare("greater_equal"),
    "And": _logical("and"),
    "Or": _logical("or"),
    "Xor": _logical("xor"),
    "Not": arithmetic.not_,
    "Where": arithmetic.where,
    "IsNaN": arithmetic.is_nan,
    "IsInf": arithmetic.is_inf,
    "Relu": _unary("relu"),
    "LeakyRelu": _unary("leaky_relu", alpha=("alpha", 0.01)),
    "ThresholdedRelu": _unary("thresholded_relu", alpha=("alpha", 1.0)),
    "PRelu": arithmetic.prelu,
    "Elu": _unary("elu", alpha=("alpha", 1.0)),
    "Celu": _unary("celu", alpha=("alpha", 1.0)),
    "Selu": _unary("selu", alpha=("alpha", 1.6732632423543772), beta=("gamma", 1.0507009873554805)),
    "Gelu": arithmetic.gelu,
    "Sigmoid": _unary("sigmoid"),
    "HardSigmoid": _unary("hard_sigmoid", alpha=("alpha", 0.2), beta=("beta", 0.5)),
    "HardSwish": _unary("hard_swish"),
    "Swish": arithmetic.swish,
    "Mish": _unary("mish"),
    "Softplus": _unary("softplus"),
    "Softsign": _unary("softsign"),
    "Shrink": arithmetic.shrink,
    "Clip": arithmetic.clip,
    "Exp": _unary("exp"),
    "Log": _unary("log"),
    "Sqrt": _unary("sqrt"),
    "Reciprocal": _unary("reciprocal"),
    "Abs": _unary("abs", _SIGNED),
    "Neg": _unary("neg", _SIGNED),
    "Sign": _unary("sign"),
    "Floor": _unary("floor"),
    "Ceil": _unary("ceil"),
    "Round": _unary("round"),
    "Erf": _unary("erf"),
    **{name.capitalize(): _unary(name) for name in (
        "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh")},
    "Softmax": arithmetic.softmax("softmax"),
    "LogSoftmax": arithmetic.softmax("log_softmax"),
    "Hardmax": arithmetic.hardmax,
    "OneHot": arithmetic.one_hot,
    "CumSum": arithmetic.cumulative_sum,
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "ReduceMax": _reduce("max"),
    "ReduceMin": _reduce("min"),
    "ReduceProd": _reduce("prod"),
    "ReduceL1": _reduce("sum", before="abs"),
    "ReduceL2": _reduce("sum", before="square", after="sqrt"),
    "ReduceSumSquare": _reduce("sum", before="square"),
    "ReduceLogSum": _reduce("sum", after="log"),
    "ReduceLogSumExp": reductions.log_sum_exp,
    "ArgMax": reductions.arg("arg_max"),
    "ArgMin": reductions.arg("arg_min"),
    "Trilu": reductions.trilu,
    "EyeLike": reductions.eye_like,
    "ReverseSequence": layout.reverse_sequence,
    "CenterCropPad": layout.center_crop_pad,
    "Size": reductions.size_of,
    "Shape": layout.shape_of,
    "Constant": layout.constant,
    "ConstantOfShape": layout.from_shape,
    "Range": layout.from_shape,
    "Identity": layout.identity,
    "Dropout": layout.dropout,
    "Cast": arithmetic.cast,
    "CastLike": arithmetic.cast,
    "Reshape": layout.reshape,
    "Flatten": layout.flatten,
    "Squeeze": layout.squeeze,
    "Unsqueeze": layout.unsqueeze,
    "Transpose": layout.transpose,
    "Concat": layout.concat,
    "Slice": layout.slice_,
    "Split": layout.split,
    "Pad": layout.pad,
    "Gather": layout.gather,
    "GatherElements": layout.gather_elements,
    "GatherND": layout.gather_nd,
    "Tile": layout.tile,
    "Expand": layout.expand,
    "Compress": layout.compress,
    "DepthToSpace": layout.depth_to_space,
    "SpaceToDepth": layout.space_to_depth,
    "Resize": resizing.resize,
    "Upsample": resizing.resize,
    "If": layout.if_,
    **quantised.STANDARD,
}  # fmt: skip


def is_built_in(node, functions):
    """Whether an operator has a builder here and is no function of the model."""
    name = (node.domain, node.op_type)
    known = node.op_type in OPERATORS if node.domain in DEFAULT else name in quantised.CONTRIBUTED
    return known and name not in functions


def find(domain, op_type):
    """The builder of an operator.

    Raises: Unsupported.
    """
    builder = OPERATORS.get(op_type) if domain in DEFAULT else quantised.CONTRIBUTED.get((domain, op_type))
    if builder is None:
        raise Unsupported("edgert has no such operator" + ("" if domain in DEFAULT else f" of '{domain}'"))
    return builder
