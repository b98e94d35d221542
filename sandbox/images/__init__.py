"""Images: what containers are made from, kept below the state directory, without a registry and without a daemon."""
