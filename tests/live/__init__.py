"""Tests that read this machine's own /proc."""
