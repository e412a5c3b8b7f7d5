"""Tables of rotary positions, as the configurations of Hugging Face describe them.

Source: Su et al., RoFormer, 2021; `rope_type` linear (Chen et al. 2023) and llama3 as modeling_rope_utils.py of
transformers has them.
"""

import numpy as np

from edgert.errors import ConversionError


def table(context, turned, base=10_000.0, scaling=None, factors=None):
    """(context, turned) float32: of each position `turned` / 2 cosines, then the sines.

    scaling: the entry `rope_scaling` or `rope_parameters` of a config.json, or None. factors: what each frequency is
    divided by. Raises: ConversionError.
    """
    frequencies = _scaled(base ** (-np.arange(0, turned, 2, dtype=np.float64) / turned), scaling or {})
    if factors is not None:
        if len(factors) != len(frequencies) or not (np.isfinite(factors) & (factors > 0)).all():
            raise ConversionError(f"rope_freqs has {len(factors)} factors for {len(frequencies)} frequencies")
        frequencies = frequencies / factors
    angles = np.arange(context, dtype=np.float64)[:, None] * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _scaled(frequencies, scaling):
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return frequencies
    try:
        if kind == "linear":
            return frequencies / float(scaling["factor"])
        if kind == "llama3":
            return _llama3(frequencies, scaling)
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(f"config.json: rope_scaling of kind '{kind}' lacks {error}") from None
    raise ConversionError(
        f"config.json: rope_scaling of kind '{kind}' is not supported; default, linear and llama3 are"
    )


def _llama3(frequencies, scaling):
    """Long waves are divided by `factor`, short ones left, those between blended."""
    factor, low, high = (float(scaling[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    trained = float(scaling["original_max_position_embeddings"])
    turns = trained * frequencies / (2 * np.pi)  # of each pair within the context it was trained on
    blend = np.clip((turns - low) / (high - low), 0, 1)
    return frequencies * (blend + (1 - blend) / factor)
