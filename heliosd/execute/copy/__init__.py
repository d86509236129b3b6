"""COPY: options, readers of the three formats, the two ways into a table, and the way out."""
