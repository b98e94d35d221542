"""Nothing: where its byte code is kept lies a process that has imported all for ctop's live view (snapshot.py)."""
