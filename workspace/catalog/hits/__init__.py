"""Which hits count: those of present keywords and sources, and of an image's labels that of the strongest origin."""
