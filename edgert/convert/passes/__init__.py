"""Rewrites of a draft that keep its answers: each pass is a function(draft) -> how often it changed something."""

from edgert.convert.passes import (
    activations,
    channels,
    cleanup,
    dilation,
    integers,
    islands,
    layout,
    lookups,
    pads,
    patterns,
    scaling,
    shuffles,
)

# The name is what the report says. A later pass may open the way for an earlier one: all run until none finds anything.
PASSES = (
    ("removed without effect", cleanup.remove_identities),
    ("computed already", cleanup.share_equal),
    ("space_to_batch + convolution + batch_to_space to a dilated convolution", dilation.fuse),
    ("pad into its convolution", pads.fuse),
    ("factor or term per channel into the weights before", scaling.fold),
    ("order of channels into the filters before", channels.permute_filters),
    ("written-out activation to one function", patterns.fuse),
    ("slice of a split axis to a slice with a step", shuffles.to_slices),
    ("binary operator on one operand to lookup", lookups.from_binary),
    ("words moved as they are", integers.sink),
    ("float operator between words to integer operator", integers.fuse),
    ("float island to lookup", islands.to_lookup),
    ("float island to integer operator", islands.to_binary),
    ("lookups in a row to one", lookups.compose),
    ("activation into its producer", activations.fuse),
)
MAX_ROUNDS = 16


def run(draft):
    """All passes, on a draft whose graph is valid; counts go to `draft.fused`."""
    draft.drop_unused()
    if draft.channels_first:
        layout.to_channels_last(draft)
    for _ in range(MAX_ROUNDS):
        changed = 0
        for name, change in PASSES:
            count = change(draft)
            draft.drop_unused()
            if count:
                draft.fused[name] += count
                changed += count
        if not changed:
            return
