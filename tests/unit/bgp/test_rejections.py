"""Which refusals of peers are told, and when."""

from __future__ import annotations

from porter.bgp.rejections import Rejections
from porter.events.routed import PeerRejected
from porter.model.bgp import PeerKey

TOR, SPINE = PeerKey("tor"), PeerKey("spine")


def test_a_refusal_is_told_once_and_its_end_once():
    rejections = Rejections()
    told = []
    for refused in ({TOR: "no password", SPINE: "twin"}, {TOR: "no password"}, {TOR: "too long"}, {}, {}):
        rejections.begin()
        for peer, message in refused.items():
            rejections.reject(peer, "spec", message)
        assert [peer in rejections for peer in (TOR, SPINE)] == [peer in refused for peer in (TOR, SPINE)]
        told.append(rejections.news())
    assert told == [
        [PeerRejected("spine", "spec", "twin"), PeerRejected("tor", "spec", "no password")],
        [PeerRejected("spine", "", "")],
        [PeerRejected("tor", "spec", "too long")],
        [PeerRejected("tor", "", "")],
        [],
    ]
