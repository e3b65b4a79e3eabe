"""Tables 1 to 5: the paper's recorded figures beside the tiny world's."""
