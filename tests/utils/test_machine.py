"""Memory that is left, and folders that can be written to."""

import os

import pytest

from otcxr_mm.utils.machine import available_memory, cannot_write, private_memory, size_text

GIB = 2**30
UNLIMITED = {1: 9223372036854771712, 2: "max"}


def left(folder, groups, cgroup):
    """Available memory of a machine of 64 GiB with control groups: folder to (limit, used, inactive cache)."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {64 * 2**20} kB\n")
    (folder / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, (limit, used, cache) in groups.items():
        group = folder / "cgroup" / name
        group.mkdir(parents=True, exist_ok=True)
        first = name.startswith("memory")
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(f"{limit}\n")
        (group / ("memory.usage_in_bytes" if first else "memory.current")).write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 5\n{'total_' if first else ''}inactive_file {cache}\n")
    return available_memory(str(folder / "proc"), str(folder / "cgroup"))


V1 = "12:cpu,cpuacct:/x\n4:foo,memory:{}\n0::/other\n"


@pytest.mark.parametrize(("version", "cgroup", "top"), [(2, "0::{}\n", ""), (1, V1, "memory/")])
def test_limits_of_control_groups(tmp_path, version, cgroup, top):
    groups = {f"{top}a/b": (UNLIMITED[version], GIB, 0)}
    assert left(tmp_path / "none", groups, cgroup.format("/a/b")) == 64 * GIB
    # a container that has read many images: what it has read is not taken
    groups = {f"{top}a/b": (8 * GIB, 8 * GIB, 6 * GIB)}
    assert left(tmp_path / "cache", groups, cgroup.format("/a/b")) == 6 * GIB
    # the job above it leaves less
    groups[f"{top}a"] = (16 * GIB, 15 * GIB, 0)
    assert left(tmp_path / "job", groups, cgroup.format("/a/b")) == GIB
    # in a container the path of outside does not exist, and the root is its own group
    groups = {top or ".": (4 * GIB, GIB, 0)}
    assert left(tmp_path / "docker", groups, cgroup.format("/docker/0123")) == 3 * GIB
    assert left(tmp_path / "namespace", groups, cgroup.format("/../x")) == 3 * GIB
    assert left(tmp_path / "over", {f"{top}a": (GIB, 2 * GIB, 0)}, cgroup.format("/a")) == 0


def test_what_is_not_known(tmp_path):
    assert available_memory(str(tmp_path), str(tmp_path)) is None
    assert private_memory(str(tmp_path)) == 0 < private_memory("/proc/self")


def test_a_folder_that_cannot_be_written_to(tmp_path):
    assert cannot_write(tmp_path / "a" / "b") == ""
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    assert cannot_write(tmp_path / "file" / "runs") == f"{tmp_path}/file: Not a directory"
    assert cannot_write("/proc/runs").startswith("/proc: ")


def test_sizes():
    assert [size_text(n) for n in (12, 39.6 * 2**20, 3000 * GIB)] == ["12 B", "39.6 MiB", "2.9 TiB"]
