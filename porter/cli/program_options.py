"""The options that the long-running programs share, as groups; each gives itself as `porter.app.settings` takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from porter.app import settings as defaults
from porter.cli import options
from porter.cli.durations import duration_ms

NEVER = "never"
ACTIVATE_SCHEMA_AFTER = "60s"


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """Which journal a program reads or writes, and where it keeps its files."""

    redis_url: options.RedisUrl = ""
    state_dir: options.StateDir = defaults.DEFAULT_STATE_DIR
    cluster: options.Cluster = defaults.DEFAULT_CLUSTER
    namespace: options.Namespace = defaults.DEFAULT_NAMESPACE
    local_address: options.LocalAddress = ""

    def settings(self) -> dict[str, Any]:
        """The same as `porter.app.settings.Settings` takes it."""
        return {
            "redis_url": self.redis_url,
            "state_dir": self.state_dir,
            "cluster": self.cluster,
            "namespace": self.namespace,
            "local_address": self.local_address,
        }


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """What a leader decides about, what it holds back, and where it answers."""

    http: options.Http = defaults.DEFAULT_HTTP
    load_balancer_class: options.LoadBalancerClass = defaults.DEFAULT_LOAD_BALANCER_CLASS
    claim_unclassified: options.ClaimUnclassified = False
    drain_cordoned: options.DrainCordoned = False
    hold_share: options.HoldShare = defaults.DEFAULT_HOLD_SHARE_PERCENT
    hold_minimum: options.HoldMinimum = defaults.DEFAULT_HOLD_MINIMUM
    hold_bound: options.HoldBound = defaults.DEFAULT_HOLD_BOUND_S
    activate_schema_after: options.ActivateSchemaAfter = ACTIVATE_SCHEMA_AFTER
    unsafe: options.Unsafe = None

    def settings(self) -> dict[str, Any]:
        """The same as `porter.app.settings.Settings` takes it.

        Raises:
            InvalidSettings: the time before newer events are written is none.
        """
        after = self.activate_schema_after
        return {
            "http": self.http,
            "load_balancer_class": self.load_balancer_class,
            "claim_unclassified": self.claim_unclassified,
            "drain_cordoned": self.drain_cordoned,
            "hold_share_percent": self.hold_share,
            "hold_minimum": self.hold_minimum,
            "hold_bound_s": self.hold_bound,
            "activate_after_s": None if after == NEVER else duration_ms(after, "--activate-schema-after") / 1000,
            "unsafe": frozenset(self.unsafe or ()),
        }


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The BGP engine, and where its passwords are."""

    secrets_dir: options.SecretsDir = None
    engine: options.Engine = options.EngineName.EXABGP

    def settings(self) -> dict[str, Any]:
        """The same as `porter.app.settings.Settings` takes it."""
        return {"secrets_dir": self.secrets_dir, "engine": self.engine.value}


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """How a program runs."""

    log_level: options.Level = options.LogLevel.INFO
    supervisor: options.SupervisorPid = 0


JOURNAL = JournalOptions()
DECISIONS = DecisionOptions()
ENGINE = EngineOptions()
PROCESS = ProcessOptions()
