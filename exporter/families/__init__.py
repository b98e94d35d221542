"""The metrics: one module a subject, each a table of rows and what they are read from."""
