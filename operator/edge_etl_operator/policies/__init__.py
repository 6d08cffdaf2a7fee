"""The policies of the operator: a file each, pure, without any I/O; the clock is an argument."""
