"""The runs of each queue; docs/results/log.md gives the reasons."""

from . import from_imagenet, from_scratch, resnet50
from .run import Run

QUEUES: dict[str, dict[str, Run]] = {**from_scratch.QUEUES, **from_imagenet.QUEUES, **resnet50.QUEUES}
# what a method is compared with, where it is not OTCXR
REFERENCES: dict[str, str] = from_imagenet.REFERENCES
