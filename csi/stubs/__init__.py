"""Messages and services of CSI and of kubelet's plugin registration: generated, never edited.

`make stubs` makes them from github.com/container-storage-interface/spec v1.13.0 and k8s.io/kubelet v0.35.4.
"""
