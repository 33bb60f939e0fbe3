"""A run of a queue."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        config: Name of a file in configs/, without suffix.
        start: Name of another one, merged over it: what the training starts from.
        data: Name of another one, merged over both: what it trains on.
        options: Keys of the config that differ, as in --cfg-options.
        epochs: Epochs of training; 0: the untrained network.
        seed: Seed of initialisation, order and augmentation.
        test: Whether test patients are read.
    """

    config: str
    options: dict = field(default_factory=dict)
    epochs: int = 6
    seed: int = 0
    test: bool = False
    start: str = ""
    data: str = ""

    @property
    def stages(self) -> tuple[int, int]:
        """The stages of the backbone that are evaluated, strides 16 and 32."""
        return (4, 7) if self.start == "imagenet" else (2, 3)

    @property
    def sizes(self) -> tuple[int, int]:
        """Side of a viewpoint, and shorter side of the packed images, in pixels."""
        return (224, 256) if self.start == "resnet50" else (96, 160)


def over_seeds(methods: dict[str, Run]) -> dict[str, Run]:
    """Runs of each method with the seeds 1, 2 and 3, on test patients."""
    seeds = (1, 2, 3)
    return {f"{name}_seed{s}": replace(run, seed=s, test=True) for s in seeds for name, run in methods.items()}
