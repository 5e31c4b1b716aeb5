"""Tests of `valkeyctl.fastapi`."""
