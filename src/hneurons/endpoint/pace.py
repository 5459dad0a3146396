"""How many requests are under way at a time: as many as are allowed, fewer while the server is busy."""

from __future__ import annotations

import asyncio
from collections import deque


class Pace:
    """Half as many at a time whenever the server says that it is busy, and one more for every round that it is not.

    Attributes:
        most: requests at a time, at most.
        limit: requests at a time now; whole ones count.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self._sent = self._cut = self._flying = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> int:
        """Wait for a place; the number of the request is what `busy` wants to know."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._wake()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # it was given just now
            raise
        self._sent += 1
        return self._sent

    def leave(self) -> None:
        """A request has come back, whatever it brought."""
        self._flying -= 1
        self._wake()

    def fine(self) -> None:
        """The server has answered."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)

    def busy(self, number: int) -> None:
        """The server has not answered request `number` because it is busy; requests of one round count once."""
        if number > self._cut:
            self.limit = max(1.0, self.limit / 2)
            self._cut = self._sent

    def _wake(self) -> None:
        while self._waiting and self._flying < int(self.limit):
            place = self._waiting.popleft()
            if not place.done():
                self._flying += 1
                place.set_result(None)
