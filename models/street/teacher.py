"""YOLOX-Nano's maps before its heads, as a second thing to learn from: what COCO's pictures taught it carries over.

It runs at any size that is a multiple of 32 once its fixed ends are cut off.
"""

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from models.common import data

MAPS = ("956", "990", "1024")  # what its three heads read, at 1/8, 1/16 and 1/32
CHANNELS = (64, 128, 256)


class Teacher:
    """Answers with three maps (N, 64 | 128 | 256, h, w) for pictures in [-2, 2] (N, 3, H, W), RGB."""

    def __init__(self, threads=1):
        path = data.data_root() / "models" / "onnx" / "yolox_nano.onnx"
        model = onnx.utils.Extractor(onnx.load(path)).extract_model(["images"], list(MAPS))
        for axis, name in ((0, "n"), (2, "h"), (3, "w")):
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        del model.graph.value_info[:]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])

    def __call__(self, x):
        pixels = (x.flip(1) * 64.0 + 128.0).contiguous().numpy().astype(np.float32)  # it was trained on BGR
        return [torch.from_numpy(part) for part in self.session.run(None, {"images": pixels})]


class Mimic(nn.Module):
    """A 1x1 convolution per level from our maps to the teacher's; thrown away after training."""

    def __init__(self, channels):
        super().__init__()
        self.turns = nn.ModuleList(nn.Conv2d(n, c, 1) for n, c in zip(channels, CHANNELS))

    def forward(self, levels, wanted):
        """Mean over the levels of the squared difference, each teacher channel scaled to the same spread."""
        total = 0.0
        for turn, level, target in zip(self.turns, levels, wanted):
            spread = target.std((0, 2, 3), keepdim=True) + 1e-3
            middle = target.mean((0, 2, 3), keepdim=True)
            total = total + F.smooth_l1_loss(turn(level.float()), (target - middle) / spread)
        return total / len(wanted)
