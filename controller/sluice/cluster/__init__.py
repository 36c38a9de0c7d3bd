"""A whole Kubernetes cluster of one node on this machine, with containers: what `make e2e` runs on.

Real kube-apiserver, controller manager, scheduler, kubelet, kube-proxy, containerd and CoreDNS in
namespaces of their own; in it istiod with an Envoy as ingress gateway, Prometheus, the metrics
server, and the stand-ins for Seldon's operator and executor as pods. Needs root on Linux.
"""
