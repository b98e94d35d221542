"""Nothing: where its byte code is kept lies a process that has imported all, to be executed (snapshot.py)."""
