"""What language models do with rows of tokens outside products: look up, turn, gate, select, add the residual."""

import numpy as np
from numba import carray

from edgert.kernels.jit.compiler import MOVE, compiled, step
from edgert.kernels.jit.primitives import advance, share
from edgert.kernels.jit.rows import GROUP, ONE, ZERO, F, counts, exp

GELU_LINEAR, GELU_CUBIC = F(1.5957691216057308), F(0.0713548162726009)
ROOT_HALF, ERF_P, HALF = F(0.70710678118654752), F(0.3275911), F(0.5)
ERF_1, ERF_2, ERF_3 = F(1.061405429), F(-1.453152027), F(1.421413741)
ERF_4, ERF_5 = F(-0.284496736), F(0.254829592)


def make_positions():
    def positions(params, tensors, scratch, thread, n_threads):
        tokens = carray(params, 1, np.int64)[0]
        first, out = max(carray(tensors[1], 1, np.int32)[0], 0), carray(tensors[2], tokens, np.int32)
        for i in range(tokens):
            out[i] = np.int32(first + i)

    return positions


def make_embedding(vocabulary, width, kind, out_at):
    """kind: the table's dtype."""
    row_bytes = {"float32": 4 * width, "int8": width, "uint8": width // 2}[kind]
    groups, plain, packed = width // GROUP, kind == "float32", kind == "uint8"
    scale_at, groups_at = (0 if plain else 2), (3 if packed else 0)

    def embedding(params, tensors, scratch, thread, n_threads):
        tokens = carray(params, 1, np.int64)[0]
        ids, out = carray(tensors[0], tokens, np.int32), carray(tensors[out_at], (tokens, width), np.float32)
        scale = carray(tensors[scale_at], vocabulary, np.float32)
        for token in range(tokens):
            row = min(max(ids[token], 0), vocabulary - 1)
            place = advance(tensors[1], row * row_bytes)
            if plain:
                numbers = carray(place, width, np.float32)
                for i in range(width):
                    out[token, i] = numbers[i]
            elif packed:
                nibbles = carray(place, (groups, GROUP // 2), np.uint8)
                by = carray(advance(tensors[groups_at], row * groups), groups, np.int8)
                for group in range(groups):
                    for j in range(GROUP // 2):
                        low, high = (nibbles[group, j] & 15) - 8, (nibbles[group, j] >> 4) - 8
                        out[token, group * GROUP + j] = np.float32(low * by[group]) * scale[row]
                        out[token, group * GROUP + GROUP // 2 + j] = np.float32(high * by[group]) * scale[row]
            else:
                words = carray(place, width, np.int8)
                for i in range(width):
                    out[token, i] = np.float32(words[i]) * scale[row]

    return embedding


def make_rope(heads, head_dim, context, half, interleaved):
    a_step, b_first = (2, 1) if interleaved else (1, half)

    def rope(params, tensors, scratch, thread, n_threads):
        tokens, position = carray(params, 1, np.int64)[0], carray(tensors[2], 1, np.int32)[0]
        x = carray(tensors[0], (tokens, heads, head_dim), np.float32)
        out = carray(tensors[3], (tokens, heads, head_dim), np.float32)
        table = carray(tensors[1], (context, 2 * half), np.float32)
        for token in range(share(tokens, thread, n_threads), share(tokens, thread + 1, n_threads)):
            row = min(max(position + token, 0), context - 1)
            for head in range(heads):
                for i in range(half):
                    a, b = x[token, head, a_step * i], x[token, head, a_step * i + b_first]
                    cos, sin = table[row, i], table[row, half + i]
                    out[token, head, a_step * i] = a * cos - b * sin
                    out[token, head, a_step * i + b_first] = b * cos + a * sin
                for i in range(2 * half, head_dim):
                    out[token, head, i] = x[token, head, i]

    return rope


def make_gate(function, both, out_at):
    """function: "silu", "gelu" or "gelu_tanh". both: whether the result is multiplied by a second operand."""
    by_erf, cubic = function == "gelu", function == "gelu_tanh"

    def gate(params, tensors, scratch, thread, n_threads):
        size = carray(params, 1, np.int64)[0]
        x, other = carray(tensors[0], size, np.float32), carray(tensors[1 if both else 0], size, np.float32)
        out = carray(tensors[out_at], size, np.float32)
        for i in range(share(size, thread, n_threads), share(size, thread + 1, n_threads)):
            value = x[i]
            if by_erf:
                z = abs(value) * ROOT_HALF
                t = ONE / (ONE + ERF_P * z)
                y = (((ERF_1 * t + ERF_2) * t + ERF_3) * t + ERF_4) * t + ERF_5
                tail = y * t * exp(-(z * z)) * HALF
                result = value * (tail if value < ZERO else ONE - tail)
            else:
                u = value * (GELU_LINEAR + GELU_CUBIC * (value * value)) if cubic else value
                result = value / (ONE + exp(-u))
            out[i] = result * other[i] if both else result

    return gate


def make_last_row(width):
    def last_row(params, tensors, scratch, thread, n_threads):
        rows = carray(params, 1, np.int64)[0]
        x, out = carray(tensors[0], (rows, width), np.float32), carray(tensors[1], width, np.float32)
        for i in range(width):
            out[i] = x[rows - 1, i]

    return last_row


def make_residual():
    def residual(params, tensors, scratch, thread, n_threads):
        size = carray(params, 1, np.int64)[0]
        a, b = carray(tensors[0], size, np.float32), carray(tensors[1], size, np.float32)
        out = carray(tensors[2], size, np.float32)
        for i in range(share(size, thread, n_threads), share(size, thread + 1, n_threads)):
            out[i] = a[i] + b[i]

    return residual


def bind(op, inputs, outputs, attrs):
    x, (out,) = inputs[0], outputs
    if op == "positions":
        return step(op, compiled(make_positions, {}), counts(out.size))
    if op == "embedding":
        table = inputs[1]
        settings = {"vocabulary": table.shape[0], "width": table.shape[1] * (2 if table.dtype == "uint8" else 1)}
        settings |= {"kind": table.dtype, "out_at": len(inputs)}
        return step(op, compiled(make_embedding, settings), counts(x.size))
    if op == "rope":
        tokens, heads, head_dim = x.shape
        context, turned = inputs[1].shape
        settings = {"heads": heads, "head_dim": head_dim, "context": context, "half": turned // 2}
        settings["interleaved"] = attrs.get("interleaved", 0)
        return step(op, compiled(make_rope, settings), counts(tokens), x.size * MOVE)
    if op == "gate":
        settings = {"function": attrs["function"], "both": len(inputs) > 1 and inputs[1] is not None}
        settings["out_at"] = len(inputs)
        return step(op, compiled(make_gate, settings), counts(x.size), x.size * MOVE * 4)
    if op == "add":
        return step(op, compiled(make_residual, {}), counts(x.size), x.size * MOVE)
    return step(op, compiled(make_last_row, {"width": x.shape[-1]}), counts(x.shape[0]))
