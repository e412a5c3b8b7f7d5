"""TensorFlow Lite's operators: their numbers and names, and which builder of ours takes each."""

from edgert.convert.importers.tflite import arithmetic, convolutions, detection, layout

CUSTOM = 32

# enum BuiltinOperator of schema.fbs: an operator's number is its place here.
_NAMES = """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
    FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION
    LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH
    CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
    BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
    BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM
    ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE
    TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK
    LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD
    RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N
    GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
    NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL
    PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE
    HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE
    BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1
    UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
    RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM
    STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION
    STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE
    STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER
    STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER
    STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD
    STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE STABLEHLO_GATHER
    STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT
    STABLEHLO_CBRT
"""
NAMES = tuple(_NAMES.split())

_binary, _unary, _reduce = arithmetic.binary, arithmetic.unary, arithmetic.reduce

# name -> (table of its options, None where it needs none; builder)
OPERATORS = {
    "CONV_2D": ("Conv2DOptions", convolutions.conv2d),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", convolutions.depthwise_conv2d),
    "TRANSPOSE_CONV": ("TransposeConvOptions", convolutions.transpose_conv2d),
    "FULLY_CONNECTED": ("FullyConnectedOptions", convolutions.fully_connected),
    "BATCH_MATMUL": ("BatchMatMulOptions", convolutions.batch_matmul),
    "AVERAGE_POOL_2D": ("Pool2DOptions", convolutions.average_pool2d),
    "MAX_POOL_2D": ("Pool2DOptions", convolutions.max_pool2d),
    "ADD": ("AddOptions", _binary("add")),
    "SUB": ("SubOptions", _binary("sub")),
    "MUL": ("MulOptions", _binary("mul")),
    "DIV": ("DivOptions", _binary("div")),
    "MINIMUM": (None, _binary("minimum")),
    "MAXIMUM": (None, _binary("maximum")),
    "FLOOR_DIV": (None, _binary("floor_div", ("float32", "int32", "int64"))),
    "SQUARED_DIFFERENCE": (None, _binary("squared_difference")),
    "ADD_N": (None, arithmetic.add_n),
    "RELU": (None, _unary("relu")),
    "RELU6": (None, _unary("relu6")),
    "RELU_N1_TO_1": (None, arithmetic.clip(-1.0, 1.0)),
    "RELU_0_TO_1": (None, arithmetic.clip(0.0, 1.0)),
    "LEAKY_RELU": ("LeakyReluOptions", _unary("leaky_relu", alpha="alpha")),
    "ELU": (None, _unary("elu", alpha=1.0)),
    "GELU": ("GeluOptions", arithmetic.gelu),
    "HARD_SWISH": (None, _unary("hard_swish")),
    "LOGISTIC": (None, _unary("sigmoid")),
    "TANH": (None, _unary("tanh")),
    "EXP": (None, _unary("exp")),
    "LOG": (None, _unary("log")),
    "SQRT": (None, _unary("sqrt")),
    "RSQRT": (None, _unary("rsqrt")),
    "SQUARE": (None, _unary("square")),
    "ABS": (None, _unary("abs")),
    "NEG": (None, _unary("neg")),
    "FLOOR": (None, _unary("floor")),
    "CEIL": (None, _unary("ceil")),
    "ROUND": (None, _unary("round")),
    "SIN": (None, _unary("sin")),
    "COS": (None, _unary("cos")),
    "SOFTMAX": ("SoftmaxOptions", arithmetic.softmax),
    "LOG_SOFTMAX": (None, arithmetic.log_softmax),
    "MEAN": ("ReducerOptions", _reduce("mean")),
    "SUM": ("ReducerOptions", _reduce("sum")),
    "REDUCE_MAX": ("ReducerOptions", _reduce("max")),
    "REDUCE_MIN": ("ReducerOptions", _reduce("min")),
    "REDUCE_PROD": ("ReducerOptions", _reduce("prod")),
    "ARG_MAX": (None, arithmetic.arg("arg_max")),
    "ARG_MIN": (None, arithmetic.arg("arg_min")),
    "QUANTIZE": (None, arithmetic.quantize),
    "DEQUANTIZE": (None, arithmetic.dequantize),
    "CAST": (None, arithmetic.cast),
    "RESHAPE": ("ReshapeOptions", layout.reshape),
    "SQUEEZE": ("SqueezeOptions", layout.squeeze),
    "EXPAND_DIMS": (None, layout.expand_dims),
    "TRANSPOSE": (None, layout.transpose),
    "SLICE": (None, layout.slice_),
    "STRIDED_SLICE": ("StridedSliceOptions", layout.strided_slice),
    "SPLIT": (None, layout.split),
    "SPLIT_V": (None, layout.split_v),
    "UNPACK": ("UnpackOptions", layout.unpack),
    "PACK": ("PackOptions", layout.pack),
    "CONCATENATION": ("ConcatenationOptions", layout.concatenation),
    "PAD": (None, layout.pad),
    "PADV2": (None, layout.pad),
    "MIRROR_PAD": ("MirrorPadOptions", layout.mirror_pad),
    "GATHER": ("GatherOptions", layout.gather),
    "GATHER_ND": (None, layout.gather_nd),
    "EMBEDDING_LOOKUP": (None, layout.embedding_lookup),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", layout.resize("bilinear")),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", layout.resize("nearest")),
    "SPACE_TO_BATCH_ND": (None, layout.space_to_batch),
    "BATCH_TO_SPACE_ND": (None, layout.batch_to_space),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", layout.space_to_depth),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", layout.depth_to_space),
    "REVERSE_V2": (None, layout.reverse),
    "TILE": (None, layout.tile),
    "BROADCAST_TO": (None, layout.broadcast_to),
    "SHAPE": (None, layout.shape_of),
    "RANK": (None, layout.rank_of),
    "FILL": (None, layout.fill),
    "RANGE": (None, layout.range_),
    "ZEROS_LIKE": (None, layout.zeros_like),
}

# The same for operators that are in no list of TensorFlow Lite's, by the name that `operator_name` gives them.
CUSTOM_OPERATORS = {f"CUSTOM '{detection.NAME}'": (None, detection.postprocess)}


def operator_name(code):
    """The name of an OperatorCode: numbers above 127 did not fit the field that older files use."""
    number = max(code.deprecated_builtin_code, code.builtin_code)
    if number == CUSTOM:
        return f"CUSTOM '{code.custom_code[:100]}'"
    return NAMES[number] if 0 <= number < len(NAMES) else f"number {number}"
