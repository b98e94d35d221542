"""The same tests on another kernel: Debian's, in a virtual machine, with nothing but cgroup v2."""
