"""Speed and memory beside the raw commands; `make bench` prints the tables."""
