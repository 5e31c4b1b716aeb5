"""Typed YAML profiles: what to deploy, in the words of its operator."""

from valkeyctl.profile.jsonschema import json_schema
from valkeyctl.profile.load import load, locate, name_in, profile_names
from valkeyctl.profile.schema import Profile

__all__ = ["Profile", "json_schema", "load", "locate", "name_in", "profile_names"]
