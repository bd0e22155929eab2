"""A video as most colorizers do it: torch eager, RGB frames, OpenCV's writer, no overlap."""

from contextlib import ExitStack, closing
from pathlib import Path

import cv2
import numpy as np

from ...runtime.colorizer import Colorizer
from ...runtime.engines.base import Engine
from ...runtime.errors import InputError
from ...runtime.video.source import open_video


def colorize_frame_by_frame(eager: Engine, colorizer: Colorizer, source: Path, target: Path) -> int:
    """Write SOURCE in color as an mp4 without sound; return its frames.

    EAGER computes, COLORIZER only tells the working size. Each step waits for the one before.
    """
    with closing(open_video(source)) as video:
        rate = float(video.streams.video[0].average_rate or 25)
    reader = cv2.VideoCapture(str(source))
    writer: cv2.VideoWriter | None = None
    count = 0
    with ExitStack() as stack:
        stack.callback(reader.release)
        while True:
            found, bgr = reader.read()
            if not found:
                break
            height, width = bgr.shape[:2]
            if writer is None:
                codec = cv2.VideoWriter.fourcc(*"mp4v")
                writer = cv2.VideoWriter(str(target), codec, rate, (width, height))
                stack.callback(writer.release)
            lab = cv2.cvtColor(bgr.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)
            h, w = colorizer.working_shape(height, width)
            small = cv2.resize(lab[..., 0], (w, h), interpolation=cv2.INTER_AREA)
            [ab] = eager.infer(np.ascontiguousarray(small[None, None], np.float32))
            lab[..., 1:] = cv2.resize(np.ascontiguousarray(ab.transpose(1, 2, 0)), (width, height))
            colored = cv2.cvtColor(lab, cv2.COLOR_Lab2BGR)
            writer.write((colored * 255).clip(0, 255).astype(np.uint8))
            count += 1
    if count == 0:
        raise InputError(f"{source}: OpenCV reads no frame of it")
    return count
