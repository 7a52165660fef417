"""Every event type by name, with its current schema version, and which of them are written without being asked for.

A type that is not listed here is unknown: a reader stops at it and says so, it never skips. A change of a field's
meaning raises the version and needs an upcaster (`porter.events.upcast`) and a golden sample of the old one.
"""

from __future__ import annotations

from porter.events import decided, observed, routed

Event = (
    observed.ServiceObserved
    | observed.ServiceGone
    | observed.EndpointsObserved
    | observed.NodeObserved
    | observed.NodeGone
    | observed.NamespaceObserved
    | observed.NamespaceGone
    | observed.PoolObserved
    | observed.PoolGone
    | observed.ConfObserved
    | observed.ConfGone
    | observed.PeerObserved
    | observed.PeerGone
    | observed.AdvertisementObserved
    | observed.AdvertisementGone
    | observed.ServiceRangeObserved
    | observed.ServiceRangeGone
    | observed.InventorySynced
    | decided.AddressAllocated
    | decided.AddressAdopted
    | decided.AddressReleased
    | decided.CoolDownElapsed
    | decided.AllocationRefused
    | decided.PathIdentifierAssigned
    | decided.EpochStarted
    | decided.PositionsLost
    | decided.RecoveryCompleted
    | decided.BaselineRecorded
    | decided.SchemaActivated
    | decided.HeadWitnessed
    | decided.HeadSigned
    | decided.SpeakerDrained
    | decided.SpeakerDrainElapsed
    | decided.SpeakerUndrained
    | decided.NodeDrained
    | decided.NodeDrainElapsed
    | decided.NodeUndrained
    | decided.ServiceDrained
    | decided.ServiceDrainElapsed
    | decided.ServiceUndrained
    | decided.WithdrawalHeld
    | decided.WithdrawalApproved
    | decided.HoldExpired
    | decided.HoldEnded
    | routed.SpeakerStarted
    | routed.EngineStateChanged
    | routed.SessionStateChanged
    | routed.BfdStateChanged
    | routed.BfdDaemonStateChanged
    | routed.RibSynced
    | routed.EndOfRibSent
    | routed.RoutesAnnounced
    | routed.RoutesWithdrawn
    | routed.PeerUnsynced
    | routed.DriftFound
    | routed.ImportsRefused
    | routed.PeerRejected
    | routed.FieldsUnsupported
    | routed.JournalLost
    | routed.OutcomesDropped
    | routed.HeadSeen
)

EVENT_TYPES: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__args__}

VERSIONS: dict[str, int] = dict.fromkeys(EVENT_TYPES, 1)

UNRELEASED = frozenset({"SchemaActivated"})
"""Types that came after the first release: a reader of that release stops at them."""

RELEASED: dict[str, int] = {name: 1 for name in EVENT_TYPES if name not in UNRELEASED}
"""The types and versions that every release reads: they are written from a journal's first event on. What is newer is
written only after `SchemaActivated` names it. There was no release yet, so that this is all but what tells of itself;
from the first one on, a new type belongs into `UNRELEASED`, and a raised version waits by itself."""
