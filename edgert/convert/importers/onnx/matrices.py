"""Builders of matrix products: Gemm, MatMul."""

import numpy as np

from edgert.convert.importers.onnx.convolutions import check_finite, constant_weight
from edgert.convert.unsupported import Unsupported
from edgert.errors import ConversionError


def matmul(site):
    if site.spec(0).dtype != "float32" or site.spec(1).dtype != "float32":
        raise Unsupported(f"operands are {site.spec(0).dtype} and {site.spec(1).dtype}")
    a, b = site.input(0), site.input(1)
    if not site.shape(a) or not site.shape(b):
        raise ConversionError(f"operands have shapes {site.shape(a)} and {site.shape(b)}")
    weights = site.constant(1)
    if weights is not None and weights.ndim == 2 and site.constant(0) is None:
        weight = _weight(site, 1, transposed=False)
        return site.emit("linear", [a, weight, -1])
    if len(site.shape(b)) == 1:
        product = _product(site, _at_least_2d(site, a, 0), site.reshape(b, (*site.shape(b), 1)))
        shape = site.shape(product)[:-1]
        return site.define(site.reshape(product, shape if len(site.shape(a)) > 1 else shape[:-1]))
    product = _product(site, _at_least_2d(site, a, 0), b)
    if len(site.shape(a)) > 1:
        return site.define(product)
    shape = site.shape(product)
    return site.define(site.reshape(product, (*shape[:-2], shape[-1])))


def _at_least_2d(site, x, axis):
    shape = site.shape(x)
    return x if len(shape) > 1 else site.reshape(x, (1, *shape) if axis == 0 else (*shape, 1))


def _product(site, a, b):
    return site.step("batch_matmul", [a, b])


def _weight(site, k, transposed, alpha=1.0):
    """Constant input `k`, a matrix (K, N) or, transposed, (N, K), as linear's weights (N, K)."""
    values, words = site.array(k).astype(np.float32) * np.float32(alpha), site.words(k) if alpha == 1.0 else None
    check_finite(site, k, values)
    if transposed:
        return constant_weight(site, k, values, words and words.moved(lambda w: w, 0))
    return constant_weight(site, k, values.T, words and words.moved(lambda w: w.T, 0))


def gemm(site):
    """alpha * A * B + beta * C, each of A and B transposed if asked for."""
    a, alpha, beta = site.need_dtype(0, "float32"), site.attr("alpha", 1.0), site.attr("beta", 1.0)
    if len(site.shape(a)) != 2 or len(site.spec(1).shape) != 2:
        raise ConversionError(f"operands have shapes {site.shape(a)} and {site.spec(1).shape}, need 2 dimensions")
    if site.attr("transA", 0):
        a = site.transpose(a, (1, 0))
    if site.constant(1) is not None:
        weight = _weight(site, 1, bool(site.attr("transB", 0)), alpha)
        offset = _bias(site, beta, site.shape(weight)[0])
        product = site.step("linear", [a, weight, -1 if offset is None else offset])
        if offset is not None or not site.has(2):
            return site.define(product)
    else:
        site.need_dtype(1, "float32")
        product = site.step("batch_matmul", [a, site.input(1)], {"transpose_b": int(bool(site.attr("transB", 0)))})
        if alpha != 1.0:
            product = site.step("mul", [product, site.number(alpha)])
        if not site.has(2):
            return site.define(product)
    offset = site.need_dtype(2, "float32")
    if beta != 1.0:
        offset = site.step("mul", [offset, site.number(beta)])
    return site.emit("add", [product, offset])


def _bias(site, beta, c_out):
    """C as a bias, if it is one: constant, one value for each column."""
    values = site.constant(2) if site.has(2) else None
    if values is None or values.size not in (1, c_out) or values.shape[-1:] not in ((), (1,), (c_out,)):
        return None
    if values.size == c_out != 1 and values.shape[-1] != c_out:
        return None
    return site.make(np.broadcast_to(np.float32(beta) * values.reshape(-1), (c_out,)), site.inputs[2])
