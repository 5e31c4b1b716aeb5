"""From a profile to kubernetes.yaml, for who outgrows one machine."""

from valkeyctl.render.kubernetes.manifest import KUBERNETES, kubernetes_text

__all__ = ["KUBERNETES", "kubernetes_text"]
