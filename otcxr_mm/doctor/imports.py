"""From what the probe saw when it imported packages to findings."""

from __future__ import annotations

import re

from .child import STEPS_OF_CONFIG, Probe
from .finding import Finding, error, note, ok, warning
from .installed import first, line_of
from .supported import REQUIRED, how_to_install, torchvision_of


def examine_imports(probe: Probe, packages: dict, needed: set) -> list:
    """All findings of this file.

    Args:
        probe: What the child process gave.
        packages: What is installed.
        needed: Optional modules that the config cannot do without.
    """
    findings, waiting, fine = [], {}, 0
    for step, result in probe.steps.items():
        if step in STEPS_OF_CONFIG:  # experiment.py tells of them
            continue
        if "died" in result:
            findings.append(_died(step, result, packages))
        elif result.get("skipped"):
            waiting.setdefault(result["skipped"], []).append(step)
        elif not result.get("ok"):
            must = step in REQUIRED or step in needed or step in ("otcxr_mm", "torch facts", "registry")
            findings.append(explain(step, result["error"], packages, must))
        else:
            fine += 1
    slow = max((r.get("seconds", 0) for r in probe.steps.values()), default=0)
    findings.append(ok("imports", f"{fine} steps went well in {probe.seconds:.1f} s, the longest took {slow:.1f} s"))
    missing = [m for steps in waiting.values() for m in steps]
    if missing:
        findings.append(note("imports", f"not looked at, because of the errors: {', '.join(missing)}"))
    facts = probe.good("torch facts")
    if facts and facts["numpy"] and not _known(packages):
        findings.append(
            error(
                "numpy-torch",
                f"torch cannot hand arrays to NumPy: {facts['numpy']}",
                'pip install "numpy<2" for a torch older than 2.3, else install torch again',
            )
        )
    return findings + _registry(probe)


def _known(packages: dict) -> bool:
    from .packages import torch_pair

    return any(f.code == "numpy-torch" for f in torch_pair(packages))


def _died(step: str, result: dict, packages: dict) -> Finding:
    where = f", at {result['frame']}" if result["frame"] else ""
    what = f"importing {step}" if step not in ("start", "torch facts", "registry") else step
    dist = first(packages, step)
    again = f"install it again: pip install --force-reinstall --no-deps {dist.name}=={dist.version}" if dist else ""
    if result.get("hung"):
        return error(
            "import-hangs",
            f"{what} had not ended after {result['timeout']:.0f} s{where}",
            f"look at the line named: a network folder, a lock of another process, or a start of a device; {again}"
            if again
            else "look at the line named: a network folder, a lock of another process, or a start of a device",
        )
    tail = f" ({result['tail']})" if result["tail"] and not result["died"].startswith("SIG") else ""
    return error(
        "import-crashed",
        f"{what} ended the process with {result['died']}{tail}{where}",
        (again or "install the package named again") + "; SIGILL: a wheel for newer processors; SIGKILL: out of memory",
    )


def told(problem: dict) -> str:
    """An exception in one line: type, message, frame."""
    text = re.sub(r"\s+", " ", problem["message"]).strip()
    short = text if len(text) <= 400 else text[:200].rpartition(" ")[0] + " ... " + text[-200:].partition(" ")[2]
    return f"{problem['type']}: {short}" + (f" [{problem['frame']}]" if problem.get("frame") else "")


def explain(step: str, problem: dict, packages: dict, must: bool = True) -> Finding:
    """A finding for an import that failed.

    Args:
        step: Import name.
        problem: The exception, as :func:`otcxr_mm.doctor.probe.describe` gives it.
        packages: What is installed.
        must: Whether nothing goes without it; else it is a warning.
    """
    make = error if must else warning
    everything = " ".join([problem["message"], *(c["message"] for c in problem.get("causes", ()))])
    line, dist = line_of(packages), first(packages, step)
    torch = packages["torch"][0].version if "torch" in packages else ""
    again = f"pip install --force-reinstall --no-deps {dist.name}=={dist.version}" if dist else ""
    if "torchvision::" in everything and "does not exist" in everything or "custom C++ ops" in everything:
        return make(
            "torchvision-ops",
            f"importing {step} fails, as torchvision's compiled part does not fit torch {torch}: {told(problem)}",
            "a CPU build beside a CUDA build, or another release: install both from one index, pip install "
            f"--force-reinstall --no-deps torch=={torch} torchvision=={torchvision_of(torch)}.*",
        )
    if "compiled with different CUDA" in everything:
        return make(
            "torchvision-build",
            told(problem),
            "install both in one command, from one index: pip install --force-reinstall torch torchvision",
        )
    library = re.search(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", everything)
    if library and step != "numpy":
        cv2 = step == "cv2" or "libGL" in library.group(1)
        return make(
            "missing-library",
            f"importing {step} fails for want of the system library {library.group(1)}: {told(problem)}",
            "pip uninstall -y opencv-python opencv-contrib-python && pip install --force-reinstall "
            "opencv-python-headless, which needs no display"
            if cv2
            else f"install the system package that holds {library.group(1)}, or install again: {again or step}",
        )
    if step == "numpy" or "numpy.core.multiarray" in everything or "numpy.dtype size changed" in everything:
        return make(
            "numpy-broken",
            f"importing {step} fails: {told(problem)}",
            f"{again}; a module that says this beside a working NumPy was compiled for another NumPy: install that "
            "module again"
            if step == "numpy"
            else f"{step} was compiled for another NumPy: pip install --force-reinstall --no-deps numpy and {step}",
        )
    # gone from setuptools 82, gone from Python 3.12 but for setuptools, and setuptools older than Python 3.12
    if problem.get("missing") in ("pkg_resources", "distutils") or "ImpImporter" in everything:
        return make("pkg-resources", f"importing {step} fails: {told(problem)}", 'pip install "setuptools>=77,<82"')
    if step == "mmseg" and "mmsegmentation" in packages and "MMCV" in everything:
        return make(
            "mmseg-mmcv",
            f"importing mmseg fails: {told(problem)}",
            f"pip uninstall -y mmsegmentation, and take {how_to_install('mmseg', 'upstream')}",
        )
    if step == "mmseg" and "mmseg" in packages:
        return make(
            "mmseg-tokeniser",
            f"the module mmseg is a Chinese tokeniser, not MMSegmentation: {told(problem)}",
            f"pip uninstall -y mmseg; {how_to_install('mmseg', line)}",
        )
    missing = (problem.get("missing") or "").split(".")[0]
    if missing and missing != step:
        way = how_to_install(missing, line, torch)
    else:
        way = again or how_to_install(step, line, torch)
    return make("import-failed", f"importing {step} fails: {told(problem)}", way)


def _registry(probe: Probe) -> list:
    found = probe.good("registry")
    if found is None:
        return []
    failures = found["failures"]
    if not failures:
        return [ok("registry", f"{found['count']} names of otcxr_mm and MMPretrain resolve")]
    name, problem = next(iter(failures.items()))
    more = f" (and {len(failures) - 1} more: {', '.join(list(failures)[1:6])})" if len(failures) > 1 else ""
    return [
        error(
            "registry",
            f"{name} does not resolve{more}: {told(problem)}",
            "the exception names the module at fault: look at the other errors first, then install that module again",
        )
    ]
