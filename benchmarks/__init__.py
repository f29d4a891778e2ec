"""What `make bench` measures; each module times one thing against a bar."""
