"""Other machines: one through its exporter, many through a Prometheus. What they say is believed as far as it goes."""
