"""What networks run on: Adam, checkpoints, several processes, launches on a GPU."""
