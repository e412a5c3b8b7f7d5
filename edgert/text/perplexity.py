"""How well a model predicts a text: its loss over every token of it.

The text is read in windows as long as the context, each beginning half a window after the last. A window scores its
second half (the first one all of it), so every token is predicted exactly once and from at least half a context, but
for those at the beginning. A window starts with the token that a text begins with, where the model has one; where not,
the very first token has nothing to be predicted from and is not counted.
"""

from edgert.graph import Record


class Loss(Record):
    """nats: summed over `tokens` predicted tokens. nbytes: of the whole text. windows: how many it took."""

    __slots__ = ("nats", "tokens", "nbytes", "windows")

    @property
    def per_token(self):
        return self.nats / self.tokens

    @property
    def per_byte(self):
        return self.nats / self.nbytes


def loss(logits, ids, context, nbytes, bos=None, chunk=128, progress=None):
    """The `Loss` of the tokens `ids`.

    logits: function (ids, position of the first) -> (len(ids), vocabulary) float32, one row per token. context: tokens
    that the caches hold. nbytes: of the text. bos: the token in front of each window, or None. progress: called with
    (tokens done, tokens in all).
    """
    front = [] if bos is None else [bos]
    room = context - len(front)
    step = max(room // 2, 1)
    total = windows = 0
    scored = 1 - len(front)  # tokens before this one have been predicted, or cannot be
    while scored < len(ids):
        start = 0 if windows == 0 else scored - (room - step)
        window = front + ids[start : start + room]
        # Row r predicts token r + 1 of the window; the last row's is in the next one.
        total += _nats(logits, window, scored - start + len(front), chunk)
        scored, windows = start + room, windows + 1
        if progress is not None:
            progress(min(scored, len(ids)), len(ids))
    return Loss(total, len(ids) - 1 + len(front), nbytes, windows)


def _nats(logits, window, first, chunk):
    """The loss of the window's tokens from position `first` on."""
    import numpy as np

    total = 0.0
    for at in range(0, len(window) - 1, chunk):
        some = window[at : min(at + chunk, len(window) - 1)]
        rows = logits(some, at)
        skipped = max(first - 1 - at, 0)
        if skipped >= len(some):
            continue
        rows = rows[skipped:].astype(np.float64)
        targets = np.array(window[at + 1 + skipped : at + 1 + len(some)])
        largest = rows.max(axis=1)
        normal = largest + np.log(np.exp(rows - largest[:, None]).sum(axis=1))
        total += float((normal - rows[np.arange(len(targets)), targets]).sum())
    return total
