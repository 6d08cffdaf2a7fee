"""What the operator creates, as plain dicts that look like the YAML they become."""
