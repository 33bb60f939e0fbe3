"""Builds networks and pipelines from settings of unknown origin, without running code that they name."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from mmengine import registry as root
from mmengine.registry import Registry

# where a name may come from; another package registers its parts when its user imports it
SCOPES = ("mmengine", "mmcv", "mmpretrain", "mmseg", "otcxr_mm")
# arguments whose values MMEngine, MMPretrain or timm look up by name
_NAMES = ("type", "norm_layer")
# arguments that fetch or read weights: these come from the checkpoint
_WEIGHTS = ("init_cfg", "pretrained", "checkpoint_path")


def build_untrusted(settings: Mapping, registry: Registry, scope: str | None, source: object) -> object:
    """Builds a part from the settings of a checkpoint.

    MMEngine imports any module that a type names, such as ``'os.system'``, and calls what it finds there. Here, a type
    must be registered already, by OpenMMLab's libraries, this package, or a module that the caller has imported.
    Arguments that would load weights are dropped.

    Args:
        settings: With `type`, of plain containers.
        registry: Of this package, such as `otcxr_mm.registry.MODELS`.
        scope: The run's `default_scope`.
        source: File of the settings, which errors name.

    Raises:
        ValueError: If a type is not registered, or a scope or timm model comes from somewhere else.
    """
    scope = scope or "mmpretrain"
    if scope not in SCOPES:
        raise ValueError(f"{source}: default_scope={scope!r} is not one of {', '.join(SCOPES)}")
    settings = _without_weights(settings)
    if "type" not in settings:
        raise ValueError(f"{source}: its settings name no type: {str(settings)[:80]}")
    registry.import_from_location()
    for key, name in _named(settings):
        if key == "_scope_" or ":" in name or not _is_registered(name, scope):
            raise ValueError(
                f"{source}: {key}={name!r} is not a part of OpenMMLab's libraries or otcxr_mm, so it is not built. If "
                "it is yours, import the module that registers it first"
            )
    return registry.build({**settings, "_scope_": scope})


def _without_weights(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_weights(entry) for key, entry in value.items() if key not in _WEIGHTS}
    return type(value)(map(_without_weights, value)) if isinstance(value, (list, tuple)) else value


def _named(value: object) -> Iterator[tuple[str, str]]:
    """Keys and names of all parts inside settings; also scopes and addresses of timm models, to be refused."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            address = key == "model_name" and isinstance(entry, str) and ":" in entry
            if (key in _NAMES and isinstance(entry, str)) or key == "_scope_" or address:
                yield key, str(entry)
            else:
                yield from _named(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _named(entry)


def _is_registered(name: str, scope: str) -> bool:
    """Whether a registry of MMEngine or below knows a name, with or without a scope, or as the path of a class."""
    own, _, bare = name.rpartition(".")
    for known in {own, scope} & set(SCOPES):
        try:
            import_module("mmcv.cnn" if known == "mmcv" else f"{known}.registry")
        except ImportError:
            return False
    for kind in {entry for entry in vars(root).values() if isinstance(entry, Registry)}:
        children = [kind, *kind.children.values()]
        for child in children if own not in SCOPES else [c for c in children if c.scope == own]:
            child.import_from_location()
            found = child.module_dict.get(bare if own in SCOPES else name) or child.module_dict.get(bare)
            if found is not None and (own in ("", *SCOPES) or f"{found.__module__}.{found.__qualname__}" == name):
                return True
    return False
