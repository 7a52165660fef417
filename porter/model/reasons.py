"""The closed list of reason codes: why an address was given, refused or taken back, and why a route is not there."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """One code each; the text that goes with it names the field or object and the mend."""

    # Why an address was given.
    REQUESTED_ADDRESS = "RequestedAddress"
    REQUESTED_POOL = "RequestedPool"
    BOUND_POOL = "BoundPool"
    DEFAULT_POOL = "DefaultPool"
    AUTO_ASSIGNED = "AutoAssigned"
    RESERVED_ADDRESS = "ReservedAddress"
    SHARED_ADDRESS = "SharedAddress"
    ADOPTED_FROM_STATUS = "AdoptedFromStatus"
    ADOPTED_FROM_SPEAKER = "AdoptedFromSpeaker"
    # Why one was refused, or a pool passed over.
    NO_POOL = "NoPool"
    POOL_NOT_FOUND = "PoolNotFound"
    POOL_INVALID = "PoolInvalid"
    POOL_EXHAUSTED = "PoolExhausted"
    POOL_DISABLED = "PoolDisabled"
    ADDRESS_IN_USE = "AddressInUse"
    ADDRESS_OUTSIDE_POOLS = "AddressOutsidePools"
    ADDRESS_INVALID = "AddressInvalid"
    FAMILY_UNAVAILABLE = "FamilyUnavailable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    NOT_SELECTED = "NotSelected"
    ON_REQUEST_ONLY = "OnRequestOnly"
    SHARING_REFUSED = "SharingRefused"
    RESERVED = "Reserved"
    COOLING_DOWN = "CoolingDown"
    # Why one was taken back.
    SERVICE_DELETED = "ServiceDeleted"
    SERVICE_NOT_CLAIMED = "ServiceNotClaimed"
    REQUEST_CHANGED = "RequestChanged"
    FAMILY_DROPPED = "FamilyDropped"
    SUPERSEDED_IN_RECOVERY = "SupersededInRecovery"
    # Why a route is not announced.
    NO_ELIGIBLE_NODE = "NoEligibleNode"
    NO_READY_ENDPOINT = "NoReadyEndpoint"
    NO_PEER = "NoPeer"
    SESSION_DOWN = "SessionDown"
    HELD = "Held"
    DRAINED = "Drained"
    NO_ADD_PATH = "NoAddPath"
    NO_EXTENDED_NEXT_HOP = "NoExtendedNextHop"
    NOT_ADVERTISED = "NotAdvertised"
    FAMILY_NOT_CARRIED = "FamilyNotCarried"
    NEXT_HOP_LIMIT = "NextHopLimit"
    # Why a node is no next hop.
    NODE_NOT_READY = "NodeNotReady"
    NODE_EXCLUDED = "NodeExcluded"
    NODE_WITHOUT_ADDRESS = "NodeWithoutAddress"
    NO_ENDPOINT_ON_NODE = "NoEndpointOnNode"
    NODE_NOT_SELECTED = "NodeNotSelected"
    # What BFD says of the path to a router.
    BFD_DOWN = "BfdDown"
    BFD_UNAVAILABLE = "BfdUnavailable"
    # What a router does that Porter takes no part in.
    IMPORTS_REFUSED = "ImportsRefused"
    # What became of withdrawals that were held back.
    WITHDRAWAL_HELD = "WithdrawalHeld"
    WITHDRAWAL_APPROVED = "WithdrawalApproved"
    HOLD_EXPIRED = "HoldExpired"
    HOLD_ENDED = "HoldEnded"
    # What a pool is warned of; it is used all the same.
    POOL_OVERLAPS_NODES = "PoolOverlapsNodes"
    POOL_OVERLAPS_SERVICE_RANGE = "PoolOverlapsServiceRange"
    # Why an object's field was not taken as it stands.
    FIELD_INVALID = "FieldInvalid"
    FIELD_UNSUPPORTED = "FieldUnsupported"
    """The rest of the object is used as if the field were not set."""
    CONTRADICTION = "Contradiction"
    """An older object says otherwise, and its value counts; the rest of the object is used."""


class Candidate(NamedTuple):
    """A pool that was considered and passed over, and why."""

    pool: str
    reason: str
    message: str


class Problem(NamedTuple):
    """A defect of an object: the reason code, the field's path, and a sentence with the mend."""

    reason: str
    field: str
    message: str
