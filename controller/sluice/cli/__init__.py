"""The `sluice` command. The top layer: may import everything, nothing imports it."""
