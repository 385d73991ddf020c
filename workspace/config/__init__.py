"""The settings of workspace.toml: one model per section."""
