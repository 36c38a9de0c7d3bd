"""A whole file of rows through a model: `sluice batch`.

Reading (`reading`, `csv_rows`, `parquet`), what a request looks like (`payloads`), the connection
(`wire`), trying again (`sending`), files that survive a kill (`journal`, `writing`), and the loop
(`run`). Imports errors and clock alone: where the target is, and whether a rollout is in progress,
is found out by the command.
"""
