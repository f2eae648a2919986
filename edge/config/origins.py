"""The sections about where bytes come from: the origin, its members, and who may ask us as one."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edge.config.values import (
    Authority,
    HostName,
    Label,
    Listens,
    Network,
    ProbePath,
    Section,
    Size,
    SocketsSection,
    Url,
    Wait,
)
from edge.origin.group import MemberRole, Selection
from edge.words import ORIGIN


class OriginSection(Section):
    """Where misses are fetched: an origin or a shield."""

    url: Url = Field("", description="http://host[:port][/base/path] or https://...")
    host: Authority | None = Field(None, description="Host to send; the URL's own unless set")
    server_name: HostName | None = Field(None, description="name in the TLS handshake; the URL's own unless set")
    ca_file: str | None = Field(None, min_length=1, description="PEM of the CA that signed the certificate")
    verify: bool = Field(True, description="check the origin's certificate")
    client_cert: str | None = Field(None, min_length=1, description="PEM that shows an origin who asks")
    client_key: str | None = Field(None, min_length=1, description="PEM of its private key")
    s3_region: Label | None = Field(
        None, description="of an S3-compatible origin: requests are signed (SigV4); needs the extra s3"
    )
    s3_credentials: str | None = Field(
        None, min_length=1, description="file as AWS tools have it; unless set, AWS_ACCESS_KEY_ID and so on"
    )
    s3_profile: Label = Field("default", description="section of that file; it is read again when it has changed")
    probe: ProbePath | None = Field(
        None, description="asked for now and then, after the URL's path; two that fail or get 5xx: asked after others"
    )
    probe_interval: Wait = Field(5.0, description="between two of them")
    keys_file: str | None = Field(
        None, min_length=1, description="[admission] of shields and siblings; the first key in it signs our requests"
    )
    connect_timeout: Wait = Field(3.0, description="how long one connection may take, TLS included")
    first_byte_timeout: Wait = Field(8.0, description="from a request to its answer's head, each try")
    total_first_byte: Wait = Field(9.5, description="the same over all tries: players give up at 10 s")
    stall_timeout: Wait = Field(5.0, description="silence in a body after which it is resumed")
    retries: int = Field(2, ge=0, le=10, description="further tries, 100-400 ms apart")
    resume_max: int = Field(3, ge=0, le=20, description="broken bodies in a row without 64 KiB of progress")
    max_connections: int = Field(
        384,
        ge=1,
        le=10_000,
        description="connections to each member from each volume; pieces of bodies take three quarters",
    )
    queue: int = Field(1024, ge=0, le=100_000, description="requests that may wait for a connection ...")
    queue_timeout: Wait = Field(2.0, description="... for so long")
    keepalive: Wait = Field(75.0, description="how long an idle connection is kept; less than the origin keeps it")
    far: Wait = Field(0.02, description="round trip from which on bodies come over several connections at once")
    parallel_max: int = Field(96, ge=1, le=128, description="so many of them for one body; 1 = never more")
    warm: int = Field(32, ge=0, le=1000, description="connections kept open ahead while a far origin is in use")
    selection: Annotated[Selection, Field(strict=False)] = Field(
        Selection.RENDEZVOUS,
        description="which of several [[upstream]] is asked: rendezvous (by object), primary-backup, least-latency",
    )
    sibling_hits: int = Field(
        3, ge=1, le=1_000_000, description="what a sibling keeps is kept here too from so many requests on ..."
    )
    sibling_window: Wait = Field(60.0, description="... within so long")
    hedge: bool = Field(
        True, description="a first byte later than 95 % of them is asked for twice, for at most 5 % of the requests"
    )
    fallback: bool = Field(True, description="false: where there are shields, origins are never asked instead")
    read_ahead: Size = Field(
        64 * 2**20, description="fetched before a player that reads a far film in ranges; 0 = none"
    )
    congestion_control: Label | None = Field(
        None, description="how these connections send; unless set, as the kernel does"
    )
    receive_buffer: Size = Field(0, description="bytes; 0 = the kernel's own, which grows with the path")
    send_buffer: Size = Field(0, description="the same towards the origin")
    notsent_lowat: Size = Field(0, description="unsent bytes that the kernel takes ahead; 0 = its own choice")
    max_pacing_rate: Size = Field(0, description="bytes a second that a connection sends at most; 0 = no bound")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if self.client_key and not self.client_cert:
            raise ValueError("client_key needs client_cert beside it")
        return self


class UpstreamSection(SocketsSection):
    """One of several servers that misses are fetched from: the sibling that has the object, then shields, then origins.
    Those of one group make one upstream, and sites choose theirs by its name. With any in group origin, url, host and
    server_name of [origin] are not used; all else there is for each of them that does not say otherwise: a private CA
    and our certificate for shields, ca_file = "" and client_cert = "" for an origin that everybody knows.
    """

    url: Url = Field(min_length=1, description="http://host[:port][/base/path] or https://...")
    role: Annotated[MemberRole, Field(strict=False)] = Field(
        MemberRole.ORIGIN,
        description="sibling: keeps a share of the objects of one data centre; shield: asked before any origin; origin",
    )
    group: Label = Field(ORIGIN, description="the upstream that it is a member of, see upstream in [[site]]")
    weight: float = Field(1.0, gt=0, le=1000, description="its share of the objects beside others of its role")
    host: Authority | None = Field(None, description="Host to send; the URL's own unless set")
    server_name: HostName | None = Field(None, description="name in the TLS handshake; the URL's own unless set")
    ca_file: str | None = Field(None, description='PEM of its CA; unless set, that of [origin]; "" = the system\'s CAs')
    verify: bool | None = Field(None, description="check its certificate; unless set, as [origin] says")
    client_cert: str | None = Field(
        None, description='PEM that shows it who asks; unless set, that of [origin] with its key; "" = none'
    )
    client_key: str | None = Field(None, min_length=1, description="PEM of that certificate's private key")
    probe: ProbePath | None = Field(None, description="see [origin]")
    s3_region: Label | None = Field(None, description="see [origin]")
    s3_credentials: str | None = Field(None, min_length=1, description="unless set, those of [origin]")
    s3_profile: Label | None = Field(None, description="unless set, that of [origin]")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if self.client_key and not self.client_cert:
            raise ValueError("client_key needs client_cert beside it")
        return self

    @model_validator(mode="after")
    def _signed_as_its_role_is(self) -> Self:
        if self.role is not MemberRole.ORIGIN and (self.s3_region or self.s3_credentials or self.s3_profile):
            raise ValueError(f"a {self.role.value} is shown a pass: only requests to origins are signed for S3")
        return self


class GroupSection(Section):
    """What holds for the members of one group of [[upstream]] instead of what [origin] says; all but name may be left
    out, and so may the whole table.
    """

    name: Label = Field(description="the group")
    selection: Annotated[Selection, Field(strict=False)] | None = Field(
        None, description="rendezvous (by object), primary-backup or least-latency"
    )
    fallback: bool | None = Field(None, description="false: where there are shields, origins are never asked instead")
    probe: ProbePath | None = Field(None, description="asked for now and then, after each member's own path")
    probe_interval: Wait | None = Field(None, description="between two of them")
    connect_timeout: Wait | None = Field(None, description="how long one connection may take, TLS included")
    first_byte_timeout: Wait | None = Field(None, description="from a request to its answer's head, each try")
    total_first_byte: Wait | None = Field(None, description="the same over all tries")
    stall_timeout: Wait | None = Field(None, description="silence in a body after which it is resumed")
    retries: int | None = Field(None, ge=0, le=10, description="further tries")
    resume_max: int | None = Field(None, ge=0, le=20, description="broken bodies in a row without 64 KiB of progress")
    max_connections: int | None = Field(
        None, ge=1, le=10_000, description="connections to each member from each volume"
    )
    queue: int | None = Field(None, ge=0, le=100_000, description="requests that may wait for one ...")
    queue_timeout: Wait | None = Field(None, description="... for so long")
    keepalive: Wait | None = Field(None, description="how long an idle connection is kept")
    far: Wait | None = Field(None, description="round trip from which on bodies come over several connections at once")
    parallel_max: int | None = Field(None, ge=1, le=128, description="so many of them for one body; 1 = never more")
    warm: int | None = Field(None, ge=0, le=1000, description="connections kept open ahead of each member in use")
    hedge: bool | None = Field(None, description="a late first byte may be asked for twice")


class AdmissionSection(Section):
    """Who may ask a shield or a sibling: edges that show that they are ours; others get 403. Off, unless it says how:
    by a signed pass (keys_file), an address (networks) or a client certificate (client_ca).
    """

    keys_file: str | None = Field(
        None,
        min_length=1,
        description='a file of lines "ID SECRET", the secret at least 32 characters; all are accepted',
    )
    networks: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        (), description='addresses of edges, "10.1.0.0/16"; behind a proxy this would be the proxy\'s'
    )
    client_ca: str | None = Field(None, min_length=1, description="PEM of the CA that signs the edges' certificates")
    client_names: Annotated[tuple[HostName, ...], Field(strict=False)] = Field(
        (), description="names that such a certificate may have; unless set, any"
    )
    require: Literal["any", "all"] = Field("any", description="one of these proofs, or all that are named here")
    listen: Listens = Field(
        (), description="only at these addresses, as [server] has them in listen or listen_plain; unless set, at all"
    )
    sites: Annotated[tuple[Label, ...], Field(strict=False)] = Field(
        (), description="only for these sites; unless set, for all"
    )
    skew: Wait = Field(60.0, description="by how much clocks may differ; a pass is good for as long")
    nonces: int = Field(
        100_000, ge=1000, le=10_000_000, description="passes that are remembered, so that none serves twice"
    )

    @property
    def on(self) -> bool:
        return bool(self.keys_file or self.networks or self.client_ca)
