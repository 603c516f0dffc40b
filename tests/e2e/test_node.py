"""The official client for JavaScript: every tests/e2e/node/*.test.js in Node's own test runner, against the shared server.

tools/setup puts the client and its Node, as pinned by node/package-lock.json, into the cache; the tests are copied beside it for
each run, since modules of ECMAScript are looked for from where a file lies.
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import CHAT, EMBED

TESTS = Path(__file__).parent / "node"
PACKAGES = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ipfs-accelerate/node-e2e/node_modules"
NODE = next(PACKAGES.glob("node-*/bin/node"), None)
FILES = sorted(path.name for path in TESTS.glob("*.test.js"))
FILE_SECONDS_MAX = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if NODE is None:
        pytest.fail(f"no Node in {PACKAGES}: try tools/setup test")
    folder = shutil.copytree(TESTS, tmp_path_factory.mktemp("node") / "tests")
    (folder / "node_modules").symlink_to(PACKAGES)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_node(server, folder, name):
    environment = {"PATH": os.environ["PATH"], "OPENAI_BASE_URL": server.url + "/v1", "OPENAI_API_KEY": "unused", "CHAT_MODEL": CHAT, "EMBED_MODEL": EMBED}
    done = subprocess.run([NODE, "--test", "--test-reporter=tap", name], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=FILE_SECONDS_MAX)
    assert done.returncode == 0, done.stdout
    counts = {kind: int(number) for kind, number in re.findall(r"^# (tests|pass) (\d+)$", done.stdout, flags=re.M)}
    assert counts["pass"] == counts["tests"] >= (TESTS / name).read_text().count("\ntest("), done.stdout


def test_every_file_is_run():
    assert len(FILES) >= 8
