"""Tests: unit (no kernel, no root), live (the real /proc), root (real containers), bench (what it costs)."""
