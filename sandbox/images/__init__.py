"""Images: what containers are made from, kept below the state directory, without a registry and without a daemon."""

__all__ = ["NEW"]

NEW = "new-"
"""What the names begin with, in the directory of images, of what is not whole yet or not any more."""
