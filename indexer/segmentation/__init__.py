"""Pictures to regions: automatic masks, prompted masks, and what masks have in common."""
