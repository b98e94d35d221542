"""An OCI bundle's config.json: its annotations are where CRI, CRI-O, Podman and nerdctl put names.

containerd keeps it in <state>/io.containerd.runtime.v2.task/<namespace>/<id>/,
Podman and CRI-O in <graphroot>/overlay-containers/<id>/userdata/.
Keys: containerd internal/cri/annotations, cri-o/cri-o pkg/annotations,
nerdctl pkg/labels.
"""

from __future__ import annotations

from inspector.stores.facts import Facts, labels_of, moment, object_of

__all__ = ["parse_bundle"]

NAMES = ("io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name")
IMAGES = ("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "nerdctl/image")
PODS = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")
POD_NAMESPACES = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")
# Podman has these two as CRI-O does; its pods have a name in its own database alone (inspector.stores.bolt, sqlite).
POD_ID = "io.kubernetes.cri-o.SandboxID"
CREATED = "io.kubernetes.cri-o.Created"
KINDS = ("io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType")


# a file like {"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.container-name":"web"},"process":{...}}
def parse_bundle(data: bytes, _: str) -> Facts:
    """Parse config.json: a pod's own (sandbox) container, which has no name, is called POD as cAdvisor does."""
    labels = labels_of(object_of("config.json", data).get("annotations"))

    def first(keys: tuple[str, ...]) -> str:
        return next((labels[key] for key in keys if labels.get(key)), "")

    pod = first(PODS)
    name = first(NAMES) or ("POD" if pod and first(KINDS) == "sandbox" else "")
    return Facts(
        name=name,
        image=first(IMAGES),
        pod=f"{first(POD_NAMESPACES)}/{pod}" if pod else "",
        labels=labels,
        pod_id=labels.get(POD_ID, ""),
        created=moment(labels.get(CREATED)),
    )
