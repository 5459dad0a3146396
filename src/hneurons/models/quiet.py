"""Notes of quantization libraries that say nothing to whoever loads a model; dropped, word by word, and no others.

transformers imports torchao wherever it is installed, which then tells of kernels for other machines. bitsandbytes
tells at every projection of every pass that LLM.int8() casts its input; the documentation says that once.
"""

from __future__ import annotations

import logging

_NOTES = {
    "torchao": "Failed to load ",
    "torch.utils._pytree": "%s is an Enum subclass and is now natively supported",
    "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward",
    "bitsandbytes.autograd._functions": "MatMul8bitLt: inputs will be cast",
}
"""By logger, how the note begins."""


def be_quiet() -> None:
    """Drop the notes, from now on; they come while the libraries are imported, so that this has to come before."""
    for name, start in _NOTES.items():
        logging.getLogger(name).addFilter(_Dropped(start))


class _Dropped(logging.Filter):
    def __init__(self, start: str) -> None:
        super().__init__()
        self._start = start

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(self._start)
