"""What `showtell doctor` finds out. Every part works where the others are broken, and none of them imports torch."""
