"""BGPPeer becomes BgpPeer, and what all of them have in common the BgpConf `default`.

MetalLB opens a session from each node, with that node as the next hop. Porter's speakers open one session each, and
announce every eligible node as a next hop: what stood for "where the session runs" becomes "which nodes are next hops".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from porter.app.migrate.fields import Fields, shown
from porter.app.migrate.metallb import selectors
from porter.app.migrate.reading import Document
from porter.app.migrate.report import Report, manifest
from porter.model.address import IPV4, InvalidAddress, family_of, parse_address
from porter.model.bgp import DEFAULT_BGP_PORT, MAX_AS_NUMBER, MAX_HOLD_TIME_S, MIN_HOLD_TIME_S

MAX_CONNECT_RETRY_S = 65535
DEFAULT_HOLD_TIME_S = 90
CENTRAL = (
    "MetalLB's session ran from each node, with that node as next hop; Porter's speakers run it, and name every "
    "node as a next hop: point the router's neighbour at the speaker, and switch on ADD-PATH and multipath there"
)
NODES = "which nodes open the session becomes which nodes are next hops for this router: spec.nodeSelector"
_FAMILY_NAMES = {IPV4: "AFI_IP"}


@dataclass
class Peer:
    """A converted peer, and what depends on the other peers: its own AS number and router id."""

    fields: Fields
    name: str
    spec: dict[str, Any]
    my_as: int
    local_as: int = 0
    router_id: str = ""
    secret: dict[str, Any] | None = None


@dataclass
class Peering:
    """All peers; `objects` makes the manifests once every one of them is known."""

    namespace: str
    """Porter's own, where its Secrets are."""
    profiles: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """`spec.bfd` by the name of a BFDProfile."""
    peers: list[Peer] = field(default_factory=list)

    def add(self, document: Document, report: Report, fields: Fields) -> None:
        """Convert a peer; nothing where it names no router that Porter can connect to."""
        spec: dict[str, Any] = {"conf": {}}
        my_as = fields.integer("myASN", 0, MAX_AS_NUMBER) or 0
        if not my_as:
            fields.refused("myASN", f"is not set; write an AS number from 1 to {MAX_AS_NUMBER}")
        usable = _router(fields, spec["conf"], my_as)
        peer = Peer(fields, document.name, spec, my_as, fields.integer("localASN", 1, MAX_AS_NUMBER) or 0)
        peer.router_id = _router_id(fields)
        _transport(fields, spec)
        _timers(fields, spec)
        _session(fields, spec)
        _bfd(fields, spec, self.profiles)
        _nodes(fields, spec)
        peer.secret = self._password(fields, spec, document)
        fields.finish()
        if usable and my_as:
            fields.changed("", CENTRAL)
            self.peers.append(peer)
        labels = document.metadata.get("labels")
        if labels:
            Fields(document, report, document.metadata, "metadata").kept("labels", "advertisements may select by them")

    def objects(self) -> Iterable[dict[str, Any]]:
        """The BgpConf, then a Secret and a BgpPeer for each peer."""
        if not self.peers:
            return
        common = Counter(peer.my_as for peer in self.peers)
        as_number = min(common, key=lambda one: (-common[one], one))
        conf: dict[str, Any] = {"as": as_number}
        router_ids = {peer.router_id for peer in self.peers}
        if len(router_ids) == 1 and router_ids != {""}:
            conf["routerId"] = router_ids.pop()
        yield manifest("BgpConf", "default", conf)
        for peer in self.peers:
            _own_as(peer, as_number)
            if peer.router_id:
                _report_router_id(peer, conf.get("routerId", ""))
            if peer.secret is not None:
                yield peer.secret
            yield manifest("BgpPeer", peer.name, peer.spec, peer.fields.document.metadata.get("labels"))

    def _password(self, fields: Fields, spec: dict[str, Any], document: Document) -> dict[str, Any] | None:
        inline, reference = fields.text("password"), fields.below("passwordSecret")
        name, namespace = reference.text("name"), reference.text("namespace")
        if name:
            spec["passwordSecret"] = {"name": name}
            source = namespace or document.namespace or "metallb-system"
            note = f"copy the Secret {name} from {source} to {self.namespace}; its key password is read, as before"
            reference.changed("name", f"spec.passwordSecret: {note}")
        reference.finish()
        if not inline:
            return None
        if name:
            fields.refused("password", "contradicts passwordSecret, which MetalLB refuses too; the Secret is used")
            return None
        spec["passwordSecret"] = {"name": f"bgp-password-{document.name}"}
        fields.changed("password", f"moves into the Secret {self.namespace}/bgp-password-{document.name}")
        metadata = {"name": f"bgp-password-{document.name}", "namespace": self.namespace}
        content = {"type": "kubernetes.io/basic-auth", "stringData": {"password": inline}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **content}


def _router(fields: Fields, conf: dict[str, Any], my_as: int) -> bool:
    """Take who the router is; whether that suffices for a session."""
    address, interface = fields.text("peerAddress"), fields.text("interface")
    if interface:
        note = "a session over an interface without an address is none that ExaBGP has; write the router's peerAddress"
        fields.refused("interface", note)
    peer_as, dynamic = fields.integer("peerASN", 0, MAX_AS_NUMBER), fields.text("dynamicASN")
    if dynamic == "internal":
        fields.changed("dynamicASN", f"internal, which is the speaker's own: spec.conf.peerAs {my_as}")
        peer_as = my_as
    elif dynamic:
        fields.refused("dynamicASN", f"{shown(dynamic)}: a session needs the router's AS number; write it as peerASN")
    elif peer_as:
        fields.kept("peerASN", f"{peer_as}: spec.conf.peerAs")
    else:
        fields.refused("peerASN", "is not set; write the router's AS number")
    try:
        parsed = parse_address(address) if address else ""
    except InvalidAddress as error:
        fields.refused("peerAddress", str(error))
        return False
    if parsed:
        fields.kept("peerAddress", f"{parsed}: spec.conf.neighborAddress")
    elif not interface:
        fields.refused("peerAddress", "is not set; write the router's address")
    conf["neighborAddress"] = str(parsed)
    conf["peerAs"] = peer_as
    return bool(parsed and peer_as)


def _own_as(peer: Peer, as_number: int) -> None:
    fields, conf = peer.fields, peer.spec["conf"]
    if peer.my_as == as_number:
        fields.kept("myASN", f"{as_number}: spec.as of BgpConf default")
    else:
        conf["localAs"] = peer.my_as
        fields.changed("myASN", f"{peer.my_as}, and BgpConf default has {as_number}: spec.conf.localAs of this peer")
    if peer.local_as:
        conf["localAs"] = peer.local_as
        fields.changed("localASN", f"{peer.local_as}: spec.conf.localAs; myASN no longer stands in the path behind it")


def _router_id(fields: Fields) -> str:
    text = fields.text("routerID")
    try:
        return str(IPv4Address(text)) if text else ""
    except ValueError:
        fields.refused("routerID", f"{shown(text)} is no IPv4 address; write one, or leave it out")
        return ""


def _report_router_id(peer: Peer, common: str) -> None:
    if common:
        note = f"{common}: spec.routerId of BgpConf default; leave it out where two speakers run, which need one each"
        peer.fields.changed("routerID", note)
    else:
        note = "the peers have several, and a speaker has one; it uses its own address, or set spec.routerId of BgpConf"
        peer.fields.refused("routerID", note)


def _transport(fields: Fields, spec: dict[str, Any]) -> None:
    port = fields.integer("peerPort", 0, 65535)
    if port and port != DEFAULT_BGP_PORT:
        spec["transport"] = {"remotePort": port}
    if port is not None:
        fields.kept("peerPort", f"{port or DEFAULT_BGP_PORT}: spec.transport.remotePort")
    source = fields.text("sourceAddress")
    if source:
        note = "an address of the nodes, which the speaker does not have; write its own as spec.transport.localAddress"
        fields.refused("sourceAddress", f"{shown(source)}: {note}")


def _timers(fields: Fields, spec: dict[str, Any]) -> None:
    config: dict[str, str] = {}
    hold = fields.seconds("holdTime")
    if hold is not None and not (hold == 0 or MIN_HOLD_TIME_S <= hold <= MAX_HOLD_TIME_S):
        fields.refused("holdTime", f"is {hold:g} s; write 0, or {MIN_HOLD_TIME_S}s to {MAX_HOLD_TIME_S}s")
        hold = None
    if hold == 0 and fields.document.api_version.endswith("v1beta1"):
        hold = None  # There 0 stands for a field that is not set.
    if hold is not None:
        config["holdTime"] = str(int(hold))
        _say_whole(fields, "holdTime", hold, "spec.timers.config.holdTime")
    keepalive = fields.seconds("keepaliveTime")
    third = int(DEFAULT_HOLD_TIME_S if hold is None else hold) / 3
    if keepalive and abs(keepalive - third) < 1:
        fields.kept("keepaliveTime", f"{keepalive:g} s, a third of the hold time, which Porter always takes")
    elif keepalive:
        note = f"{keepalive:g} s: Porter sends at a third of the hold time ({third:g} s); choose holdTime accordingly"
        fields.refused("keepaliveTime", note)
    connect = fields.seconds("connectTime")
    if connect is not None and not 1 <= connect <= MAX_CONNECT_RETRY_S:
        fields.refused("connectTime", f"is {connect:g} s; write 1s to {MAX_CONNECT_RETRY_S}s")
    elif connect is not None:
        config["connectRetry"] = str(int(connect))
        _say_whole(fields, "connectTime", connect, "spec.timers.config.connectRetry")
    if config:
        spec["timers"] = {"config": config}


def _say_whole(fields: Fields, name: str, seconds: float, target: str) -> None:
    if seconds == int(seconds):
        fields.kept(name, f"{seconds:g} s: {target}")
    else:
        fields.changed(name, f"{seconds:g} s, cut to whole seconds: {target} {int(seconds)}")


def _session(fields: Fields, spec: dict[str, Any]) -> None:
    """Take what is negotiated, and what ExaBGP has no counterpart of."""
    if fields.flag("ebgpMultiHop"):
        spec["ebgpMultihop"] = {"enabled": True}
        fields.kept("ebgpMultiHop", "true: spec.ebgpMultihop.enabled")
    restart = fields.flag("enableGracefulRestart")
    if restart:
        spec["gracefulRestart"] = {"enabled": True}
        fields.kept("enableGracefulRestart", "true: spec.gracefulRestart.enabled")
    else:
        note = "off with MetalLB, on with Porter, so that no route is lost while a speaker restarts"
        fields.changed("enableGracefulRestart", f"{note}; set spec.gracefulRestart.enabled: false to have it off")
    if fields.flag("disableMP"):
        family = family_of(spec["conf"]["neighborAddress"]) if spec["conf"].get("neighborAddress") else IPV4
        afi = {"afi": _FAMILY_NAMES.get(family, "AFI_IP6"), "safi": "SAFI_UNICAST"}
        spec["afiSafis"] = [{"config": {"enabled": True, "family": afi}}]
        fields.changed("disableMP", f"true: spec.afiSafis offers {family} alone")
    both = fields.flag("dualStackAddressFamily")
    if both is not None:
        fields.kept("dualStackAddressFamily", "Porter offers both families, and uses those that the router speaks")
    vrf = fields.text("vrf")
    if vrf:
        fields.refused("vrf", f"{shown(vrf)}: run the speaker in that VRF instead; a session has none of its own")


def _bfd(fields: Fields, spec: dict[str, Any], profiles: Mapping[str, dict[str, Any]]) -> None:
    profile = fields.text("bfdProfile")
    if profile in profiles:
        spec["bfd"] = profiles[profile]
        fields.kept("bfdProfile", f"{profile}: spec.bfd")
    elif profile:
        fields.refused("bfdProfile", f"{shown(profile)}: no such BFDProfile was given; add it, or write spec.bfd")


def _nodes(fields: Fields, spec: dict[str, Any]) -> None:
    alternatives = selectors.taken(fields, "nodeSelectors")
    if not alternatives:
        return
    one = selectors.united(alternatives)
    if one is None:
        note = "no single selector says the same; give these nodes one label and write it as spec.nodeSelector"
        fields.refused("nodeSelectors", f"{note}, else every node is a next hop for this router")
        return
    fields.changed("nodeSelectors", NODES)
    if selectors.tree_of(one):
        spec["nodeSelector"] = selectors.tree_of(one)
