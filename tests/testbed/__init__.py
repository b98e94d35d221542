"""What tests on real kernels share: our own commands, real runtimes, control groups, and the check for leftovers."""
