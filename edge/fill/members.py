"""Whom a flight asks: the members that may bring its object, in the order in which they are asked."""

from edge.origin.breaker import State
from edge.origin.client import OriginClient


class Members:
    """Of one flight. `giver`: who gave its head, since another one may have another version."""

    def __init__(self, clients: list[OriginClient]) -> None:
        self.clients = clients  # the one that has answered last first
        self.giver: OriginClient | None = None

    def __repr__(self) -> str:
        return f"<Members {[client.member for client in self.clients]}>"

    @property
    def first(self) -> OriginClient:
        """The one that the object is asked of."""
        return self.clients[0]

    def prefer(self, client: OriginClient) -> None:
        """It has answered: what follows is asked of it."""
        if self.clients[0] is not client and client in self.clients:
            self.clients.remove(client)
            self.clients.insert(0, client)

    def go_on(self) -> None:
        """The first one has failed: the next one is asked, if there is one."""
        self.clients.append(self.clients.pop(0))

    def pass_over(self, broken: OriginClient) -> bool:
        """A body of this member has broken: is another one there, that serves as far as anybody knows? It is next."""
        for number, client in enumerate(self.clients):
            if client is not broken and client.breaker.state is State.CLOSED:
                self.clients = self.clients[number:] + self.clients[:number]
                return True
        return False

    def leave_out(self, client: OriginClient) -> None:
        """It has another version of what one has begun: it is asked no more, if there are others."""
        if client in self.clients and len(self.clients) > 1:
            self.clients.remove(client)

    def leave_to_trials(self) -> None:
        """What is asked in pieces tries no member that may be back, if another one serves."""
        serving = next((one for one in self.clients if one.breaker.state is State.CLOSED), None)
        if serving is not None and self.first.breaker.state is not State.CLOSED:
            self.prefer(serving)
