"""The cluster side: pools, leases, and the CSI Controller services on top."""
