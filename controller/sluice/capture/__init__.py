"""A sample of the requests that a model is sent, for its preflights: `sluice capture`.

What Seldon's request logger sends (`events`) is taken in over HTTP (`server`), looked at and
counted (`collecting`), stripped of what must not leave (`redacting`) and kept as a uniform sample
(`sample`); now and then that is packed (`packing`) and written to a ConfigMap or a file (`places`,
`run`). Imports kube, and of compare what a preflight's file may have. No body is ever logged.
"""
