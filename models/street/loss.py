"""What the detector is trained for: which cell answers for which box, and how wrong its answer is.

Source: assignment by score and overlap together, Feng et al. 2021, "TOOD: Task-aligned One-stage Object Detection";
overlap of boxes, Zheng et al. 2020, "Distance-IoU Loss" (CIoU).
"""

import math

import torch
import torch.nn.functional as F

CELLS_A_BOX = 10
SCORE_POWER, OVERLAP_POWER = 0.5, 6.0
LEAST_HALF_SIDE = 6.0  # pixels: the middle of some cell lies in every box
BOX_WEIGHT, SCORE_WEIGHT = 7.5, 0.5


def candidates(outputs, strides):
    """Boxes (N, A, 4) in pixels, scores before the sigmoid (N, A, C) and middles of the cells (A, 2)."""
    boxes, scores, middles = [], [], []
    for stride, box, score in zip(strides, outputs[::2], outputs[1::2]):
        rows, columns = box.shape[2:]
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        middle = (torch.stack((x, y), -1).reshape(-1, 2) + 0.5) * stride
        sides = box.float().flatten(2).transpose(1, 2) * stride
        boxes.append(torch.cat((middle - sides[..., :2], middle + sides[..., 2:]), -1))
        scores.append(score.float().flatten(2).transpose(1, 2))
        middles.append(middle)
    return torch.cat(boxes, 1), torch.cat(scores, 1), torch.cat(middles)


def overlap(a, b, complete=False):
    """IoU of boxes (..., 4); complete: CIoU, which also falls with distance and difference of shape."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(-1)
    size_a, size_b = (a[..., 2:] - a[..., :2]).clamp(min=0), (b[..., 2:] - b[..., :2]).clamp(min=0)
    iou = both / (size_a.prod(-1) + size_b.prod(-1) - both + 1e-6)
    if not complete:
        return iou
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]).square().sum(-1) / 4
    angle = torch.atan(size_b[..., 0] / (size_b[..., 1] + 1e-6)) - torch.atan(size_a[..., 0] / (size_a[..., 1] + 1e-6))
    shape = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        share = shape / (1 - iou + shape + 1e-6)
    return iou - apart / (around.square().sum(-1) + 1e-6) - share * shape


def padded(boxes, labels):
    """Lists of boxes and labels as (N, M, 4), (N, M) and which are real (N, M)."""
    most = max(1, *map(len, boxes))
    real = torch.stack([torch.arange(most) < len(one) for one in boxes])
    boxes = torch.stack([F.pad(one, (0, 0, 0, most - len(one))) for one in boxes])
    return boxes, torch.stack([F.pad(one, (0, most - len(one))) for one in labels]), real


@torch.no_grad()
def assigned(boxes, scores, middles, truth, labels, real):
    """(index of the true box of each candidate (N, A), its target score (N, A); 0: it answers for none)."""
    half = ((truth[..., 2:] - truth[..., :2]) / 2).clamp(min=LEAST_HALF_SIDE)
    away = (middles[None, None] - ((truth[..., 2:] + truth[..., :2]) / 2)[:, :, None]).abs()
    inside = (away < half[:, :, None]).all(-1) & real[..., None]  # (N, M, A)
    iou = overlap(truth[:, :, None], boxes[:, None]) * inside
    chance = scores.sigmoid().transpose(1, 2)  # (N, C, A)
    own = chance.gather(1, labels[..., None].expand(-1, -1, chance.shape[2]))
    fit = own**SCORE_POWER * iou**OVERLAP_POWER * inside
    best = torch.zeros_like(inside).scatter_(2, fit.topk(CELLS_A_BOX, 2).indices, True) & inside & (fit > 0)
    index = torch.where(best, iou, -1.0).argmax(1)  # a cell in several boxes answers for the one it meets best
    best &= F.one_hot(index, best.shape[1]).transpose(1, 2).bool()
    fit, iou = fit * best, iou * best
    target = fit * (iou.amax(2, keepdim=True) / (fit.amax(2, keepdim=True) + 1e-9))
    return index, target.amax(1)


def detection_loss(outputs, strides, truth, labels):
    """The loss of one batch. outputs: of the Detector. truth, labels: lists, as `pictures.batch` gives them."""
    boxes, scores, middles = candidates(outputs, strides)
    truth, labels, real = padded(truth, labels)
    index, target = assigned(boxes.detach(), scores.detach(), middles, truth, labels, real)
    total = target.sum().clamp(min=1.0)
    wanted = F.one_hot(labels.gather(1, index), scores.shape[2]) * target[..., None]
    score_loss = F.binary_cross_entropy_with_logits(scores, wanted, reduction="sum") / total
    chosen = target > 0
    true_boxes = truth.gather(1, index[..., None].expand(-1, -1, 4))[chosen]
    box_loss = ((1 - overlap(boxes[chosen], true_boxes, complete=True)) * target[chosen]).sum() / total
    return SCORE_WEIGHT * score_loss + BOX_WEIGHT * box_loss
