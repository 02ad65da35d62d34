"""The host side: programs, devices, filesystems, mounts, and the CSI Node service on top."""
