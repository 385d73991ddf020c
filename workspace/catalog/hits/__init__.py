"""Which hits and labels count."""
