"""What is kept of each host: its pauses and connections, its failures, and which session asks it."""
