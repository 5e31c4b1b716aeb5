"""Tests of valkeyctl.caching."""
