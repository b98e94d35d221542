"""Which system calls a container may make: a Docker profile, compiled to the kernel's filter, and loaded.

profile.py reads the JSON: the rules that hold on this machine. program.py makes
classic BPF of them, numbers.py knows the number of each call. filters.py keeps
the program between starts and loads it.
"""
