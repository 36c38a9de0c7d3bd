"""The resources of the group `sluice.dev` as typed models, and the CRDs generated from them.

Pure data: imports pydantic and `sluice.errors`, nothing else of Sluice.
"""
