"""What checks ask for: what a member has served lately, of several directories, and the root."""

from edge.origin.served import MOST, ROOT, Served
from edge.origin.settings import UpstreamRequest


def get(target: str) -> UpstreamRequest:
    return UpstreamRequest(b"GET", target.encode())


def round_of(served: Served, checks: int) -> list[str]:
    return [served.after(number).target.decode() for number in range(checks)]


def test_where_nothing_is_known_the_root_is_asked_for() -> None:
    served = Served()
    assert not served
    assert served.after(0) is served.after(7) is ROOT


def test_checks_go_round_from_what_was_served_last_to_the_root() -> None:
    served = Served()
    for target in ("/a/1.ts", "/b/1.ts", "/c/1.ts"):
        served.note(get(target))
    assert served
    assert round_of(served, 5) == ["/c/1.ts", "/b/1.ts", "/a/1.ts", "/", "/c/1.ts"]


def test_of_a_directory_the_last_answer_counts_and_no_channel_drives_out_all_others() -> None:
    served = Served()
    served.note(get("/film/1.ts"))
    for number in range(100):
        served.note(get(f"/live/{number}.ts?at=/x/{number}"))
    assert round_of(served, 3) == ["/live/99.ts?at=/x/99", "/film/1.ts", "/"]
    for number in range(100):
        served.note(get(f"/{number}/1.ts"))
    assert len(set(round_of(served, 20))) == MOST + 1
