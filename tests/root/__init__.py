"""Tests on real containers: need root."""
