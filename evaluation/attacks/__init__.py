"""What brings forgotten associations back: relearning on a few pairs."""
