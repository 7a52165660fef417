"""Which next hops a session carries."""

from __future__ import annotations

import pytest

from porter.model.address import Address, Prefix
from porter.model.bgp import MAX_NEXT_HOPS, NextHop
from porter.policy.export import exported
from porter.projections.loc_rib import LocRoute


def route(hops: int, prefix: str = "192.0.2.1/32") -> LocRoute:
    nodes = tuple(NextHop(f"n{n:03}", Address(f"10.0.0.{n}"), 1000 + n) for n in range(hops))
    return LocRoute(Prefix(prefix), "shop/web", "u", nodes, 1, 1)


def test_add_path_carries_every_next_hop_under_its_own_identifier() -> None:
    paths = exported(route(3), speaker="s", add_path=True)
    assert {(key.path_id, attributes.next_hop) for key, attributes in paths.items()} == {
        (1000, "10.0.0.0"),
        (1001, "10.0.0.1"),
        (1002, "10.0.0.2"),
    }


def test_a_limit_gives_the_same_subset_at_every_speaker() -> None:
    one = exported(route(12), speaker="one", max_next_hops=4, add_path=True)
    assert one == exported(route(12), speaker="two", max_next_hops=4, add_path=True)
    assert len(one) == 4
    assert len(exported(route(200), speaker="one", add_path=True)) == MAX_NEXT_HOPS


def test_a_node_that_goes_moves_only_its_own_place_in_the_subset() -> None:
    before = exported(route(12), speaker="s", max_next_hops=4, add_path=True)
    gone = next(iter(before))
    left = route(12)
    left = left._replace(next_hops=tuple(hop for hop in left.next_hops if hop.path_id != gone.path_id))
    after = exported(left, speaker="s", max_next_hops=4, add_path=True)
    assert set(before) - {gone} < set(after)
    assert len(after) == 4


def test_without_add_path_speakers_spread_and_stick() -> None:
    chosen = {}
    for speaker in ("one", "two", "three", "four", "five", "six"):
        paths = exported(route(12), speaker=speaker, add_path=False)
        assert [key.path_id for key in paths] == [0]
        chosen[speaker] = next(iter(paths.values()))
        assert exported(route(12), speaker=speaker, add_path=False) == paths
    assert len(set(chosen.values())) > 1


@pytest.mark.parametrize("nodes", [2, 3, 12])
def test_without_add_path_the_speakers_of_a_stateful_set_give_as_many_next_hops(nodes: int) -> None:
    used = set()
    for number in range(200):
        to_one = route(nodes, f"198.51.100.{number}/32")
        hops = {
            attributes.next_hop
            for ordinal in range(2)
            for attributes in exported(to_one, speaker=f"porter-speaker-{ordinal}", add_path=False).values()
        }
        assert len(hops) == 2
        used |= hops
    assert len(used) == nodes


def test_the_choice_is_the_same_in_every_release() -> None:
    # Speakers of two versions run side by side during an upgrade.
    paths = exported(route(12), speaker="porter-speaker-0", add_path=False)
    assert next(iter(paths.values())).next_hop == "10.0.0.11"
    subset = exported(route(12), speaker="porter-speaker-0", max_next_hops=3, add_path=True)
    assert sorted(key.path_id for key in subset) == [1002, 1005, 1011]


def test_two_nodes_with_one_address_make_one_path() -> None:
    twins = route(1)._replace(next_hops=(NextHop("a", Address("10.0.0.1"), 1), NextHop("b", Address("10.0.0.1"), 1)))
    assert len(exported(twins, speaker="s", add_path=True)) == 1


MIXED = LocRoute(
    Prefix("192.0.2.1/32"),
    "shop/web",
    "u",
    (
        NextHop("both", Address("10.0.0.1"), 1, extended=Address("fd00::1")),
        NextHop("four", Address("10.0.0.2"), 2),
        NextHop("six", Address("fd00::3"), 3, extended=Address("fd00::3")),
    ),
    1,
    1,
)


@pytest.mark.parametrize(
    ("extended", "hops"),
    [(True, {1: "fd00::1", 2: "10.0.0.2", 3: "fd00::3"}), (False, {1: "10.0.0.1", 2: "10.0.0.2"})],
)
def test_ipv4_routes_have_ipv6_next_hops_where_the_session_agreed_to_them(extended: bool, hops: dict) -> None:
    paths = exported(MIXED, speaker="s", add_path=True, extended=extended)
    assert {key.path_id: attributes.next_hop for key, attributes in paths.items()} == hops


def test_one_path_is_never_one_that_the_session_does_not_carry() -> None:
    for number in range(50):
        route = MIXED._replace(prefix=Prefix(f"192.0.2.{number}/32"))
        (path,) = exported(route, speaker="s", add_path=False).values()
        assert path.next_hop in {"10.0.0.1", "10.0.0.2"}
    alone = MIXED._replace(next_hops=MIXED.next_hops[2:])
    assert exported(alone, speaker="s", add_path=False) == {}
