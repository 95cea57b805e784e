"""Our models and codecs beside those of faust-streaming 0.15.3, as black boxes in two processes."""
