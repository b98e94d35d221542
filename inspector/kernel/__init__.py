"""What the kernel says: one module a kernel interface, read_x(host, ...) = parse_x(bytes)."""
