"""A server merged into a pod or compose file that somebody else wrote."""

from valkeyctl.render.into.merge import MADE_BY, Merged, merge

__all__ = ["MADE_BY", "Merged", "merge"]
