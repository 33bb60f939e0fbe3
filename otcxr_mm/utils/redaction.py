"""What may leave this machine: one allow-list of settings, for all who pass them on, and messages without paths."""

import re
from collections.abc import Mapping


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SECTIONS = _words("""
    default_scope model data_preprocessor optim_wrapper param_scheduler auto_scale_lr randomness train_cfg val_cfg
    test_cfg train_dataloader val_dataloader test_dataloader val_evaluator test_evaluator default_hooks custom_hooks
""")
# arguments of data sets; any other may name a folder, a hospital or a patient, in words or by number
DATASET = _words("""
    type dataset datasets pipeline times split within split_by_hash fraction draw views ages sexes skip_missing
    max_broken test_mode size seed pairs share max_gap
""")
# arguments that hold configs of data sets
DATA = ("dataset", "datasets", "labels", "masks")
# arguments whose values are names of code
NAMES = ("type", "_scope_", "model_name", "attribute", "constructor")
# all other strings that are kept
CHOICES = _words("""
    mmpretrain mmseg otcxr_mm train val test train_val all PA AP LL LATERAL M F pytorch caffe t s b l h tiny small base
    large huge deit-t deit-s deit-b deit-tiny deit-small deit-base featmap cls_token avg_featmap raw bn ln same corner
    mean own both source none pooled tokens map flattened uniform visibility transport geometry index batch
    position cost value envelope unroll sqeuclidean cosine linear step shift factor sum nearest bilinear bicubic area
    horizontal vertical greater less resize_concat multiple_select float16 bfloat16 float32 dynamic
""")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)


def shareable(config: Mapping) -> dict:
    """The part of a config that says how something was trained, but not where, by whom or on whose images.

    Args:
        config: A whole config.

    Returns:
        The entries named in `SECTIONS`, as plain dicts and lists. They keep numbers, booleans, None, names of types,
        and strings in `CHOICES`; of data sets, only the arguments in `DATASET`. Everything else is left out.
    """
    config = config.to_dict() if hasattr(config, "to_dict") else config
    return _kept("", {key: config[key] for key in SECTIONS if key in config})


def _kept(key: str, value: object, in_dataset: bool = False) -> object:
    if isinstance(value, Mapping):
        return {
            name: _kept(name, entry, name in DATA or (in_dataset and name != "pipeline"))
            for name, entry in value.items()
            if _is_shareable(name, entry) and (not in_dataset or name in DATASET)
        }
    if isinstance(value, (list, tuple)):
        return [_kept(key, entry, in_dataset) for entry in value if _is_shareable(key, entry)]
    return value.__name__ if isinstance(value, type) else value


def _is_shareable(key: object, value: object) -> bool:
    if not isinstance(key, str) or not _IDENTIFIER.fullmatch(key):
        return False
    if isinstance(value, str):
        return value in CHOICES or (key in NAMES and _IDENTIFIER.fullmatch(value) is not None)
    return value is None or isinstance(value, (bool, int, float, type, Mapping, list, tuple))


# in this order: an address holds a path, and a path a file's name; unquoted, a space may be part of it
_SUFFIXES = r"\.(?:png|jpe?g|gif|bmp|webp|tiff?|dcm|dicom|npy|npz|nii(?:\.gz)?|csv|txt|py|pth|json|log)\b"
_ROOTED = r"(?<![\w/])(?:~|\.{1,2})?/"
_PLACES = {
    "[address]": r"\b[a-zA-Z][\w+.-]*://[^\s'\"<>]*",
    "[path]": rf"(['\"])[~.]{{0,2}}/[^'\"\n]*\1|{_ROOTED}[^'\"\n]*?{_SUFFIXES}|{_ROOTED}[^\s'\",;:()\[\]]+",
    "[file]": rf"[\w.\-]+(?:/[\w.\-]+)*{_SUFFIXES}",
}


def without_places(text: str) -> str:
    """A message without addresses, paths and names of files, which may name a user, a hospital or a patient."""
    for label, pattern in _PLACES.items():
        text = re.sub(pattern, label, text, flags=re.IGNORECASE)
    return text
