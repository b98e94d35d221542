"""Nothing: where its byte code is kept, that of all that nsinspect imports lies behind it (sandbox/finding.py)."""
