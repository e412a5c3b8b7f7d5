"""Muon: SGD with momentum whose step for each weight matrix is replaced by the nearest orthogonal matrix.

All directions of a layer then learn at the same speed, and a network needs about half the epochs of plain SGD.

Source: Jordan et al., Muon: an optimizer for hidden layers (2024), with the five steps of its quintic iteration.
"""

import torch

QUINTIC = (3.4445, -4.7750, 2.0315)  # pushes every singular value into about [0.7, 1.2] within five steps


@torch.no_grad()
def orthogonalised(matrix, steps=5):
    """matrix (M, N) with its singular values brought near 1, in bf16."""
    a, b, c = QUINTIC
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    if tall := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """For weights of two and more dimensions that lie inside the network; first and last layers do better with Adam.

    lr: length of a step relative to a weight of unit singular values. weight_decay: relative, per step and unit of lr.
    normalise: keeps each convolution's norm at the root of its output channels (batch norm makes the scale free, so
    without this the weights grow and the relative step shrinks).
    """

    def __init__(self, weights, lr, momentum=0.9, weight_decay=0.0, normalise=False):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "normalise": normalise}
        super().__init__(weights, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                self._step(weight, group)

    def _step(self, weight, group):
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight.grad)
        momentum = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
        matrix = weight.grad.add(momentum, alpha=group["momentum"]).reshape(len(weight), -1)  # Nesterov
        if group["normalise"]:
            weight.mul_(len(weight) ** 0.5 / weight.norm())
        weight.mul_(1.0 - group["lr"] * group["weight_decay"])
        longer = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        weight.add_(orthogonalised(matrix).reshape(weight.shape), alpha=-group["lr"] * longer)
