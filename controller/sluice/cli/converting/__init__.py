"""From what other tools understand to a ModelRollout and a policy. Pure: mappings in, text out."""
