"""What the verbs share: options, output, progress, the one door for errors."""
