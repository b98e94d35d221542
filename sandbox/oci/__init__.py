"""The OCI runtime command line on the sandbox's engine: what containerd, Docker and Podman start containers with.

https://github.com/opencontainers/runtime-spec: config.json is the bundle's, state.json ours.
"""
