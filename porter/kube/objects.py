"""The few fields of Kubernetes objects that Porter reads, decoded from raw JSON by msgspec.

Fields that are not named here are skipped by the decoder without being built. Objects come from JSON and hold no
cycles, so that they stay out of the garbage collector's sight. The spec of Porter's own kinds stays a plain tree:
it is small, and each of its faults is named by `porter.kube.facts` instead of failing the whole object.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

Kind = Literal[
    "Service",
    "EndpointSlice",
    "Node",
    "Namespace",
    "Eip",
    "BgpConf",
    "BgpPeer",
    "BgpAdvertisement",
    "ServiceCIDR",
    "ConfigMap",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
NAMESPACED: frozenset[str] = frozenset({"Service", "EndpointSlice", "ConfigMap"})


class Metadata(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The ObjectMeta of every kind; absent maps are None, as the API server leaves them out."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None


class ServicePort(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One port of a Service; the protocol defaults to TCP."""

    port: int
    protocol: str = "TCP"


class ServiceSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of a Service's spec that an allocation or a route depends on."""

    type: str = "ClusterIP"
    ports: list[ServicePort] | None = None
    selector: dict[str, str] | None = None
    external_traffic_policy: str = ""
    ip_families: list[str] | None = None
    ip_family_policy: str = ""
    load_balancer_class: str | None = None
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")


class Ingress(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One point of `status.loadBalancer.ingress`."""

    ip: str = ""
    ip_mode: str = ""


class LoadBalancer(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Service's `status.loadBalancer`."""

    ingress: list[Ingress] | None = None


class Condition(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """One condition of a Service's status, of whatever owner."""

    type: str = ""
    status: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""
    reason: str = ""
    message: str = ""


class ServiceStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Service's status, as far as it concerns addresses."""

    load_balancer: LoadBalancer | None = None
    conditions: list[Condition] | None = None


class Service(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """core/v1 Service."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """discovery.k8s.io/v1 EndpointConditions; an absent `ready` means ready, an absent `serving` means as ready."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One endpoint of a slice; its addresses do not matter, its node does."""

    node_name: str | None = None
    conditions: EndpointConditions = EndpointConditions()


class EndpointSlice(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """discovery.k8s.io/v1 EndpointSlice."""

    metadata: Metadata
    address_type: str = ""
    endpoints: list[Endpoint] | None = None


class NodeAddress(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One address of a Node; `type` is InternalIP, ExternalIP, Hostname and so on."""

    type: str
    address: str


class NodeCondition(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One condition of a Node; `status` is "True", "False" or "Unknown"."""

    type: str
    status: str


class NodeStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Node's status, as far as next hops depend on it."""

    addresses: list[NodeAddress] | None = None
    conditions: list[NodeCondition] | None = None


class NodeSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A Node's spec: whether it was cordoned, which the taint node.kubernetes.io/unschedulable follows."""

    unschedulable: bool = False


class Node(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """core/v1 Node."""

    metadata: Metadata
    status: NodeStatus = NodeStatus()
    spec: NodeSpec = NodeSpec()


class Namespace(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """core/v1 Namespace."""

    metadata: Metadata


class ServiceCIDRSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A ServiceCIDR's spec."""

    cidrs: list[str] | None = None


class ServiceCIDR(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """networking.k8s.io/v1 ServiceCIDR."""

    metadata: Metadata
    spec: ServiceCIDRSpec = ServiceCIDRSpec()


class ConfigMap(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """core/v1 ConfigMap; its binary data is not read."""

    metadata: Metadata
    data: dict[str, str] | None = None


class Custom(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An object of network.kubesphere.io/v1alpha2, its spec and status still unread."""

    metadata: Metadata
    spec: Any = None
    status: Any = None


KubeObject = Service | EndpointSlice | Node | Namespace | ServiceCIDR | ConfigMap | Custom

_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {
    "Service": msgspec.json.Decoder(Service),
    "EndpointSlice": msgspec.json.Decoder(EndpointSlice),
    "Node": msgspec.json.Decoder(Node),
    "Namespace": msgspec.json.Decoder(Namespace),
    "Eip": msgspec.json.Decoder(Custom),
    "BgpConf": msgspec.json.Decoder(Custom),
    "BgpPeer": msgspec.json.Decoder(Custom),
    "BgpAdvertisement": msgspec.json.Decoder(Custom),
    "ServiceCIDR": msgspec.json.Decoder(ServiceCIDR),
    "ConfigMap": msgspec.json.Decoder(ConfigMap),
}


class Malformed(ValueError):
    """An object whose fields have types that its kind does not allow.

    `metadata` holds what identifies it, or None where not even a name could be read; `field` is the path of the fault.
    """

    def __init__(self, kind: Kind, metadata: Metadata | None, field: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.metadata = metadata
        self.field = field


def decode(kind: Kind, raw: bytes | msgspec.Raw) -> KubeObject:
    """Decode one object's JSON.

    Raises:
        Malformed: the JSON does not have the kind's shape.
    """
    try:
        decoded: KubeObject = _DECODERS[kind].decode(raw)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`") or "metadata"
        raise Malformed(kind, _salvaged(raw), field, f"{message} in {field}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(kind, None, "", f"{kind} is no JSON object: {error}") from error
    return decoded


def _salvaged(raw: bytes | msgspec.Raw) -> Metadata | None:
    """Read what identifies a malformed object, field by field, dropping what has the wrong type."""
    tree = msgspec.json.decode(raw)
    fields = tree.get("metadata") if isinstance(tree, dict) else None
    if not isinstance(fields, dict) or not isinstance(fields.get("name"), str) or not fields["name"]:
        return None

    def text(name: str) -> str:
        value = fields.get(name)
        return value if isinstance(value, str) else ""

    def pairs(name: str) -> dict[str, str]:
        value = fields.get(name)
        return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}

    generation, finalizers = fields.get("generation"), fields.get("finalizers")
    return Metadata(
        name=fields["name"],
        namespace=text("namespace"),
        uid=text("uid"),
        resource_version=text("resourceVersion"),
        generation=generation if isinstance(generation, int) else 0,
        creation_timestamp=text("creationTimestamp") or None,
        deletion_timestamp=text("deletionTimestamp") or None,
        labels=pairs("labels"),
        annotations=pairs("annotations"),
        finalizers=[one for one in finalizers if isinstance(one, str)] if isinstance(finalizers, list) else None,
    )
