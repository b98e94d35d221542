"""cgscope's inspector: reads namespaces, cgroups and mounts, and says which processes form a container."""
