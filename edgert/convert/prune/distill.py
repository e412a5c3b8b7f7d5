"""Distillation: a network learns from the answers of a better one, as well as from the labels."""

import torch
import torch.nn.functional as F


class Distiller:
    """The loss of a student's scores beside a frozen teacher's.

    `weight * T**2 * KL(teacher / T || student / T) + (1 - weight) * cross entropy`, T the temperature.
    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network".
    """

    def __init__(self, teacher, temperature=4.0, weight=0.9, label_smoothing=0.0):
        self.teacher = teacher.eval().requires_grad_(False)
        self.temperature, self.weight, self.label_smoothing = temperature, weight, label_smoothing

    def __call__(self, scores, x, y):
        """scores: the student's for inputs x, whose labels are y."""
        with torch.no_grad():
            wanted = self.teacher(x)
        return self.against(scores, wanted, y)

    def against(self, scores, wanted, y):
        """The same with the teacher's scores given."""
        t = self.temperature
        soft = F.kl_div(
            F.log_softmax(scores / t, 1), F.log_softmax(wanted / t, 1), log_target=True, reduction="batchmean"
        )
        hard = F.cross_entropy(scores, y, label_smoothing=self.label_smoothing)
        return self.weight * t * t * soft + (1.0 - self.weight) * hard
