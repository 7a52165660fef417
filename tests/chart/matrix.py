"""The combinations of values that are rendered and shown to an API server."""

DIGEST = f"sha256:{'0a' * 32}"

EXTERNAL_URL = {"redis": {"enabled": False}, "externalRedis": {"url": "redis://redis.data:6379/0"}}
EXTERNAL_SECRET = {
    "redis": {"enabled": False},
    "externalRedis": {"existingSecret": "journal", "controllerKey": "controller", "speakerKey": "speaker"},
}
EXTERNAL_TLS = {
    "redis": {"enabled": False},
    "externalRedis": {"url": "rediss://redis.data:6380/2", "tls": {"caSecret": "journal-ca", "caKey": "root.pem"}},
}
SENTINELS = {
    "redis": {"enabled": False},
    "externalRedis": {"url": "redis+sentinel://valkey-sentinel.data:26379/porter"},
}
EVERYTHING = {
    "global": {"cluster": "rack-7.b"},
    "fullnameOverride": "lb",
    "image": {"repository": "registry.example/net/porter", "digest": DIGEST, "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "crds": {"install": False},
    "logLevel": "debug",
    "services": {"loadBalancerClass": "example.io/lb", "claimUnclassified": True},
    "maintenance": {"drainCordoned": True, "hold": {"sharePercent": 50, "minimum": 5, "boundSeconds": 60}},
    "journal": {"baselineEvents": 500, "trimAbove": "64Mi", "keep": "30d", "max": "128Mi"},
    "archive": {"persistence": {"size": "50Gi", "storageClassName": "slow"}, "max": "40Gi", "keep": "365d"},
    "signing": {"existingSecret": "journal-key"},
    "unsafe": ["replica"],
    "controller": {
        "replicas": 3,
        "listenAddress": "[::]",
        "port": 9999,
        "serviceAccount": {"annotations": {"a": "b"}},
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "podLabels": {"team": "net"},
        "podAnnotations": {"note": "controller"},
        "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://otel:4318"}],
        "nodeSelector": {"pool": "infra"},
        "affinity": {"nodeAffinity": {}},
    },
    "speaker": {
        "replicas": 1,
        "localAddress": "192.0.2.7",
        "passwordSecrets": ["tor-a", "tor-b.rack-7"],
        "persistence": {"enabled": True, "storageClassName": "local"},
        "podAnnotations": {"note": "speaker"},
        "nodeSelector": {"pool": "edge"},
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "edge", "operator": "Exists"}]}]
            }
        },
        "podDisruptionBudget": {"enabled": False},
    },
    "bfd": {"enabled": True},
    "networkPolicy": {"clientNamespaces": ["monitoring"], "extraEgressPorts": [4318]},
    "console": {
        "enabled": True,
        "listen": "pod",
        "port": 9990,
        "healthPort": 9991,
        "allowedFrom": [{"podSelector": {"matchLabels": {"app": "oauth2-proxy"}}}],
        "traceUrl": "https://traces.example/trace/{trace}",
        "serviceAccount": {"annotations": {"a": "b"}},
        "podLabels": {"team": "net"},
        "podAnnotations": {"note": "console"},
        "nodeSelector": {"pool": "infra"},
        "priorityClassName": "low",
    },
    "agent": {"enabled": True, "nodeSelector": {"rack": "7"}, "podAnnotations": {"note": "agent"}},
    "monitoring": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {
            "enabled": True,
            "disabled": ["PorterPoolNearlyFull"],
            "runbookBase": "https://runbooks.example/porter/",
        },
        "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Network"}},
    },
    "redis": {
        "image": {"digest": DIGEST},
        "auth": {"existingSecret": "my-redis-users"},
        "maxmemory": "512mb",
        "persistence": {"size": "8Gi", "storageClassName": "fast"},
        "networkPolicy": {"nodeCIDRs": ["192.0.2.0/24", "2001:db8::/64"]},
        "nodeSelector": {"pool": "infra"},
        "tolerations": [{"operator": "Exists"}],
    },
}

MATRIX: dict[str, dict[str, object]] = {
    "defaults": {},
    "external-url": EXTERNAL_URL,
    "external-secret": EXTERNAL_SECRET,
    "external-tls": EXTERNAL_TLS,
    "sentinels": SENTINELS,
    "everything": EVERYTHING,
    "without-archive-and-signatures": {
        "archive": {"persistence": {"enabled": False}},
        "signing": {"enabled": False},
    },
    "without-network-policies": {
        "networkPolicy": {"enabled": False},
        "redis": {"networkPolicy": {"enabled": False}, "persistence": {"enabled": False}},
        "monitoring": {"serviceMonitor": {"enabled": True}},
    },
    "console": {"console": {"enabled": True}},
    "console-external-tls": {**EXTERNAL_TLS, "console": {"enabled": True}},
    "a-test-that-looks-around": {"test": {"inspectCluster": True}},
    "one-node": {"controller": {"replicas": 1}, "speaker": {"replicas": 1}},
}
