"""Two hosts, as network namespaces joined by a cable, against two processes on one host."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_image

pytestmark = pytest.mark.xdist_group("distributed")
HOSTS = {"otcxr0": "10.77.0.1", "otcxr1": "10.77.0.2"}
RUN = ["-m", "otcxr_mm", "train", "tests/tiny.py", "--launcher", "pytorch"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    """Two network namespaces that see nothing but each other."""
    if shutil.which("ip") is None or os.geteuid():
        pytest.skip("needs root and iproute2")
    with ExitStack() as stack:
        try:
            for host in HOSTS:
                ip("netns", "add", host)
                stack.callback(ip, "netns", "del", host)
            first, second = HOSTS
            ip("link", "add", "cable", "netns", first, "type", "veth", "peer", "name", "cable", "netns", second)
            for host, address in HOSTS.items():
                ip("-n", host, "address", "add", f"{address}/24", "dev", "cable")
                ip("-n", host, "link", "set", "cable", "up")
                ip("-n", host, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr}")
        yield list(HOSTS)


@contextmanager
def started(command, folder, **variables):
    """Starts a process on made images, and kills it at the end."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TINY_DATA": str(folder / "images"), **variables}
    options = ["--work-dir", folder / Path(command[0]).name, "--cfg-options", "train_cfg.max_epochs=1"]
    command = list(map(str, [*command, *RUN, *options]))
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as it:
        try:
            yield it
        finally:
            it.kill()


def losses(process):
    """What a process has logged, when it has ended well."""
    output = process.communicate(timeout=500)[0]
    assert process.returncode == 0, output[-3000:]
    return re.findall(r" loss: ([\d.]+)", output)


def test_two_hosts_equal_two_processes_on_one(tmp_path, hosts):
    for i in range(8):
        write_image(tmp_path / "images" / f"{i}.png", (40, 40), 20 * i)
    meeting = ["--nnodes=2", "--nproc_per_node=1", f"--master_addr={HOSTS[hosts[0]]}", "--master_port=29500"]
    with ExitStack() as stack:
        both = []
        for rank, host in enumerate(hosts):
            command = ["ip", "netns", "exec", host, *TORCHRUN, *meeting, f"--node_rank={rank}"]
            both.append(stack.enter_context(started(command, tmp_path, GLOO_SOCKET_IFNAME="cable")))
        found = [losses(process) for process in both]
    with started([*TORCHRUN, "--standalone", "--nproc_per_node=2"], tmp_path) as alone:
        expected = losses(alone)
    assert len(expected) == 1
    assert found == [expected, []]  # process 0 logs
