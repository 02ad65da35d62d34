"""`kubectl miren disk`: what an operator does with disks."""
