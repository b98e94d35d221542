"""Nothing: where its byte code is kept, that of all that `sandbox run` imports lies behind it (finding.py)."""
