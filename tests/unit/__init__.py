"""Tests on fake hosts and strings: no kernel, no root."""
