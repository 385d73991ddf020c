"""The rendered images: scenes, things, light, and their encoding."""
