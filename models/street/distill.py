"""What a smaller detector learns from the trained one: its scores in every cell, its boxes where it is sure of one."""

import torch
import torch.nn.functional as F

from models.street.loss import BOX_WEIGHT, SCORE_WEIGHT, candidates, detection_loss, overlap


class Distiller:
    """The loss of a student's outputs beside a frozen teacher's, and from the labels; as `train.Run` takes it.

    weight: of the teacher against the labels.
    """

    def __init__(self, teacher, strides, weight=0.7):
        self.teacher = teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.strides, self.weight = strides, weight

    def __call__(self, outputs, x, boxes, labels):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            wanted = self.teacher(x)
        taught = self.against(outputs, wanted)
        return self.weight * taught + (1.0 - self.weight) * detection_loss(outputs, self.strides, boxes, labels)

    def against(self, outputs, wanted):
        """Cross entropy with the teacher's scores, and 1 - CIoU with its boxes weighted by its best score."""
        boxes, scores, _ = candidates(outputs, self.strides)
        true_boxes, true_scores, _ = candidates(wanted, self.strides)
        chance = true_scores.sigmoid()
        sure = chance.amax(-1)
        total = sure.sum().clamp(min=1.0)
        score_loss = F.binary_cross_entropy_with_logits(scores, chance, reduction="sum") / total
        box_loss = ((1 - overlap(boxes, true_boxes, complete=True)) * sure).sum() / total
        return SCORE_WEIGHT * score_loss + BOX_WEIGHT * box_loss
