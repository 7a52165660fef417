"""Into whom no history is replayed: the cluster's own routers, however their address is written."""

from __future__ import annotations

import pytest

from porter.app.history.reading import BadQuestion
from porter.app.incident.replay_into import Target, refuse_own_peers
from porter.model.address import Address, parse_address
from tests.unit.app.scripted_incident import PEER
from tests.unit.projections.story import Story


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ("10.0.0.254", "10.0.0.254"),
        ("10.0.0.254", "::ffff:10.0.0.254"),
        ("10.0.0.254", "0:0:0:0:0:FFFF:0a00:00fe"),
        ("2001:db8::1", "2001:0DB8:0:0::0001"),
        ("fe80::1", "fe80::1%eth0"),
    ],
)
def test_a_peer_of_the_cluster_is_refused_in_any_spelling(own, asked):
    state = Story(PEER._replace(address=Address(own))).state
    target = Target(parse_address(asked), 179)
    with pytest.raises(BadQuestion, match="is BgpPeer tor-a of this cluster"):
        refuse_own_peers(state, target)
    refuse_own_peers(state, target._replace(force=True))


@pytest.mark.parametrize("asked", ["10.0.0.25", "::10.0.0.254", "::ffff:10.0.0.25"])
def test_another_router_is_not(asked):
    refuse_own_peers(Story(PEER).state, Target(parse_address(asked), 179))
