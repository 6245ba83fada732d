"""What a run leaves and what it needs to go on: files, errors, tracking, finished pieces, random keys."""
