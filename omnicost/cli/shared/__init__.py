"""What the verbs share: options, what they read and print, the one door for errors."""
