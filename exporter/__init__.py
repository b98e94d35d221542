"""cgscope-exporter: the JSON document as Prometheus metrics, and over HTTP."""
