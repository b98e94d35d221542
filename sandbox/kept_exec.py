"""Nothing: where its byte code is kept, that of all that `sandbox exec` imports lies behind it (finding.py)."""
