"""Values of the Helm chart, with what they must render or the message with which they must be refused."""

from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]
Expected = dict[str, tuple[str, ...]]

_IMAGE: Values = {"repository": "registry.example.org/facet"}
_DATABASE: Values = {"postgresql": {"secretName": "database"}}
_BASE: Values = {"image": _IMAGE, "gallery": _DATABASE}


@dataclass(frozen=True)
class Good:
    """Values that the chart accepts.

    Attributes:
        values: the values.
        expected: for each kind of resource that is rendered, texts in its YAML with single spaces.
        files: files of values in the chart that come first.
        release: name of the release.
    """

    values: Values
    expected: Expected
    files: list[str] = field(default_factory=list)
    release: str = "faces"


@dataclass(frozen=True)
class Bad:
    """Values that the chart refuses.

    Attributes:
        values: the values.
        message: a part of the message.
    """

    values: Values
    message: str


GOOD = {
    "cpu": Good(
        _BASE,
        {
            "Deployment": (
                "replicas: 2",
                "maxSurge: 1 maxUnavailable: 0",
                "name: FACE_MAX_CONCURRENT value: '8'",
                "secretKeyRef: key: uri name: database",
                "image: registry.example.org/facet:0.2.0",
                "readOnlyRootFilesystem: true",
                "enableServiceLinks: false",
                "terminationGracePeriodSeconds: 30",
            ),
            "Service": ("port: 80 ",),
            "PodDisruptionBudget": ("maxUnavailable: 1 ",),
        },
    ),
    "gpu": Good(
        {**_BASE, "autoscaling": {"enabled": True}, "gpu": {"runtimeClassName": "nvidia"}},
        {
            "Deployment": (
                "maxSurge: 0 maxUnavailable: 1",
                "limits: memory: 8Gi nvidia.com/gpu: 1",
                "runtimeClassName: nvidia",
            ),
            "Service": ("appProtocol: http",),
            "PodDisruptionBudget": (),
            "HorizontalPodAutoscaler": ("name: face_queue_depth target: averageValue: '4'",),
        },
        ["values-gpu.yaml"],
    ),
    "sqlite": Good(
        {"image": _IMAGE, "replicas": 1, "gallery": {"store": "sqlite"}},
        {
            "Deployment": (
                "type: Recreate",
                "value: /srv/facet/gallery/gallery.db",
                "claimName: faces-facet-gallery",
            ),
            "Service": (),
            "PodDisruptionBudget": (),
            "PersistentVolumeClaim": ("helm.sh/resource-policy: keep", "ReadWriteOnce", "storage: 10Gi"),
        },
    ),
    "sqlite on an existing claim": Good(
        {
            "image": _IMAGE,
            "replicas": 1,
            "gallery": {"store": "sqlite", "sqlite": {"existingClaim": "faces"}},
        },
        {"Deployment": ("claimName: faces ",), "Service": (), "PodDisruptionBudget": ()},
    ),
    "everything": Good(
        {
            **_BASE,
            "image": {**_IMAGE, "digest": "sha256:" + "0" * 64, "pullSecrets": ["registry"]},
            "apiKeys": {"secretName": "api-keys"},
            "settings": {"FACE_MAX_CONCURRENT": "3", "FACE_MAX_BATCH_BYTES": "67108864"},
            "shutdown": {"timeoutSeconds": 90.5, "drainDelaySeconds": 10},
            "autoscaling": {"enabled": True, "maxReplicas": 4},
            "podDisruptionBudget": {"maxUnavailable": "25%"},
            "serviceMonitor": {"enabled": True, "apiKey": {"secretName": "metrics-key"}},
            "service": {"type": "LoadBalancer", "annotations": {"example.org/a": "b"}},
            "podAnnotations": {"example.org/a": "b"},
            "podLabels": {"team": "vision"},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "batch", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
        },
        {
            "Deployment": (
                "name: FACE_API_KEYS_FILE value: /run/secrets/facet/keys",
                "name: FACE_MAX_BATCH_BYTES value: '67108864'",
                "name: FACE_MAX_CONCURRENT value: '3'",
                "image: registry.example.org/facet@sha256:0000",
                "imagePullSecrets: - name: registry",
                "terminationGracePeriodSeconds: 96",
                "defaultMode: 288 secretName: api-keys",
                "disk: fast",
                "key: batch",
                "team: vision",
            ),
            "Service": ("type: LoadBalancer", "example.org/a: b"),
            "PodDisruptionBudget": ("maxUnavailable: 25%",),
            "HorizontalPodAutoscaler": ("maxReplicas: 4", "averageUtilization: 70"),
            "ServiceMonitor": ("authorization: credentials: key: key name: metrics-key",),
        },
    ),
    "names that YAML would take for numbers": Good(
        {
            "image": {**_IMAGE, "pullSecrets": ["1"]},
            "gallery": {"postgresql": {"secretName": "2", "secretKey": "3"}},
            "apiKeys": {"secretName": "4"},
            "serviceMonitor": {"enabled": True, "apiKey": {"secretName": "5", "secretKey": "6"}},
        },
        {
            "Deployment": (
                "app.kubernetes.io/instance: '2026'",
                "imagePullSecrets: - name: '1'",
                "secretKeyRef: key: '3' name: '2'",
                "secretName: '4'",
            ),
            "Service": ("name: facet-2026 ",),
            "PodDisruptionBudget": (),
            "ServiceMonitor": ("credentials: key: '6' name: '5'",),
        },
        release="2026",
    ),
    "a claim that YAML would take for a number": Good(
        {"image": _IMAGE, "replicas": 1, "gallery": {"store": "sqlite", "sqlite": {"existingClaim": "7"}}},
        {"Deployment": ("claimName: '7'",), "Service": (), "PodDisruptionBudget": ()},
    ),
    "no gallery and no budget": Good(
        {"image": _IMAGE, "gallery": {"store": "off"}, "podDisruptionBudget": {"enabled": False}},
        {"Deployment": ("name: FACE_GALLERY value: 'off'",), "Service": ()},
    ),
}

BAD = [
    Bad({"gallery": _DATABASE}, "image.repository is not set. Build an image"),
    Bad({"image": _IMAGE}, "gallery.postgresql.secretName is not set. Make a Secret"),
    Bad({"image": _IMAGE, "gallery": {"store": "sqlite"}}, "replicas is 2, but gallery.store=sqlite"),
    Bad(
        {
            "image": _IMAGE,
            "replicas": 1,
            "gallery": {"store": "sqlite"},
            "autoscaling": {"enabled": True},
        },
        "autoscaling.enabled is true, but gallery.store=sqlite",
    ),
    Bad({**_BASE, "autoscaling": {"enabled": True, "maxReplicas": 1}}, "minReplicas is greater than"),
    Bad({**_BASE, "device": "gpu", "autoscaling": {"enabled": True}}, "Set autoscaling.metric=queue"),
    Bad({**_BASE, "shutdown": {"drainDelaySeconds": 13}}, "drainDelaySeconds is more than half"),
    Bad(
        {**_BASE, "apiKeys": {"secretName": "api-keys"}, "serviceMonitor": {"enabled": True}},
        "serviceMonitor.apiKey.secretName is not set",
    ),
    Bad({**_BASE, "settings": {"FACE_GALLERY": "off"}}, "settings has FACE_GALLERY, which the chart sets"),
    Bad({**_BASE, "settings": {"FACE_THREADS": "2"}}, "settings has FACE_THREADS, which the chart sets"),
    # These are refused by values.schema.json.
    Bad({**_BASE, "settings": {"FACE_MAX_FACES": 5}}, "FACE_MAX_FACES"),
    Bad({**_BASE, "settings": {"MAX_FACES": "5"}}, "MAX_FACES"),
    Bad({**_BASE, "device": "cuda"}, "device"),
    Bad({**_BASE, "replicas": 0}, "replicas"),
    Bad({**_BASE, "replicaCount": 2}, "replicaCount"),
    Bad({**_BASE, "memory": "lots"}, "memory"),
    Bad({**_BASE, "gallery": {"store": "mysql"}}, "store"),
]
