"""Who is let in: by a signed pass, an address or a certificate; and what is refused."""

import ipaddress
from pathlib import Path

import pytest

from edge.access.admission import Admission, AdmissionSettings, Refused
from edge.access.keys import KeyFile, read_keys
from edge.access.nonces import Nonces
from edge.access.passes import Context, Key, write_pass
from edge.words import Refusal

NOW = 1_800_000_000.0
CONTEXT = Context("203.0.113.7", b"films.example", 1)
STRANGER = "198.51.100.1"


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    path = tmp_path / "keys"
    path.write_text("one " + "1" * 32 + "\ntwo " + "2" * 32)
    return KeyFile(path)


@pytest.fixture
def key(keys: KeyFile) -> Key:
    found = keys.find("two", 0.0)
    assert found is not None
    return found


def ask(
    admission: Admission,
    *passes: bytes,
    method: bytes = b"GET",
    target: bytes = b"/a",
    peer: str = STRANGER,
    certified: frozenset[str] | None = None,
    now: float = NOW,
) -> Context | None:
    return admission.admit(method, target, passes, peer, certified, wall=now, monotonic=now - NOW)


def refused(admission: Admission, *passes: bytes, **more: object) -> Refusal:
    with pytest.raises(Refused) as caught:
        ask(admission, *passes, **more)  # type: ignore[arg-type]
    return caught.value.refusal


def test_a_signed_pass_is_let_in_once_and_tells_of_the_request_behind(keys: KeyFile, key: Key) -> None:
    admission = Admission(AdmissionSettings(keys))
    value = write_pass(CONTEXT, b"GET", b"/a", key=key, now=NOW)
    assert ask(admission, value) == CONTEXT
    assert refused(admission, value) is Refusal.REPLAY
    assert ask(admission, write_pass(CONTEXT, b"GET", b"/a", key=key, now=NOW)) == CONTEXT


def test_what_was_signed_for_another_request_is_refused(keys: KeyFile, key: Key) -> None:
    admission = Admission(AdmissionSettings(keys))
    value = write_pass(CONTEXT, b"GET", b"/a", key=key, now=NOW)
    assert refused(admission, value, method=b"HEAD") is Refusal.SIGNATURE
    assert refused(admission, value, target=b"/b") is Refusal.SIGNATURE
    assert refused(admission, value.replace(b"a=203.0.113.7", b"a=203.0.113.8")) is Refusal.SIGNATURE
    assert refused(admission, value.replace(b"k=two", b"k=one")) is Refusal.SIGNATURE
    assert refused(admission, value.replace(b"k=two", b"k=six")) is Refusal.UNKNOWN_KEY
    assert refused(admission, value[:-1]) is Refusal.SIGNATURE
    assert ask(admission, value) == CONTEXT  # none of them has used its nonce up


def test_every_byte_of_a_pass_counts(keys: KeyFile, key: Key) -> None:
    value = write_pass(CONTEXT, b"GET", b"/a", key=key, now=NOW)
    for position in range(len(value)):
        changed = value[:position] + bytes([value[position] ^ 1]) + value[position + 1 :]
        refused(Admission(AdmissionSettings(keys)), changed)


@pytest.mark.parametrize("away", [-61.0, 61.0])
def test_a_clock_that_is_too_far_off_is_refused(keys: KeyFile, key: Key, away: float) -> None:
    admission = Admission(AdmissionSettings(keys))
    value = write_pass(CONTEXT, b"GET", b"/a", key=key, now=NOW)
    assert refused(admission, value, now=NOW + away) is Refusal.SKEW
    assert ask(admission, value, now=NOW + away * 0.9) == CONTEXT


def test_without_any_proof_or_with_two_passes_nobody_is_let_in(keys: KeyFile, key: Key) -> None:
    admission = Admission(AdmissionSettings(keys))
    assert refused(admission) is Refusal.NO_PROOF
    assert refused(admission, write_pass(CONTEXT, b"GET", b"/a")) is Refusal.NO_PROOF
    two = [write_pass(CONTEXT, b"GET", b"/a", key=key, now=NOW) for _ in range(2)]
    assert refused(admission, *two) is Refusal.MALFORMED
    assert refused(admission, b"nonsense") is Refusal.MALFORMED


def test_an_address_of_ours_is_let_in_and_believed_without_a_signature() -> None:
    networks = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("2001:db8::/32"))
    admission = Admission(AdmissionSettings(networks=networks))
    assert ask(admission, peer="10.1.2.3") is None
    assert ask(admission, write_pass(CONTEXT, b"GET", b"/a"), peer="2001:db8::1") == CONTEXT
    for peer in ("10.2.0.1", "2001:db9::1", "", "nonsense"):
        assert refused(admission, write_pass(CONTEXT, b"GET", b"/a"), peer=peer) is Refusal.NO_PROOF


def test_a_certificate_is_let_in_if_it_has_one_of_the_names() -> None:
    admission = Admission(AdmissionSettings(certificate=True))
    assert ask(admission, certified=frozenset()) is None
    assert refused(admission, certified=None) is Refusal.NO_PROOF
    named = Admission(AdmissionSettings(certificate=True, names=frozenset({"msk1.edges"})))
    assert ask(named, certified=frozenset({"x", "msk1.edges"})) is None
    assert refused(named, certified=frozenset({"x"})) is Refusal.NO_PROOF


def test_where_all_proofs_are_needed_each_is(keys: KeyFile, key: Key) -> None:
    near = (ipaddress.ip_network("10.0.0.0/8"),)
    admission = Admission(AdmissionSettings(keys, near, certificate=True, every=True))

    def signed() -> bytes:
        return write_pass(CONTEXT, b"GET", b"/a", key=key, now=NOW)

    everything = {"peer": "10.0.0.1", "certified": frozenset[str]()}
    assert ask(admission, signed(), **everything) == CONTEXT  # type: ignore[arg-type]
    assert refused(admission, **everything) is Refusal.NO_PROOF
    assert refused(admission, signed(), peer="10.0.0.1") is Refusal.NO_PROOF
    assert refused(admission, signed(), certified=frozenset()) is Refusal.NO_PROOF


def test_a_wrong_signature_is_refused_whatever_else_is_shown(keys: KeyFile, key: Key) -> None:
    admission = Admission(AdmissionSettings(keys, (ipaddress.ip_network("0.0.0.0/0"),)))
    wrong = write_pass(CONTEXT, b"GET", b"/b", key=key, now=NOW)
    assert refused(admission, wrong) is Refusal.SIGNATURE
    assert ask(admission) is None


def test_more_hops_than_there_are_tiers_are_a_loop(keys: KeyFile, key: Key) -> None:
    admission = Admission(AdmissionSettings(keys, hops=3))
    for hops in (1, 3):
        ask(admission, write_pass(Context(hops=hops), b"GET", b"/a", key=key, now=NOW))
    value = write_pass(Context(hops=4), b"GET", b"/a", key=key, now=NOW)
    assert refused(admission, value) is Refusal.HOPS


def test_nonces_are_remembered_for_as_long_as_a_pass_is_good_and_no_more_than_so_many() -> None:
    nonces = Nonces(1000, seconds=120.0)
    assert not nonces.seen(b"first", 0.0)
    for second in range(0, 121, 5):
        assert nonces.seen(b"first", float(second))
    assert not nonces.seen(b"first", 1000.0)
    for number in range(10_000):
        assert not nonces.seen(b"%d" % number, 1000.0)
    assert all(nonces.seen(b"%d" % number, 1000.0) for number in range(9000, 10_000))
    assert len(nonces._young) + len(nonces._old) <= 2000


def test_rotating_keys_fails_nobody(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    old, new = "old " + "1" * 32, "new " + "2" * 32
    path.write_text(old)
    shield, edge = Admission(AdmissionSettings(KeyFile(path))), KeyFile(path)
    later = NOW
    for text, signs in ((f"{old}\n{new}", "old"), (f"{new}\n{old}", "new"), (new, "new")):
        path.write_text(text)
        later += 10.0
        key = edge.signing(later - NOW)
        assert key.id == signs
        assert ask(shield, write_pass(CONTEXT, b"GET", b"/a", key=key, now=later), now=later) == CONTEXT
    gone = Key("old", read_keys(path)[0].secret)
    assert refused(shield, write_pass(CONTEXT, b"GET", b"/a", key=gone, now=later), now=later) is Refusal.UNKNOWN_KEY
