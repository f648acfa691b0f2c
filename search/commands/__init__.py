"""The commands of `search` and `segsearch`, and the options that they share."""
