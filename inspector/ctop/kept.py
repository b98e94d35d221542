"""Nothing: where its byte code is kept, that of all that ctop imports lies behind it (sandbox/finding.py)."""
