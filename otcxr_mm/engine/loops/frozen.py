"""What evaluations of a frozen backbone share: features that are computed once and kept."""

import hashlib
import io
import os
from pathlib import Path

import mmpretrain
import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, collect_results, is_main_process
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...datasets import BaseCXRDataset
from ...datasets.inspection import data_sha256
from ...utils.files import write_whole
from ...version import __version__
from ..model import unwrap_model
from ..norms import calibrate_batch_norm

Features = tuple[Tensor, Tensor]


class FrozenEvalLoop(BaseLoop):
    """Base of the loops that fit a head on features of a frozen backbone; a subclass implements :meth:`fit_head`.

    Features of training and validation images are computed once, in evaluation mode, and kept in files: another run
    with the same weights, images, labels and pipeline reads them. Then the head is fitted, the validation loop runs,
    and an ordinary checkpoint of the classifier is written.

    Args:
        runner: Its model is an ImageClassifier.
        dataloader: Of the training images, in any order, without augmentation.
        calibrate: Whether to set the batch norm statistics to those of up to 1,024 training images first. Use it for an
            untrained backbone, whose own statistics come from no data.
        cache: Folder for the features, to be shared by several runs; True: `WORK_DIR/features`; False: none. Only for
            data sets of this package.
    """

    # names the checkpoint, PROTOCOL.pth, and the run's rows in tables, unless the config sets another protocol
    protocol = ""

    def __init__(
        self, runner: Runner, dataloader: DataLoader | dict, calibrate: bool = False, cache: bool | str = True
    ) -> None:
        super().__init__(runner, dataloader)
        self.calibrate = calibrate
        self.cache = Path(runner.work_dir, "features") if cache is True else Path(cache) if cache else None
        self.val_interval = self.val_begin = 1
        self._done = 0

    # what MMEngine's runner asks a training loop
    max_epochs = max_iters = property(lambda self: 1)
    epoch = iter = property(lambda self: self._done)

    def check(self, model: nn.Module) -> None:
        """Fails if the model is not one that this loop can fit."""

    def check_features(self, model: nn.Module, width: int) -> None:
        """Fails if the model cannot take features of this width."""

    def fit_head(self, model: nn.Module, train: Features | None, val: Features | None) -> None:
        """Fits the head; all processes get the same.

        Args:
            model: The classifier.
            train: Features (n, D) and labels (n, C) of the training images; None in all processes but the main one.
            val: Those of the validation images; None without them.
        """
        raise NotImplementedError

    def run(self) -> nn.Module:
        """Computes the features, fits the head, validates, and writes the checkpoint."""
        runner, model = self.runner, unwrap_model(self.runner)
        self.check(model)
        runner.cfg.setdefault("protocol", self.protocol)
        runner.call_hook("before_train")
        model.requires_grad_(False)
        if self.calibrate:
            calibrate_batch_norm(model, self.dataloader)
        train = self.features(self.dataloader)
        val = self.features(runner.val_loop.dataloader) if runner.val_loop else None
        if is_main_process():
            self.check_labels(train[1])
        else:
            train = val = None
        self.fit_head(model, train, val)
        self._done = 1
        if runner.val_loop:
            runner.val_loop.run()
        name = f"{self.protocol}.pth"
        runner.save_checkpoint(runner.work_dir, name, save_optimizer=False, save_param_scheduler=False, by_epoch=False)
        runner.logger.info(f"classifier written to {os.path.join(runner.work_dir, name)}")
        runner.call_hook("after_train")
        return runner.model

    def check_labels(self, labels: Tensor) -> None:
        """Warns of classes that cannot be learnt.

        Raises:
            ValueError: If no class can.
        """
        counts = torch.stack([(labels == 1).sum(0), (labels == 0).sum(0)]).T.tolist()
        names = (getattr(self.dataloader.dataset, "metainfo", None) or {}).get("classes") or range(len(counts))
        lacking = [
            f"{name} ({positives} positive, {negatives} negative, {len(labels) - positives - negatives} unknown)"
            for name, (positives, negatives) in zip(names, counts, strict=True)
            if not (positives and negatives)
        ]
        if lacking:
            text = f"both positives and negatives among the {len(labels)} training images: {', '.join(lacking)}"
            if len(lacking) == len(counts):
                raise ValueError(f"no class has {text}. Take others, or more")
            self.runner.logger.warning(f"these classes have no meaningful scores, for lack of {text}")

    def features(self, loader: DataLoader) -> Features:
        """Features (n, D) and labels (n, C) of a loader's images, on the CPU, in the data set's order.

        In all processes but the main one they are empty.
        """
        key = [self._key(loader) if self.cache is not None and is_main_process() else None]
        file = self.cache / f"{key[0]}.pth" if key[0] else None
        found = [bool(file and file.is_file())]
        broadcast_object_list(found)
        if found[0]:
            if not is_main_process():
                return torch.empty(0), torch.empty(0)
            self.runner.logger.info(f"features read from {file}")
            state = torch.load(file, map_location="cpu", weights_only=True)
            return state["features"], state["labels"]
        x, y = self._compute(loader)
        if file is not None:
            buffer = io.BytesIO()
            torch.save({"features": x, "labels": y}, buffer)
            write_whole(file, buffer.getbuffer())
            size = file.stat().st_size / 1e6
            self.runner.logger.info(f"features of {len(x)} images written to {file}, {size:.0f} MB")
        return x, y

    @torch.no_grad()
    def _compute(self, loader: DataLoader) -> Features:
        model = unwrap_model(self.runner)
        model.eval()
        rows = []
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            feats = model.extract_feat(data["inputs"])[-1].float().cpu()
            self.check_features(model, feats.shape[1])
            for sample, feature in zip(data["data_samples"], feats, strict=True):
                if "gt_score" not in sample:
                    raise ValueError(f"the data set of {type(self).__name__} must have labels (gt_score)")
                # a view would be pickled with the whole batch's storage
                rows.append((feature.clone(), sample.gt_score.float().cpu()))
            self.runner.call_hook("after_features_iter")
        rows = collect_results(rows, len(loader.dataset), "cpu")
        if rows is None:  # not the main process
            return torch.empty(0), torch.empty(0)
        return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])

    def _key(self, loader: DataLoader) -> str | None:
        """A digest of all that the features and labels depend on; None if that cannot be known."""
        role = "train" if loader is self.dataloader else "val"
        dataset, cfg = loader.dataset, (self.runner.cfg.get(f"{role}_dataloader") or {}).get("dataset")
        if not isinstance(dataset, BaseCXRDataset) or cfg is None or "pipeline" not in cfg:
            return None
        dataset.full_init()
        records, model = dataset.records, unwrap_model(self.runner)
        if records.labels is None:
            return None
        digest = hashlib.sha256()
        # with the same weights, strides or an activation make another network
        network = {key: value for key, value in self.runner.cfg.model.items() if key != "head"}
        plain = Config(dict(pipeline=cfg["pipeline"], network=network, drop_last=loader.drop_last))
        versions = (__version__, mmpretrain.__version__, torch.__version__)
        # a file that has been changed under its old name is another image
        folder = dataset.packed.folder if dataset.packed is not None else None
        files = sorted(folder.iterdir()) if folder else [dataset.root / path for path in records.path.tolist()]
        stamps = [(found.st_size, found.st_mtime_ns) for found in map(stat_of, files)]
        digest.update(repr((plain.pretty_text, versions, data_sha256(dataset), str(dataset.root), stamps)).encode())
        digest.update(records.labels.tobytes())
        for name, tensor in model.state_dict().items():
            if not name.startswith("head."):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]


def stat_of(file: Path) -> os.stat_result:
    """What the file system says of an image; of one inside an archive (MedMNIST's npz), of the archive."""
    try:
        return os.stat(file)
    except NotADirectoryError:
        return stat_of(file.parent)
