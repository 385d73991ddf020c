"""Where a workspace keeps its catalogue, in its folder or in a database elsewhere, and how it moves."""
