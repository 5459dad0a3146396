"""A real server on this machine, in a process of its own: `transformers serve`."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers.utils.import_utils import is_serve_available

from hneurons.models.language_model import LanguageModel

MISSING = "transformers serve needs fastapi and uvicorn: pip install 'transformers[serving]'"
_START = "import sys; from transformers.cli.transformers import main; sys.argv[0] = 'transformers'; main()"


def can_serve() -> bool:
    """Whether what the server needs is installed."""
    return bool(is_serve_available())


def generation(model: LanguageModel, top_k: int) -> str:
    """What `transformers serve` must be told with every request: else it decodes greedily, and takes no top_k."""
    end = sorted(model.eos_ids)
    return json.dumps({"do_sample": True, "top_k": top_k, "eos_token_id": end, "pad_token_id": end[0]})


@contextmanager
def serving(model: LanguageModel, folder: Path, *, continuous: bool, blocks: int = 256) -> Iterator[tuple[str, str]]:
    """Address and name of a copy of `model` that is served until the block ends.

    Args:
        model: what is served; it is saved into `folder` first.
        folder: of the copy and of the server's log.
        continuous: whether requests are batched as they come; else they are answered one after another.
        blocks: of the cache, of 32 tokens each, where requests are batched.
    """
    copy = folder / "model"
    if not copy.exists():
        model.hf.save_pretrained(copy)
        model.tokenizer.save_pretrained(copy)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    batched = ["--continuous-batching", "--cb-block-size", "32", "--cb-num-blocks", str(blocks)] if continuous else []
    command = [sys.executable, "-c", _START, "serve", str(copy), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--device", "cpu", "--dtype", "float32", *batched]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        try:
            _wait(process, port, folder / "server.log")
            yield f"http://127.0.0.1:{port}/v1", str(copy)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                raise SystemExit(f"the server ended; its log is in {log}") from None
            time.sleep(0.2)
    raise SystemExit(f"the server does not answer; its log is in {log}")
