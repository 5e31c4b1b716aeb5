"""Taking keys away without hurting anyone: invalidate, flush, resume, expire."""
