"""How long steps will take: the work that is left, and how fast earlier runs on this machine were."""
