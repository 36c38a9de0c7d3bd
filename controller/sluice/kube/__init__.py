"""Everything that talks to the Kubernetes API server, over the `kubernetes` package.

Objects are plain dicts as the server sent them. Imports errors and clock, nothing else of Sluice.
"""
