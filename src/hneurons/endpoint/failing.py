"""How a request ends without a completion: for good, or for now."""

from __future__ import annotations

from dataclasses import dataclass

REFUSED = "refused as a bad request"


@dataclass(frozen=True)
class Failure:
    """Why there is no answer: a reason to count by, and what the server said."""

    reason: str
    detail: str = ""

    @property
    def refused(self) -> bool:
        """Whether the server says that the request itself is wrong."""
        return self.reason.startswith(REFUSED)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class Failed(Exception):  # noqa: N818 - never leaves the package
    """One request has failed for good; the others go on."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.failure = Failure(reason, detail)


class Refused(Failed):
    """The server says that the request itself is wrong."""


class Again(Failed):
    """It may work later: after `wait` seconds, where the server says so.

    `everyone` waits for a rate limit; a `busy` server gets fewer requests at a time.
    """

    def __init__(
        self, reason: str, detail: str = "", wait: float | None = None, *, everyone: bool = False, busy: bool = False
    ) -> None:
        super().__init__(reason, detail)
        self.wait = wait
        self.everyone = everyone
        self.busy = busy
