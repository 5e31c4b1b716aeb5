"""Percentiles, intervals, steady state and verdicts; no file is read here."""
