"""What runs on a GPU is right on a device that is not the CPU; there is none to be had here, so one is made up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_everything_is_the_same_on_another_device() -> None:
    script = Path(__file__).with_name("another_device.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["device"] == "away:0"
    assert all(found["equal"].values()), found["equal"]
    assert len(found["equal"]) == 10
    assert found["turned"]  # what is held against the CPU does something
    assert found["repeated"] > 0
    assert len(found["refused"]) == 2  # and the device can refuse
    assert found["waited"] <= 8
