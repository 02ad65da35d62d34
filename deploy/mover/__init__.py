"""`miren-mover`: moves what is on a disk into a backup and back, in a pod that has it at /disk.

The programs tar, zstd and restic do the moving. What they say becomes lines of JSON, which
`kubectl miren disk backup` and its like read.
"""
