"""BgpConf and BgpPeer in GoBGP's shape."""

import pytest

from porter.kube.facts.bgp import conf_fact, peer_fact
from porter.kube.objects import decode
from porter.model.reasons import Reason
from tests.unit.kube.objects import raw


def conf(spec, name="default", **metadata):
    return conf_fact(decode("BgpConf", raw("BgpConf", name, metadata=metadata, spec=spec)))


def peer(spec, **metadata):
    return peer_fact(decode("BgpPeer", raw("BgpPeer", "tor-a", metadata=metadata, spec=spec)))


BASE = {"conf": {"neighborAddress": "192.0.2.254", "peerAs": 64512}}


def test_a_whole_conf():
    seen = conf(
        {
            "as": 4200000000,
            "routerId": "192.0.2.1",
            "listenPort": 17900,
            "useMultiplePaths": True,
            "topology": "node",
            "gracefulRestart": {"enabled": True, "restartTime": 60},
            "asPerRack": {"r2": 65002, "r1": 65001},
        }
    )
    assert (seen.as_number, seen.router_id, seen.listen_port, seen.topology) == (4200000000, "192.0.2.1", 17900, "node")
    assert (seen.restart_time_s, seen.as_per_rack) == (60, (("r1", 65001), ("r2", 65002)))
    assert seen.problems == ()


def test_only_the_conf_named_default_counts_and_none_of_a_cni():
    assert conf({"as": 1}, name="other") is None
    assert conf({"as": 1}, labels={"openelb.kubesphere.io/cni": ""}) is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.as"),
        ({"as": 0}, "spec.as"),
        ({"as": 2**32}, "spec.as"),
        ({"as": "many"}, "spec.as"),
        ({"as": True}, "spec.as"),
        ({"as": 1, "routerId": "2001:db8::1"}, "spec.routerId"),
        ({"as": 1, "routerId": "0.0.0.0"}, "spec.routerId"),
        ({"as": 1, "listenPort": 70000}, "spec.listenPort"),
        ({"as": 1, "topology": "ring"}, "spec.topology"),
        ({"as": 1, "asPerRack": {"r1": 0}}, "spec.asPerRack.r1"),
        ({"as": 1, "gracefulRestart": {"restartTime": 9000}}, "spec.gracefulRestart.restartTime"),
    ],
)
def test_a_conf_that_cannot_be_used(spec, field):
    (problem,) = conf(spec).problems
    assert (problem.reason, problem.field) == (Reason.FIELD_INVALID, field)


def test_a_field_without_effect_is_named_and_the_rest_is_used():
    seen = conf({"as": 64512, "policy": "my-policy", "listenAddresses": ["192.0.2.1"], "families": []})
    assert seen.as_number == 64512
    assert {(p.reason, p.field) for p in seen.problems} == {
        (Reason.FIELD_UNSUPPORTED, "spec.listenAddresses"),
    }


def test_a_whole_peer():
    seen = peer(
        {
            "conf": {
                "neighborAddress": "2001:DB8::1",
                "peerAs": 64512,
                "localAs": 64513,
                "authPassword": "hunter2",
                "description": "top of rack",
                "adminDown": True,
            },
            "transport": {"remotePort": 1790, "passiveMode": True, "localAddress": "2001:db8::2"},
            "ebgpMultihop": {"enabled": True, "multihopTtl": 3},
            "timers": {"config": {"holdTime": "30", "connectRetry": "7"}},
            "afiSafis": [
                {
                    "config": {"family": {"afi": "AFI_IP6", "safi": "SAFI_UNICAST"}, "enabled": True},
                    "addPaths": {"config": {"sendMax": 8, "receive": True}},
                    "mpGracefulRestart": {"config": {"enabled": True}},
                },
                {"config": {"family": {"afi": "AFI_IP", "safi": "SAFI_UNICAST"}, "enabled": True}},
            ],
            "gracefulRestart": {"enabled": True, "restartTime": 90},
            "topology": "node",
            "nodeSelector": {
                "matchLabels": {"rack": "1"},
                "matchExpressions": [
                    {"key": "zone", "operator": "In", "values": ["b", "a"]},
                    {"key": "gpu", "operator": "Exists"},
                ],
            },
        },
        labels={"site": "x"},
        creationTimestamp="2026-01-02T03:04:05Z",
    )
    assert (seen.address, seen.peer_as, seen.local_as) == ("2001:db8::1", 64512, 64513)
    assert (seen.port, seen.passive, seen.local_address) == (1790, True, "2001:db8::2")
    assert (seen.multihop_ttl, seen.hold_time_s, seen.connect_retry_s) == (3, 30, 7)
    assert (seen.families, seen.max_next_hops, seen.restart_time_s) == (("IPv4", "IPv6"), 8, 90)
    assert (seen.topology, seen.node_selector) == ("node", (("rack", "1"),))
    assert seen.node_expressions == (("gpu", "Exists", ()), ("zone", "In", ("a", "b")))
    assert (seen.labels, seen.created_ms) == ((("site", "x"),), 1767323045000)
    assert (seen.description, seen.admin_down) == ("top of rack", True)
    assert seen.problems == ()
    assert seen.password_source == "inline"
    assert "hunter2" not in repr(seen)


def test_a_bare_peer_has_the_defaults():
    seen = peer(BASE)
    assert (seen.port, seen.hold_time_s, seen.families, seen.max_next_hops) == (179, 90, ("IPv4", "IPv6"), 0)
    assert (seen.multihop_ttl, seen.restart_time_s, seen.password_source, seen.problems) == (0, 120, "", ())


def test_switches_and_precedence():
    assert peer(BASE | {"ebgpMultihop": {"enabled": True}}).multihop_ttl == 255
    assert peer(BASE | {"gracefulRestart": {"enabled": False, "restartTime": 90}}).restart_time_s == 0
    assert peer(BASE | {"maxNextHops": 4, "afiSafis": [{"addPaths": {"config": {"sendMax": 8}}}]}).max_next_hops == 4
    assert peer(BASE | {"timers": {"config": {"holdTime": 0}}}).hold_time_s == 0
    wanting = BASE | {"extendedNextHop": True}
    assert (peer(wanting).extended_next_hop, peer(wanting).problems) == (True, ())
    four = peer(wanting | {"afiSafis": [{"config": {"family": {"afi": "AFI_IP"}}}]})
    assert (four.extended_next_hop, [one.field for one in four.problems]) == (False, ["spec.extendedNextHop"])
    with_both = {"conf": BASE["conf"] | {"authPassword": "x"}, "passwordSecret": {"name": "tor"}}
    assert peer(with_both).password_source == "secret:tor"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.conf.neighborAddress"),
        ({"conf": {"neighborAddress": "router", "peerAs": 1}}, "spec.conf.neighborAddress"),
        ({"conf": {"neighborAddress": "192.0.2.1"}}, "spec.conf.peerAs"),
        ({"conf": {"neighborAddress": "192.0.2.1", "peerAs": 0}}, "spec.conf.peerAs"),
        ({"conf": {"neighborAddress": "192.0.2.1", "peerAs": 2**32}}, "spec.conf.peerAs"),
        (BASE | {"timers": {"config": {"holdTime": "1"}}}, "spec.timers.config.holdTime"),
        (BASE | {"timers": {"config": {"holdTime": 2}}}, "spec.timers.config.holdTime"),
        (BASE | {"timers": {"config": {"holdTime": "long"}}}, "spec.timers.config.holdTime"),
        (BASE | {"transport": {"localAddress": "eth0"}}, "spec.transport.localAddress"),
        (BASE | {"transport": "tcp"}, "spec.transport"),
        (BASE | {"afiSafis": [{"config": {"enabled": False}}]}, "spec.afiSafis"),
        (BASE | {"ttlSecurity": True, "ebgpMultihop": {"enabled": True}}, "spec.ttlSecurity"),
        (
            BASE | {"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
            "spec.nodeSelector.matchExpressions[0].values",
        ),
    ],
)
def test_a_peer_that_cannot_be_used(spec, field):
    blocking = {p.field for p in peer(spec).problems if p.reason == Reason.FIELD_INVALID}
    assert field in blocking


def test_what_gobgp_had_and_porter_has_not_is_named():
    spec = {
        "conf": BASE["conf"] | {"removePrivateAs": "ALL", "allowOwnAs": 0, "vrf": ""},
        "transport": {"tcpMss": 1400},
        "bfd": {"enabled": True, "echoMode": True},
    }
    assert {p.field for p in peer(spec).problems} == {
        "spec.conf.removePrivateAs",
        "spec.transport.tcpMss",
        "spec.bfd.echoMode",
    }
    assert {p.reason for p in peer(spec).problems} == {Reason.FIELD_UNSUPPORTED}


@pytest.mark.parametrize(
    ("bfd", "wanted"),
    [
        (None, (0, 0, 0, False)),
        ({"enabled": False, "receiveInterval": 50}, (0, 0, 0, False)),
        ({"receiveInterval": 50}, (0, 0, 0, False)),
        ({"enabled": True}, (300, 300, 3, False)),
        ({"enabled": True, "receiveInterval": 50, "transmitInterval": 60, "detectMultiplier": 5}, (50, 60, 5, False)),
        ({"enabled": True, "passiveMode": True}, (300, 300, 3, True)),
    ],
)
def test_bfd_counts_only_where_it_is_enabled(bfd, wanted):
    fact = peer(BASE | {"bfd": bfd})
    assert (fact.bfd_receive_ms, fact.bfd_transmit_ms, fact.bfd_multiplier, fact.bfd_passive) == wanted
    assert not [problem for problem in fact.problems if problem.reason == Reason.FIELD_INVALID]


@pytest.mark.parametrize(("name", "settings"), [("bfd", {"receiveInterval": 50}), ("ebgpMultihop", {"multihopTtl": 3})])
def test_settings_of_what_nobody_switched_on_are_named(name, settings):
    [problem] = peer(BASE | {name: settings}).problems
    assert (problem.reason, problem.field) == (Reason.FIELD_UNSUPPORTED, f"spec.{name}")
    assert "enabled: true" in problem.message
    for switched in (settings | {"enabled": False}, settings | {"enabled": True}, {}):
        assert not peer(BASE | {name: switched}).problems


@pytest.mark.parametrize(
    ("restart", "said"),
    [
        (None, (120, False)),
        ({"enabled": True}, (120, False)),
        ({"restartTime": 0}, (120, False)),
        ({"restartTime": 120}, (120, True)),
        ({"enabled": False}, (0, True)),
    ],
)
def test_a_restart_time_that_is_written_is_told_from_the_default(restart, said):
    fact = peer(BASE | {"gracefulRestart": restart})
    assert (fact.restart_time_s, fact.restart_time_set) == said


@pytest.mark.parametrize("bfd", [{"receiveInterval": 9}, {"transmitInterval": 60001}, {"detectMultiplier": 1}])
def test_timers_that_bfd_cannot_have_are_refused(bfd):
    assert [problem.reason for problem in peer(BASE | {"bfd": {"enabled": True} | bfd}).problems] == ["FieldInvalid"]
