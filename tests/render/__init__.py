"""Tests of valkeyctl.render."""
