"""Checkpoints of a training run: parts with a state_dict, and plain figures beside them."""

import sys

import torch


def save(path, parts, figures):
    """Writes to a sibling first, so that an interrupted write cannot lose the last good one."""
    state = {name: part.state_dict() for name, part in parts.items()} | figures
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def resume(path, parts, figures, after):
    """Gives the parts what was saved, if anything was.

    figures: name -> value, of a run that begins. after: the one that says how far it came.
    Returns: the figures of the checkpoint, or those given where there is none.
    """
    if not path.exists():
        return figures
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    print(f"resuming {path} after {after} {state[after]}", file=sys.stderr)
    return {name: state[name] for name in figures}
