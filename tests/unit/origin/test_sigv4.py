"""Signatures for S3-compatible origins: where credentials come from, and what one signature serves for."""

import asyncio
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.errors import ConfigError
from edge.origin.settings import UpstreamRequest
from edge.origin.sigv4 import LOOK_SECONDS, REUSED_SECONDS, S3Settings, S3Signer, read_credentials

FILE = (
    "[default]\naws_access_key_id = AKIAONE\naws_secret_access_key = s1\n"
    "[films]\naws_access_key_id = AKIATWO\naws_secret_access_key = s2\naws_session_token = t2\n"
)
GET = UpstreamRequest(b"GET", b"/a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(FILE)
    return path


def signer(file: Path, clock: FakeClock, profile: str = "default") -> S3Signer:
    return S3Signer(S3Settings("eu-north-1", file, profile), clock, secure=False)


async def signed(by: S3Signer, target: bytes = b"/a", method: bytes = b"GET") -> dict[str, str]:
    fields = await by.sign(UpstreamRequest(method, target), target, b"bucket.s3.example")
    return {name.decode().lower(): value.decode() for name, value in fields}


def test_credentials_come_from_a_section_of_a_file_or_from_the_environment(file: Path) -> None:
    two = read_credentials(S3Settings("r", file, "films"), {})
    assert (two.key_id, two.secret, two.token) == ("AKIATWO", "s2", "t2")
    assert read_credentials(S3Settings("r", file), {}).token is None
    environ = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "s3", "AWS_SESSION_TOKEN": "t3"}
    env = read_credentials(S3Settings("r"), environ)
    assert (env.key_id, env.secret, env.token) == ("AKIAENV", "s3", "t3")
    assert "s3" not in repr(env)


@pytest.mark.parametrize(
    "text", ["", "[other]\n", "[default]\naws_access_key_id = A\n", "aws_secret_access_key = hush"]
)
def test_credentials_that_do_not_serve_are_refused_without_telling_secrets(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_credentials(S3Settings("r", path), {})
    assert "hush" not in str(caught.value)
    for nowhere in (S3Settings("r", tmp_path / "none"), S3Settings("r")):
        with pytest.raises(ConfigError):
            read_credentials(nowhere, {})


async def test_a_signature_names_key_region_and_what_it_signs_but_no_range(file: Path) -> None:
    said = await signed(signer(file, FakeClock(), "films"))
    assert said["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATWO/")
    assert "/eu-north-1/s3/aws4_request" in said["authorization"]
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token" in said["authorization"]
    assert said["x-amz-security-token"] == "t2"
    assert set(said) == {"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}


async def test_one_signature_serves_the_pieces_of_an_object_for_a_while(file: Path) -> None:
    clock = FakeClock()
    by = signer(file, clock)
    first = await by.sign(GET, b"/a", b"h")
    clock.advance(REUSED_SECONDS - 1)
    assert await by.sign(GET, b"/a", b"h") is first
    assert await by.sign(GET, b"/b", b"h") != first
    assert await by.sign(UpstreamRequest(b"HEAD", b"/a"), b"/a", b"h") != first
    clock.advance(2)
    assert await by.sign(GET, b"/a", b"h") is not first


async def test_new_credentials_are_used_and_half_a_file_changes_nothing(file: Path) -> None:
    clock = FakeClock()
    by = signer(file, clock)
    for text, key in (
        (FILE.replace("AKIAONE", "AKIANEW"), "AKIANEW"),
        ("[default]\naws_access_", "AKIANEW"),
        (FILE.replace("AKIAONE", "AKIALAST"), "AKIALAST"),
    ):
        file.write_text(text)
        clock.advance(REUSED_SECONDS + LOOK_SECONDS)
        assert f"Credential={key}/" in (await signed(by))["authorization"]


async def test_what_a_player_left_unencoded_is_signed_as_the_server_sees_it(file: Path) -> None:
    by = signer(file, FakeClock())

    def signature(said: dict[str, str]) -> str:
        return said["authorization"].rpartition("=")[2]

    while True:  # both within the same second, which is signed too
        plain, encoded = await signed(by, b"/a!b(c)?x=1+2"), await signed(by, b"/a%21b%28c%29?x=1%2B2")
        if plain["x-amz-date"] == encoded["x-amz-date"]:
            break
        by = signer(file, FakeClock())
    assert signature(plain) == signature(encoded)


async def test_many_at_once_are_signed_each_for_itself(file: Path) -> None:
    by = signer(file, FakeClock())
    said = await asyncio.gather(*(signed(by, b"/%d" % number) for number in range(50)))
    assert len({each["authorization"] for each in said}) == 50
