"""How the weights of the demo models are made: from drawn scenes, on one CPU or one GPU."""
