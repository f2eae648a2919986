"""What shields and siblings are told of the request behind one of ours, signed where there is a key."""

from edge.access.keys import KeyFile
from edge.access.passes import FIELD, write_pass
from edge.clock import Clock
from edge.origin.settings import FieldList, UpstreamRequest


class PassSigner:
    """For one member that is ours. Costs about 10 us a request with a key."""

    def __init__(self, clock: Clock, keys: KeyFile | None, *, sibling: bool) -> None:
        self._clock = clock
        self._keys = keys
        self._sibling = sibling

    def __repr__(self) -> str:
        return f"<PassSigner {self._keys} sibling={self._sibling}>"

    async def sign(self, request: UpstreamRequest, target: bytes, host: bytes) -> FieldList:
        """See `Signer`: a pass of its own for each sending."""
        key = None if self._keys is None else self._keys.signing(self._clock.monotonic())
        now, sibling = self._clock.wall(), self._sibling
        return ((FIELD, write_pass(request.context, request.method, target, key=key, now=now, sibling=sibling)),)
