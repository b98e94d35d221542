"""The verbs of `sandbox`: each is a function `VERB(words, store)` of a module here, and `VERB_parser()` its options."""
