"""A model whose layers lie on several devices gives the numbers that it gives on one; the devices are made up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def differing(*arguments: str) -> dict[str, dict[str, str]]:
    script, root = Path(__file__).with_name("several_devices.py"), Path(__file__).parents[2]
    command = [sys.executable, str(script), *arguments]
    code = f"import runpy, sys; sys.path.insert(0, {str(root)!r}); sys.argv = {command[1:]!r}; "
    code += f"runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_everything_is_the_same_on_several_devices() -> None:
    families = ["llama", "gemma2", "gpt2", "opt"]
    assert differing(*families) == {family: {} for family in families}


@pytest.mark.slow
def test_tensors_that_lie_apart_would_show() -> None:
    """Columns of logits that accelerate moves to the first device do not index what the last layer puts out."""
    found = differing("--unmended", "llama")["llama"]
    assert {"recording", "lens", "P(True)"} <= set(found)
    assert "tensors on ['madeup:0', 'madeup:2']" in found["recording"]
