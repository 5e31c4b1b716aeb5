"""From a profile to the files that deploy it: pure functions, no file is opened."""

from valkeyctl.render.artefacts import COMPOSE, CONF, POD, Artefacts
from valkeyctl.render.build import render

__all__ = ["COMPOSE", "CONF", "POD", "Artefacts", "render"]
