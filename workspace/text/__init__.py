"""Text that people read and write: encodings, counts, and sentences about values that are refused."""
