"""What leaves for a watch: a trained student at work outside of training."""
