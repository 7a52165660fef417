import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TableType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GLOBAL: _ClassVar[TableType]
    LOCAL: _ClassVar[TableType]
    ADJ_IN: _ClassVar[TableType]
    ADJ_OUT: _ClassVar[TableType]
GLOBAL: TableType
LOCAL: TableType
ADJ_IN: TableType
ADJ_OUT: TableType

class Global(_message.Message):
    __slots__ = ("asn", "router_id", "listen_port", "listen_addresses")
    ASN_FIELD_NUMBER: _ClassVar[int]
    ROUTER_ID_FIELD_NUMBER: _ClassVar[int]
    LISTEN_PORT_FIELD_NUMBER: _ClassVar[int]
    LISTEN_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    asn: int
    router_id: str
    listen_port: int
    listen_addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, asn: _Optional[int] = ..., router_id: _Optional[str] = ..., listen_port: _Optional[int] = ..., listen_addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class StartBgpRequest(_message.Message):
    __slots__ = ()
    GLOBAL_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class GetBgpRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBgpResponse(_message.Message):
    __slots__ = ()
    GLOBAL_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class WatchEventRequest(_message.Message):
    __slots__ = ("peer",)
    class Peer(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    PEER_FIELD_NUMBER: _ClassVar[int]
    peer: WatchEventRequest.Peer
    def __init__(self, peer: _Optional[_Union[WatchEventRequest.Peer, _Mapping]] = ...) -> None: ...

class WatchEventResponse(_message.Message):
    __slots__ = ("peer",)
    class PeerEvent(_message.Message):
        __slots__ = ("peer",)
        PEER_FIELD_NUMBER: _ClassVar[int]
        peer: Peer
        def __init__(self, peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...
    PEER_FIELD_NUMBER: _ClassVar[int]
    peer: WatchEventResponse.PeerEvent
    def __init__(self, peer: _Optional[_Union[WatchEventResponse.PeerEvent, _Mapping]] = ...) -> None: ...

class Conditions(_message.Message):
    __slots__ = ("route_type",)
    ROUTE_TYPE_FIELD_NUMBER: _ClassVar[int]
    route_type: int
    def __init__(self, route_type: _Optional[int] = ...) -> None: ...

class Actions(_message.Message):
    __slots__ = ("route_action",)
    ROUTE_ACTION_FIELD_NUMBER: _ClassVar[int]
    route_action: int
    def __init__(self, route_action: _Optional[int] = ...) -> None: ...

class Statement(_message.Message):
    __slots__ = ("name", "conditions", "actions")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    conditions: Conditions
    actions: Actions
    def __init__(self, name: _Optional[str] = ..., conditions: _Optional[_Union[Conditions, _Mapping]] = ..., actions: _Optional[_Union[Actions, _Mapping]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("name", "statements")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATEMENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    statements: _containers.RepeatedCompositeFieldContainer[Statement]
    def __init__(self, name: _Optional[str] = ..., statements: _Optional[_Iterable[_Union[Statement, _Mapping]]] = ...) -> None: ...

class PolicyAssignment(_message.Message):
    __slots__ = ("name", "direction", "policies", "default_action")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ACTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    direction: int
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    default_action: int
    def __init__(self, name: _Optional[str] = ..., direction: _Optional[int] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., default_action: _Optional[int] = ...) -> None: ...

class AddPolicyRequest(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ...) -> None: ...

class SetPolicyAssignmentRequest(_message.Message):
    __slots__ = ("assignment",)
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    assignment: PolicyAssignment
    def __init__(self, assignment: _Optional[_Union[PolicyAssignment, _Mapping]] = ...) -> None: ...

class Family(_message.Message):
    __slots__ = ("afi", "safi")
    AFI_FIELD_NUMBER: _ClassVar[int]
    SAFI_FIELD_NUMBER: _ClassVar[int]
    afi: int
    safi: int
    def __init__(self, afi: _Optional[int] = ..., safi: _Optional[int] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("conf", "ebgp_multihop", "state", "timers", "transport", "graceful_restart", "afi_safis", "ttl_security")
    CONF_FIELD_NUMBER: _ClassVar[int]
    EBGP_MULTIHOP_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIMERS_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    GRACEFUL_RESTART_FIELD_NUMBER: _ClassVar[int]
    AFI_SAFIS_FIELD_NUMBER: _ClassVar[int]
    TTL_SECURITY_FIELD_NUMBER: _ClassVar[int]
    conf: PeerConf
    ebgp_multihop: EbgpMultihop
    state: PeerState
    timers: Timers
    transport: Transport
    graceful_restart: GracefulRestart
    afi_safis: _containers.RepeatedCompositeFieldContainer[AfiSafi]
    ttl_security: TtlSecurity
    def __init__(self, conf: _Optional[_Union[PeerConf, _Mapping]] = ..., ebgp_multihop: _Optional[_Union[EbgpMultihop, _Mapping]] = ..., state: _Optional[_Union[PeerState, _Mapping]] = ..., timers: _Optional[_Union[Timers, _Mapping]] = ..., transport: _Optional[_Union[Transport, _Mapping]] = ..., graceful_restart: _Optional[_Union[GracefulRestart, _Mapping]] = ..., afi_safis: _Optional[_Iterable[_Union[AfiSafi, _Mapping]]] = ..., ttl_security: _Optional[_Union[TtlSecurity, _Mapping]] = ...) -> None: ...

class PeerConf(_message.Message):
    __slots__ = ("auth_password", "description", "local_asn", "neighbor_address", "peer_asn")
    AUTH_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ASN_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOR_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_ASN_FIELD_NUMBER: _ClassVar[int]
    auth_password: str
    description: str
    local_asn: int
    neighbor_address: str
    peer_asn: int
    def __init__(self, auth_password: _Optional[str] = ..., description: _Optional[str] = ..., local_asn: _Optional[int] = ..., neighbor_address: _Optional[str] = ..., peer_asn: _Optional[int] = ...) -> None: ...

class EbgpMultihop(_message.Message):
    __slots__ = ("enabled", "multihop_ttl")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    MULTIHOP_TTL_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    multihop_ttl: int
    def __init__(self, enabled: _Optional[bool] = ..., multihop_ttl: _Optional[int] = ...) -> None: ...

class TtlSecurity(_message.Message):
    __slots__ = ("enabled", "ttl_min")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    TTL_MIN_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    ttl_min: int
    def __init__(self, enabled: _Optional[bool] = ..., ttl_min: _Optional[int] = ...) -> None: ...

class PeerState(_message.Message):
    __slots__ = ("messages", "session_state", "remote_cap")
    class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[PeerState.SessionState]
        IDLE: _ClassVar[PeerState.SessionState]
        CONNECT: _ClassVar[PeerState.SessionState]
        ACTIVE: _ClassVar[PeerState.SessionState]
        OPENSENT: _ClassVar[PeerState.SessionState]
        OPENCONFIRM: _ClassVar[PeerState.SessionState]
        ESTABLISHED: _ClassVar[PeerState.SessionState]
    UNKNOWN: PeerState.SessionState
    IDLE: PeerState.SessionState
    CONNECT: PeerState.SessionState
    ACTIVE: PeerState.SessionState
    OPENSENT: PeerState.SessionState
    OPENCONFIRM: PeerState.SessionState
    ESTABLISHED: PeerState.SessionState
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SESSION_STATE_FIELD_NUMBER: _ClassVar[int]
    REMOTE_CAP_FIELD_NUMBER: _ClassVar[int]
    messages: Messages
    session_state: PeerState.SessionState
    remote_cap: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, messages: _Optional[_Union[Messages, _Mapping]] = ..., session_state: _Optional[_Union[PeerState.SessionState, str]] = ..., remote_cap: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class Messages(_message.Message):
    __slots__ = ("received", "sent")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    received: Message
    sent: Message
    def __init__(self, received: _Optional[_Union[Message, _Mapping]] = ..., sent: _Optional[_Union[Message, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("notification", "update")
    NOTIFICATION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    notification: int
    update: int
    def __init__(self, notification: _Optional[int] = ..., update: _Optional[int] = ...) -> None: ...

class Timers(_message.Message):
    __slots__ = ("config", "state")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    config: TimersConfig
    state: TimersState
    def __init__(self, config: _Optional[_Union[TimersConfig, _Mapping]] = ..., state: _Optional[_Union[TimersState, _Mapping]] = ...) -> None: ...

class TimersConfig(_message.Message):
    __slots__ = ("connect_retry", "hold_time", "keepalive_interval")
    CONNECT_RETRY_FIELD_NUMBER: _ClassVar[int]
    HOLD_TIME_FIELD_NUMBER: _ClassVar[int]
    KEEPALIVE_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    connect_retry: int
    hold_time: int
    keepalive_interval: int
    def __init__(self, connect_retry: _Optional[int] = ..., hold_time: _Optional[int] = ..., keepalive_interval: _Optional[int] = ...) -> None: ...

class TimersState(_message.Message):
    __slots__ = ("negotiated_hold_time", "uptime")
    NEGOTIATED_HOLD_TIME_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    negotiated_hold_time: int
    uptime: _timestamp_pb2.Timestamp
    def __init__(self, negotiated_hold_time: _Optional[int] = ..., uptime: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Transport(_message.Message):
    __slots__ = ("local_address", "passive_mode", "remote_port")
    LOCAL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PASSIVE_MODE_FIELD_NUMBER: _ClassVar[int]
    REMOTE_PORT_FIELD_NUMBER: _ClassVar[int]
    local_address: str
    passive_mode: bool
    remote_port: int
    def __init__(self, local_address: _Optional[str] = ..., passive_mode: _Optional[bool] = ..., remote_port: _Optional[int] = ...) -> None: ...

class GracefulRestart(_message.Message):
    __slots__ = ("enabled", "restart_time", "deferral_time", "local_restarting")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    RESTART_TIME_FIELD_NUMBER: _ClassVar[int]
    DEFERRAL_TIME_FIELD_NUMBER: _ClassVar[int]
    LOCAL_RESTARTING_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    restart_time: int
    deferral_time: int
    local_restarting: bool
    def __init__(self, enabled: _Optional[bool] = ..., restart_time: _Optional[int] = ..., deferral_time: _Optional[int] = ..., local_restarting: _Optional[bool] = ...) -> None: ...

class MpGracefulRestart(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: MpGracefulRestartConfig
    def __init__(self, config: _Optional[_Union[MpGracefulRestartConfig, _Mapping]] = ...) -> None: ...

class MpGracefulRestartConfig(_message.Message):
    __slots__ = ("enabled",)
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    def __init__(self, enabled: _Optional[bool] = ...) -> None: ...

class AfiSafi(_message.Message):
    __slots__ = ("mp_graceful_restart", "config", "add_paths")
    MP_GRACEFUL_RESTART_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ADD_PATHS_FIELD_NUMBER: _ClassVar[int]
    mp_graceful_restart: MpGracefulRestart
    config: AfiSafiConfig
    add_paths: AddPaths
    def __init__(self, mp_graceful_restart: _Optional[_Union[MpGracefulRestart, _Mapping]] = ..., config: _Optional[_Union[AfiSafiConfig, _Mapping]] = ..., add_paths: _Optional[_Union[AddPaths, _Mapping]] = ...) -> None: ...

class AfiSafiConfig(_message.Message):
    __slots__ = ("family", "enabled")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    family: Family
    enabled: bool
    def __init__(self, family: _Optional[_Union[Family, _Mapping]] = ..., enabled: _Optional[bool] = ...) -> None: ...

class AddPaths(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: AddPathsConfig
    def __init__(self, config: _Optional[_Union[AddPathsConfig, _Mapping]] = ...) -> None: ...

class AddPathsConfig(_message.Message):
    __slots__ = ("receive", "send_max")
    RECEIVE_FIELD_NUMBER: _ClassVar[int]
    SEND_MAX_FIELD_NUMBER: _ClassVar[int]
    receive: bool
    send_max: int
    def __init__(self, receive: _Optional[bool] = ..., send_max: _Optional[int] = ...) -> None: ...

class MultiProtocolCapability(_message.Message):
    __slots__ = ("family",)
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    family: Family
    def __init__(self, family: _Optional[_Union[Family, _Mapping]] = ...) -> None: ...

class AddPathCapability(_message.Message):
    __slots__ = ("tuples",)
    TUPLES_FIELD_NUMBER: _ClassVar[int]
    tuples: _containers.RepeatedCompositeFieldContainer[AddPathCapabilityTuple]
    def __init__(self, tuples: _Optional[_Iterable[_Union[AddPathCapabilityTuple, _Mapping]]] = ...) -> None: ...

class AddPathCapabilityTuple(_message.Message):
    __slots__ = ("family", "mode")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    family: Family
    mode: int
    def __init__(self, family: _Optional[_Union[Family, _Mapping]] = ..., mode: _Optional[int] = ...) -> None: ...

class ExtendedNexthopCapability(_message.Message):
    __slots__ = ("tuples",)
    TUPLES_FIELD_NUMBER: _ClassVar[int]
    tuples: _containers.RepeatedCompositeFieldContainer[ExtendedNexthopCapabilityTuple]
    def __init__(self, tuples: _Optional[_Iterable[_Union[ExtendedNexthopCapabilityTuple, _Mapping]]] = ...) -> None: ...

class ExtendedNexthopCapabilityTuple(_message.Message):
    __slots__ = ("nlri_family", "nexthop_family")
    NLRI_FAMILY_FIELD_NUMBER: _ClassVar[int]
    NEXTHOP_FAMILY_FIELD_NUMBER: _ClassVar[int]
    nlri_family: Family
    nexthop_family: Family
    def __init__(self, nlri_family: _Optional[_Union[Family, _Mapping]] = ..., nexthop_family: _Optional[_Union[Family, _Mapping]] = ...) -> None: ...

class GracefulRestartCapability(_message.Message):
    __slots__ = ("flags", "time")
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    flags: int
    time: int
    def __init__(self, flags: _Optional[int] = ..., time: _Optional[int] = ...) -> None: ...

class AddPeerRequest(_message.Message):
    __slots__ = ("peer",)
    PEER_FIELD_NUMBER: _ClassVar[int]
    peer: Peer
    def __init__(self, peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...

class DeletePeerRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class ListPeerRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class ListPeerResponse(_message.Message):
    __slots__ = ("peer",)
    PEER_FIELD_NUMBER: _ClassVar[int]
    peer: Peer
    def __init__(self, peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...

class ResetPeerRequest(_message.Message):
    __slots__ = ("address", "soft", "direction")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SOFT_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    address: str
    soft: bool
    direction: int
    def __init__(self, address: _Optional[str] = ..., soft: _Optional[bool] = ..., direction: _Optional[int] = ...) -> None: ...

class Path(_message.Message):
    __slots__ = ("nlri", "pattrs", "is_withdraw", "family", "identifier", "local_identifier")
    NLRI_FIELD_NUMBER: _ClassVar[int]
    PATTRS_FIELD_NUMBER: _ClassVar[int]
    IS_WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    LOCAL_IDENTIFIER_FIELD_NUMBER: _ClassVar[int]
    nlri: _any_pb2.Any
    pattrs: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    is_withdraw: bool
    family: Family
    identifier: int
    local_identifier: int
    def __init__(self, nlri: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., pattrs: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., is_withdraw: _Optional[bool] = ..., family: _Optional[_Union[Family, _Mapping]] = ..., identifier: _Optional[int] = ..., local_identifier: _Optional[int] = ...) -> None: ...

class Destination(_message.Message):
    __slots__ = ("prefix", "paths")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    paths: _containers.RepeatedCompositeFieldContainer[Path]
    def __init__(self, prefix: _Optional[str] = ..., paths: _Optional[_Iterable[_Union[Path, _Mapping]]] = ...) -> None: ...

class AddPathStreamRequest(_message.Message):
    __slots__ = ("table_type", "paths")
    TABLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    table_type: TableType
    paths: _containers.RepeatedCompositeFieldContainer[Path]
    def __init__(self, table_type: _Optional[_Union[TableType, str]] = ..., paths: _Optional[_Iterable[_Union[Path, _Mapping]]] = ...) -> None: ...

class ListPathRequest(_message.Message):
    __slots__ = ("table_type", "name", "family")
    TABLE_TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    table_type: TableType
    name: str
    family: Family
    def __init__(self, table_type: _Optional[_Union[TableType, str]] = ..., name: _Optional[str] = ..., family: _Optional[_Union[Family, _Mapping]] = ...) -> None: ...

class ListPathResponse(_message.Message):
    __slots__ = ("destination",)
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    destination: Destination
    def __init__(self, destination: _Optional[_Union[Destination, _Mapping]] = ...) -> None: ...

class IPAddressPrefix(_message.Message):
    __slots__ = ("prefix_len", "prefix")
    PREFIX_LEN_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix_len: int
    prefix: str
    def __init__(self, prefix_len: _Optional[int] = ..., prefix: _Optional[str] = ...) -> None: ...

class OriginAttribute(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: int
    def __init__(self, origin: _Optional[int] = ...) -> None: ...

class AsSegment(_message.Message):
    __slots__ = ("type", "numbers")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    type: int
    numbers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, type: _Optional[int] = ..., numbers: _Optional[_Iterable[int]] = ...) -> None: ...

class AsPathAttribute(_message.Message):
    __slots__ = ("segments",)
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[AsSegment]
    def __init__(self, segments: _Optional[_Iterable[_Union[AsSegment, _Mapping]]] = ...) -> None: ...

class NextHopAttribute(_message.Message):
    __slots__ = ("next_hop",)
    NEXT_HOP_FIELD_NUMBER: _ClassVar[int]
    next_hop: str
    def __init__(self, next_hop: _Optional[str] = ...) -> None: ...

class MultiExitDiscAttribute(_message.Message):
    __slots__ = ("med",)
    MED_FIELD_NUMBER: _ClassVar[int]
    med: int
    def __init__(self, med: _Optional[int] = ...) -> None: ...

class LocalPrefAttribute(_message.Message):
    __slots__ = ("local_pref",)
    LOCAL_PREF_FIELD_NUMBER: _ClassVar[int]
    local_pref: int
    def __init__(self, local_pref: _Optional[int] = ...) -> None: ...

class CommunitiesAttribute(_message.Message):
    __slots__ = ("communities",)
    COMMUNITIES_FIELD_NUMBER: _ClassVar[int]
    communities: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, communities: _Optional[_Iterable[int]] = ...) -> None: ...

class LargeCommunity(_message.Message):
    __slots__ = ("global_admin", "local_data1", "local_data2")
    GLOBAL_ADMIN_FIELD_NUMBER: _ClassVar[int]
    LOCAL_DATA1_FIELD_NUMBER: _ClassVar[int]
    LOCAL_DATA2_FIELD_NUMBER: _ClassVar[int]
    global_admin: int
    local_data1: int
    local_data2: int
    def __init__(self, global_admin: _Optional[int] = ..., local_data1: _Optional[int] = ..., local_data2: _Optional[int] = ...) -> None: ...

class LargeCommunitiesAttribute(_message.Message):
    __slots__ = ("communities",)
    COMMUNITIES_FIELD_NUMBER: _ClassVar[int]
    communities: _containers.RepeatedCompositeFieldContainer[LargeCommunity]
    def __init__(self, communities: _Optional[_Iterable[_Union[LargeCommunity, _Mapping]]] = ...) -> None: ...

class MpReachNLRIAttribute(_message.Message):
    __slots__ = ("family", "next_hops", "nlris")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    NEXT_HOPS_FIELD_NUMBER: _ClassVar[int]
    NLRIS_FIELD_NUMBER: _ClassVar[int]
    family: Family
    next_hops: _containers.RepeatedScalarFieldContainer[str]
    nlris: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, family: _Optional[_Union[Family, _Mapping]] = ..., next_hops: _Optional[_Iterable[str]] = ..., nlris: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...
