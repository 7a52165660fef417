"""What each reason code means, and the mend: one sentence each, for the reference page and for people who ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from porter.model.reasons import Reason


class Meaning(NamedTuple):
    """A sentence, and what to do about it ("" where there is nothing to mend)."""

    sentence: str
    mend: str = ""


class Group(NamedTuple):
    """Reasons that answer the same question."""

    question: str
    meanings: Mapping[Reason, Meaning]


GROUPS: tuple[Group, ...] = (
    Group(
        "Why an address was given",
        {
            Reason.REQUESTED_ADDRESS: Meaning("The Service requested this very address, and it was free or shareable."),
            Reason.REQUESTED_POOL: Meaning("The Service named the Eip; the lowest free address of it was given."),
            Reason.BOUND_POOL: Meaning("The Eip is bound to the Service's namespace or labels."),
            Reason.DEFAULT_POOL: Meaning("The Eip is the default, and no Eip that is bound to the Service had one."),
            Reason.AUTO_ASSIGNED: Meaning(
                "The Eip has `spec.autoAssign: true`, and neither a bound nor a default had one."
            ),
            Reason.RESERVED_ADDRESS: Meaning("The address is reserved for this Service in `spec.reservations`."),
            Reason.SHARED_ADDRESS: Meaning("Services with the same `porter.io/sharing-key` hold it, and share it."),
            Reason.ADOPTED_FROM_STATUS: Meaning(
                "The Service held the address by its status before Porter looked after it."
            ),
            Reason.ADOPTED_FROM_SPEAKER: Meaning(
                "A speaker still announced it for the Service when the journal was lost."
            ),
        },
    ),
    Group(
        "Why an address was refused, or a pool passed over",
        {
            Reason.NO_POOL: Meaning(
                "No Eip may serve the Service.", "Mark an Eip as the default, bind one, or name one in the annotation."
            ),
            Reason.POOL_NOT_FOUND: Meaning(
                "The Service names an Eip that does not exist.", "Create it, or name another."
            ),
            Reason.POOL_INVALID: Meaning(
                "The Eip cannot be used; its condition `Accepted` says why.",
                "Correct the field that the condition names.",
            ),
            Reason.POOL_EXHAUSTED: Meaning(
                "Every address of the Eip is in use, reserved or cooling down.", "Add addresses, or release Services."
            ),
            Reason.POOL_DISABLED: Meaning("The Eip has `spec.disable: true`.", "Set it to false, or name another Eip."),
            Reason.ADDRESS_IN_USE: Meaning(
                "Another Service holds the requested address, and the two may not share it.",
                "Request another address, or release that one.",
            ),
            Reason.ADDRESS_OUTSIDE_POOLS: Meaning(
                "No Eip holds or gives the address: it lies outside of all, or is excluded.",
                "Add it to an Eip, take the exclusion back, or request another address.",
            ),
            Reason.ADDRESS_INVALID: Meaning(
                "The requested address is none.", "Write one like 192.0.2.1 or 2001:db8::1."
            ),
            Reason.FAMILY_UNAVAILABLE: Meaning(
                "The Eip has no address of a family that the Service needs, or the Service asks for one of a family "
                "that it does not have.",
                "Add addresses of the family, or change `spec.ipFamilies`.",
            ),
            Reason.QUOTA_EXCEEDED: Meaning(
                "The namespace holds as many addresses of the Eip as `spec.quota` lets it.",
                "Raise the quota, or release Services of the namespace.",
            ),
            Reason.NOT_SELECTED: Meaning(
                "The Eip serves other namespaces or Services.", "Change the labels, or the Eip's selectors."
            ),
            Reason.ON_REQUEST_ONLY: Meaning(
                "The Eip gives addresses only to Services that name it.",
                "Name it, mark it as the default, or set `spec.autoAssign: true`.",
            ),
            Reason.SHARING_REFUSED: Meaning(
                "Services share an address although they no longer may; both keep it.",
                "Undo the change of ports, policy or key, or request another address.",
            ),
            Reason.RESERVED: Meaning(
                "The address is reserved for another Service.", "Request another, or change `spec.reservations`."
            ),
            Reason.COOLING_DOWN: Meaning(
                "The address was freed, and `spec.releaseDelay` has not passed.", "Wait for the time in the message."
            ),
        },
    ),
    Group(
        "Why an address was taken back",
        {
            Reason.SERVICE_DELETED: Meaning("The Service is gone."),
            Reason.SERVICE_NOT_CLAIMED: Meaning(
                "The Service is Porter's no more: its type, class or annotation changed.",
                "Change it back to be served.",
            ),
            Reason.REQUEST_CHANGED: Meaning("The Service asks for something else, and has it now."),
            Reason.FAMILY_DROPPED: Meaning("The Service has no cluster address of this family any more."),
            Reason.SUPERSEDED_IN_RECOVERY: Meaning(
                "When the journal was recovered, another Service held the address by its status."
            ),
        },
    ),
    Group(
        "Why a route is not announced, or not as it should be",
        {
            Reason.NO_ELIGIBLE_NODE: Meaning(
                "Endpoints are ready, but none of their nodes may be a next hop.",
                "See that the nodes are Ready, not excluded from load balancers, and have an InternalIP of the family; "
                "for nodes of IPv6 alone, `spec.extendedNextHop` of a BgpPeer gives IPv4 routes IPv6 next hops.",
            ),
            Reason.NO_READY_ENDPOINT: Meaning(
                "No endpoint of the Service is ready.", "See that its pods run and are selected."
            ),
            Reason.NO_PEER: Meaning(
                "No session takes the route.", "Make a BgpPeer, or see why its session is not there."
            ),
            Reason.SESSION_DOWN: Meaning("The BGP session is not established.", "Look at the router's side of it."),
            Reason.HELD: Meaning(
                "Too much would have gone at once: nodes that turned NotReady are kept, or withdrawals are held.",
                "Find out why: do kubelets reach the API server? `porter status` names each hold, and `porter approve` "
                "withdraws what it holds.",
            ),
            Reason.DRAINED: Meaning(
                "An operator drained the speaker, the node or the Service.", "`porter uncordon KIND NAME` ends it."
            ),
            Reason.NO_ADD_PATH: Meaning(
                "The router takes no additional paths, so that each speaker announces one next hop.",
                "Enable ADD-PATH (RFC 7911) at the router.",
            ),
            Reason.NO_EXTENDED_NEXT_HOP: Meaning(
                "The BgpPeer asks for IPv6 next hops of IPv4 routes, and the router did not agree to them, so that "
                "nodes without an IPv4 address are no next hops of IPv4 routes there.",
                "Enable extended next hops (RFC 8950) for IPv4 unicast at the router.",
            ),
            Reason.IMPORTS_REFUSED: Meaning(
                "The router announces many routes to us. Porter takes none, whatever they are.",
                "Have the router export nothing on its sessions with Porter's speakers.",
            ),
            Reason.NOT_ADVERTISED: Meaning(
                "There are BgpAdvertisements, and none of them gives the route to the peer.",
                "Make one that is about the route's Eip, its Service and the peer.",
            ),
            Reason.FAMILY_NOT_CARRIED: Meaning(
                "The session does not carry routes of the address family.",
                "Enable the family on both sides: at the router, and in the BgpPeer's `spec.afiSafis`.",
            ),
            Reason.NEXT_HOP_LIMIT: Meaning(
                "The peer is given at most so many next hops of a prefix, and others were chosen.",
                "Raise the BgpPeer's `spec.maxNextHops`.",
            ),
        },
    ),
    Group(
        "Why a node is no next hop",
        {
            Reason.NODE_NOT_READY: Meaning("The node is not Ready.", "See its kubelet, and `kubectl describe node`."),
            Reason.NODE_EXCLUDED: Meaning(
                "The node has the label `node.kubernetes.io/exclude-from-external-load-balancers`.",
                "Take the label off the node.",
            ),
            Reason.NODE_WITHOUT_ADDRESS: Meaning(
                "The node has no InternalIP of the family, or waits for its path identifier.",
                "Give the node an address of the family.",
            ),
            Reason.NO_ENDPOINT_ON_NODE: Meaning(
                "The Service's `externalTrafficPolicy` is Local, and no endpoint of it on this node is ready.",
                "Run a pod of it there, or set the policy to Cluster.",
            ),
            Reason.NODE_NOT_SELECTED: Meaning(
                "A nodeSelector of the peer, or the nodeSelectors of its advertisements, leave the node out.",
                "Label the node, or change the selector.",
            ),
        },
    ),
    Group(
        "Why BFD does not watch the path to a router",
        {
            Reason.BFD_DOWN: Meaning(
                "The router does not answer BFD. A session of BGP that came up all the same stands without it.",
                "See that the router runs BFD with this peer, and that nothing drops UDP port 3784 (multihop: 4784).",
            ),
            Reason.BFD_UNAVAILABLE: Meaning(
                "The program that runs BFD beside a speaker is not there. Porter ends no session for that.",
                "See its log, and in the chart that `bfd.enabled` is true.",
            ),
        },
    ),
    Group(
        "What becomes of withdrawals that are held back",
        {
            Reason.WITHDRAWAL_HELD: Meaning(
                "So many prefixes were about to lose their last next hops or peers at once that they keep them.",
                "Mend the cause, or let it happen by `porter approve`.",
            ),
            Reason.WITHDRAWAL_APPROVED: Meaning("An operator approved the hold: what it kept is withdrawn."),
            Reason.HOLD_EXPIRED: Meaning(
                "The hold lasted for its longest time: what it kept is withdrawn.", "Mend the cause of the loss."
            ),
            Reason.HOLD_ENDED: Meaning("The cause ended: every prefix is as it was by itself again, or is gone."),
        },
    ),
    Group(
        "What a pool is warned of",
        {
            Reason.POOL_OVERLAPS_NODES: Meaning("The Eip holds the address of a node.", "Put it into `spec.excludes`."),
            Reason.POOL_OVERLAPS_SERVICE_RANGE: Meaning(
                "The Eip overlaps a ServiceCIDR, which the cluster's own Service addresses come from.",
                "Put it into `spec.excludes`, or choose other addresses.",
            ),
        },
    ),
    Group(
        "Why a field was not taken as it stands",
        {
            Reason.FIELD_INVALID: Meaning(
                "The field has a value that it may not have.", "Correct it as the message says."
            ),
            Reason.CONTRADICTION: Meaning(
                "An older object says otherwise, and its value counts; the rest of the object is used.",
                "Write the same value, or let the two be about different objects.",
            ),
            Reason.FIELD_UNSUPPORTED: Meaning(
                "The field is not honoured; the rest of the object is used as if it were not set.", "Take it out."
            ),
        },
    ),
)


def meaning_of(reason: str) -> Meaning | None:
    """The meaning of a reason code; None for text that is none."""
    return next((group.meanings[Reason(reason)] for group in GROUPS if reason in group.meanings), None)


def reference_page() -> str:
    """The page docs/reference/reasons.md, in Markdown."""
    lines = [
        "# Reason codes",
        "",
        "The closed list of codes in the journal's decisions, in conditions, in Events and in the answers. A message",
        "always goes with the code: it names the object and the mend in the case at hand. `porter explain` tells both.",
        "",
        "This page is made from `porter/model/meanings.py` by `scripts/reference`.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group.question}", "", "| code | meaning | mend |", "|---|---|---|"]
        lines += [f"| `{reason}` | {one.sentence} | {one.mend or '-'} |" for reason, one in group.meanings.items()]
    return "\n".join(lines) + "\n"
