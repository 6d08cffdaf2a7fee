"""What the edge program costs, beside programs that do the same work with other engines."""
