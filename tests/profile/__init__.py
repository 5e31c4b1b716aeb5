"""Tests of valkeyctl.profile."""
