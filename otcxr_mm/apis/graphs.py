"""A backbone or a classifier as one file that runs without this package: ONNX, or a program of torch.export."""

import io
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.dataset import Compose
from mmpretrain.models import BaseClassifier, MultiLabelClsHead
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..engine.provenance import file_record
from ..models.heads import KNNHead
from ..utils.files import write_whole
from ..utils.versions import versions
from .backbone import backbone_from
from .classifier import CXRClassifierInferencer
from .images import batches, find_images
from .trained import Trained, read_trained

if TYPE_CHECKING:
    import onnx

INPUT = "images"


def export_graph(source: str | os.PathLike, out: str | os.PathLike, force: bool = False) -> Path:
    """Writes a trained network as a graph, with the normalisation inside.

    The input `images` is a batch (n, 1, H, W) of float32 from 0 (black) to 255 (white), with any n and the height and
    width of the training. A classifier has the output `probabilities` (n, C), a backbone `features` (n, D). The file
    says what they are: in the metadata of ONNX, or in the extra file `record.json` of a `.pt2`, are `size`, [H, W],
    `classes` and `thresholds` of a classifier, the SHA-256 of the weights, and the versions of the libraries. No code
    in the checkpoint is run.

    Args:
        source: Work dir of a run, one of its checkpoints, or a `backbone.pth` with its JSON. A classifier is written
            whole; of a pre-training, its backbone.
        out: File that ends in `.onnx` (needs onnx and onnxscript) or `.pt2`.
        force: Overwrite a file that is there.

    Returns:
        The file.

    Raises:
        FileExistsError: If `out` is there already.
        FileNotFoundError: If there are no weights.
        ImportError: If a package is missing that `.onnx` needs.
        ValueError: If the weights cannot be read, are those of another model, or if torch.export cannot trace it.
    """
    out = Path(out).expanduser()
    if out.suffix not in WRITERS:
        raise ValueError(f"{out}: the name of a graph must end in {' or '.join(WRITERS)}")
    if out.exists() and not force:
        raise FileExistsError(f"{out} is there already: name another file, or overwrite it with --force")
    if out.suffix == ".onnx" and (missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]):
        names = " ".join(missing)
        raise ImportError(f"{out}: writing .onnx needs {' and '.join(missing)}: pip install {names}")
    network, image, output, record = _network(source)
    write_whole(out, WRITERS[out.suffix](_program(network, image, source), output, record))
    return out


def _network(source: str | os.PathLike) -> tuple[nn.Module, Tensor, str, dict]:
    """A network from images to its output, an image, the output's name, and what the file says of it."""
    trained = read_trained(source, whole=True)
    model = (trained.cfg or {}).get("model") or {}
    if "num_classes" not in (model.get("head") or {}) and "decode_head" not in model:
        trained = read_trained(source)
        backbone = backbone_from(trained)
        image = _example(trained, backbone.steps)
        return backbone, image, "features", _record(trained, image)
    inferencer = CXRClassifierInferencer(trained, "cpu")  # which refuses a segmentation model
    image = _example(trained, inferencer.pipeline)
    record = {**_record(trained, image), "classes": inferencer.classes, "thresholds": inferencer.thresholds}
    return _Classifier(inferencer.model, image), image, "probabilities", record


class _Classifier(nn.Module):
    """Probabilities (n, C) of images (n, 1, H, W) from 0 to 255.

    Raises:
        ValueError: If they are not those that `otcxr test` computes, or if the head holds training images.
    """

    def __init__(self, model: BaseClassifier, image: Tensor) -> None:
        super().__init__()
        name = type(model.head).__name__
        if isinstance(model.head, KNNHead):
            raise ValueError(
                f"a {name} holds the features of all training images, which a graph would give away: export a linear "
                "or fine-tuned classifier"
            )
        self.model = model
        self.activation = nn.Sigmoid() if isinstance(model.head, MultiLabelClsHead) else nn.Softmax(1)
        with torch.no_grad():
            noise = 255 * torch.rand_like(image)
            tested = model.test_step({"inputs": noise})[0].pred_score
            if not torch.allclose(self(noise)[0], tested, rtol=0, atol=1e-5):
                raise ValueError(f"{name}: its probabilities are not a sigmoid or softmax of its scores; not exported")

    def forward(self, images: Tensor) -> Tensor:
        inputs = self.model.data_preprocessor({"inputs": images}, False)["inputs"]
        return self.activation(self.model(inputs, mode="tensor"))


def _example(trained: Trained, steps: Compose) -> Tensor:
    """A black image as the network takes it, (1, C, H, W)."""
    ((entry,),) = batches(find_images(np.zeros((256, 256), np.uint8)), steps, 1, 0)
    if entry.tensor is None:
        raise ValueError(f"{trained.path}: {entry.reason}")
    return entry.tensor[None].float()


def _record(trained: Trained, image: Tensor) -> dict:
    sha256 = file_record(str(trained.path))["sha256"]
    return {"size": list(image.shape[-2:]), "weights_sha256": sha256, "versions": versions()}


def _program(network: nn.Module, image: Tensor, source: str | os.PathLike) -> ExportedProgram:
    """The network as torch.export traces it, for any number of images, without the paths of this machine."""
    batch, shapes = image.repeat(2, 1, 1, 1), ({0: torch.export.Dim("n")},)
    try:
        program = torch.export.export(network.eval(), (batch,), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # each operation that cannot be traced has its own
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{source}: torch.export cannot trace this network: {reason}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _pt2(program: ExportedProgram, output: str, record: dict) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"record.json": json.dumps({"output": output, **record})})
    return buffer.getvalue()


def _onnx(program: ExportedProgram, output: str, record: dict) -> bytes:
    exported = torch.onnx.export(
        program, (), dynamo=True, input_names=[INPUT], output_names=[output], verbose=False
    ).model_proto
    for part in (exported.graph, *exported.graph.node):
        _clear(part)
    for value in (*exported.graph.input, *exported.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    for key, value in record.items():
        exported.metadata_props.add(key=key, value=json.dumps(value))
    return exported.SerializeToString()


def _clear(part: "onnx.GraphProto | onnx.NodeProto") -> None:
    """Removes what only helps to debug the exporter."""
    part.ClearField("metadata_props")
    part.ClearField("doc_string")


WRITERS: dict[str, Callable[[ExportedProgram, str, dict], bytes]] = {".onnx": _onnx, ".pt2": _pt2}
