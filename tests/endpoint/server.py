"""A real OpenAI-compatible HTTP server on this machine, which answers, or misbehaves, by a script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def last(self) -> str:
        """The last turn of a chat."""
        return str(self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Act:
    """What the server does: a status with a body, cut in the middle, or only after `hang` seconds."""

    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hang: float = 0.0


def says(text: str | None, finish: str = "stop", plain: bool = False, prompt_tokens: int = 7, **message: Any) -> Act:
    """A good completion: `text` as a chat's turn, or as a plain completion."""
    said: dict[str, Any] = {"text": text} if plain else {"message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 3, "total_tokens": prompt_tokens + 3}
    choice = {"index": 0, "finish_reason": finish, **said}
    return Act(json.dumps({"id": "x", "object": "completion", "model": "m", "choices": [choice], "usage": usage}))


def fails(status: int, message: str = "no", code: str | None = None, **headers: str) -> Act:
    """An error; underscores in the names of headers become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Act(json.dumps({"error": {"message": message, "code": code}}), status, named)


Script = Callable[[Seen], Act]


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # connections that may knock at once


class Server:
    """Runs until it is closed. `script` answers every request; a sequence is worked off, its last act for ever."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: Script | Sequence[Act] = ()
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                owner.act(self, Seen(self.path, headers, body, time.monotonic()))

        self._http = _Http(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def act(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        with self._lock:
            place = len(self.seen)
            self.seen.append(seen)
        act = self.script(seen) if callable(self.script) else self.script[min(place, len(self.script) - 1)]
        time.sleep(act.hang)
        body = act.body.encode()
        try:
            handler.send_response(act.status)
            for name, value in {"Content-Type": "application/json", **act.headers}.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2] if act.cut else body)
            handler.close_connection = handler.close_connection or act.cut
        except (BrokenPipeError, ConnectionResetError):
            pass  # whoever asked has given up

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
