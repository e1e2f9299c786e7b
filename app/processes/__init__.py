"""Worker processes: their supervisor, and the pipe that connects it with each of them."""
