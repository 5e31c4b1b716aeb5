"""The web service between LLM clients and their providers."""
