"""Text that people read and write: encodings, counts, CSV, Markdown, and sentences about values that are refused."""
